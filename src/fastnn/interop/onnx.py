"""`to_onnx`: a model in evaluation mode as an ONNX graph, for ONNX Runtime and whatever else reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import nn
from ..arguments import float_dtype, integer, positive_int
from ..program.explicit import evaluating
from ..program.tape import HOOKS
from ..serialization import written_beside
from ..summary import row_shape
from .graph import Graph, Value
from .images import FORMS as OF_IMAGES
from .layers import FORMS as OF_LAYERS
from .layers import joined, summed
from .packages import required

FORMS = {**OF_LAYERS, **OF_IMAGES}
LEAST_OPSET = 15  # the first with today's BatchNormalization
LEAST_IR = 8  # opset 17 asks for it
CONTAINERS = nn.Sequential, nn.Residual, nn.Concat, nn.Add
MOST_BYTES = 2_000_000_000  # a protocol buffer holds 2 GiB


def to_onnx(
    model: nn.Module,
    path: str | os.PathLike[str] | None = None,
    *,
    input_shape: Any = None,
    batch: str | int = "N",
    dtype: Any = None,
    opset: int = 17,
    ir_version: int | None = None,
    name: str = "fastnn",
    input_name: str = "input",
    output_name: str = "output",
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """A model as ONNX: the output in evaluation mode as a graph of standard operators.

    Parameters
    ----------
    model : Module
        Containers of fastnn's own layers, or one such layer. It stays as it is.
    path : str or path, optional
        The file to write, beside and then put in place: an error leaves an earlier file as it was.
    input_shape : sequence of int, or int, optional
        The shape of a row of the input, without the rows, sizes from 1: (784,) or 784. It may be left out where the
        first layer that tells its size is a `Linear`.
    batch : str or int
        The name of the axis of the rows, of which there may be any number; or their fixed number from 1.
    dtype : dtype, optional
        Of the input, float32 or float64; by default that of the parameters, float32 without any. In front of an
        `Embedding` it is int64.
    opset : int
        The version of the operators, from 15.
    ir_version : int, optional
        The version of the file's format; by default 8, or what a newer opset asks for.
    name, input_name, output_name : str
        Of the graph, of its input and of its output.
    metadata : mapping of str to str, optional
        What else to keep in the file, as its `metadata_props`.

    Returns
    -------
    onnx.ModelProto
        Checked by `onnx.checker`. Parameters have the names of `state_dict()`.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    TypeError
        A layer has no ONNX form: the line names it and its place; or an argument is of the wrong type.
    ValueError
        `input_shape` is missing where it is needed, or does not fit the model; the parameters take more than 2 GB; an
        argument is out of range.
    OSError
        The file cannot be written.

    Notes
    -----
    `Dropout` is left out, batch normalisation uses its running statistics (without any, those of the batch, as in
    fastnn).
    In float64 the exact `GELU`, convolutions and `AvgPool2d` have the accuracy of float32.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    >>> proto = fastnn.interop.to_onnx(model, "model.onnx")  # doctest: +SKIP
    """
    onnx = required("to_onnx", "onnx")
    if not isinstance(model, nn.Module):
        raise TypeError(f"to_onnx: expected a fastnn.nn.Module, got {type(model).__name__}")
    opset, ir_version = _versions(onnx, opset, ir_version)
    rows = None if isinstance(batch, str) and batch else positive_int("to_onnx", "batch", batch)
    names = {"name": name, "input_name": input_name, "output_name": output_name}
    for argument, value in names.items():
        if not isinstance(value, str) or not value:
            raise TypeError(f"to_onnx: expected {argument} as a text, got {value!r}")
    properties = dict(metadata or {})
    for pair in properties.items():
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(f"to_onnx: expected metadata as strings, got {pair[0]!r}: {pair[1]!r}")
    layers = list(_leaves(model))
    start = Value(input_name, (rows, *_row(layers, input_shape)), _dtype(model, layers, dtype))
    _check_input(model, start)
    graph = Graph(onnx, opset)
    end = _finished(graph, _written(graph, model, "", start, {}), start, output_name)
    inputs, outputs = ([_described(graph, value, batch)] for value in (start, end))
    body = onnx.helper.make_graph(graph.nodes, name, inputs, outputs, graph.initializers)
    proto = _model(onnx, body, opset, ir_version, properties)
    if path is not None:
        with written_beside(path) as file:
            file.write(proto.SerializeToString())
    return proto


def _versions(onnx: Any, opset: Any, ir_version: Any) -> tuple[int, int]:
    """The versions of operators and format, checked to exist and to go together."""
    opset, newest = integer("to_onnx", "opset", opset, low=LEAST_OPSET), onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ValueError(f"to_onnx: expected opset <= {newest}, the newest of onnx {onnx.__version__}, got {opset}")
    least = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    if ir_version is None:
        return opset, max(LEAST_IR, least)
    return opset, integer("to_onnx", f"ir_version for opset {opset}", ir_version, low=least)


def _leaves(module: nn.Module, path: str = "") -> Iterator[nn.Module]:
    """The layers in the order of the computation, each checked to have a form; a `Concat` behind its branches."""
    kind = type(module).__name__
    if vars(module).keys() & HOOKS:
        kind += " with a method assigned to it"
    elif type(module) in CONTAINERS:
        for key, child in module.named_children():
            yield from _leaves(child, _join(path, key))
        if isinstance(module, nn.Concat):
            yield module
        return
    elif kind in FORMS and type(module) is getattr(nn, kind):
        yield module
        return
    where = f"to_onnx: at {path}" if path else "to_onnx"
    raise TypeError(f"{where}: expected a layer with an ONNX form, got {type(module).__module__}.{kind}")


def _row(layers: list[nn.Module], input_shape: Any) -> tuple[int, ...]:
    """The shape of a row of the input: as it is given, or that of a `Linear` that tells it."""
    if input_shape is not None:
        return row_shape("to_onnx", input_shape, low=1)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            return (layer.in_features,)
        if isinstance(layer, (nn.Flatten, nn.Unflatten, nn.Concat)):
            break
    raise ValueError("to_onnx: expected input_shape for a model without a Linear that tells it, got none")


def _dtype(model: nn.Module, layers: list[nn.Module], dtype: Any) -> np.dtype[Any]:
    """The dtype of the input: as it is given, or that of the first parameter or statistic; int64 of an embedding's."""
    if layers and isinstance(layers[0], nn.Embedding) and dtype in (None, np.int64):
        return np.dtype(np.int64)
    if dtype is not None:
        return float_dtype("to_onnx", dtype)
    return next((array.dtype for _, array in model._named_state() if array.dtype.kind == "f"), np.dtype(np.float32))


def _check_input(model: nn.Module, start: Value) -> None:
    """Raise what the layers raise if they cannot take such an input, and for what a file cannot hold."""
    if sum(array.nbytes for array in model.parameters()) > MOST_BYTES:
        raise ValueError("to_onnx: expected parameters of at most 2 GB, got more")
    rows = min(start.shape[0] or 2, 2)
    evaluating(model).forward(np.zeros((rows, *start.shape[1:]), start.dtype))  # type: ignore[arg-type]


def _written(graph: Graph, module: nn.Module, path: str, value: Value, paths: dict[int, str]) -> Value:
    """The output of a module, whose layers are written to the graph."""
    if isinstance(module, (nn.Sequential, nn.Residual)):
        output = value
        for index, layer in enumerate(module):
            output = _written(graph, layer, _join(path, str(index)), output, paths)
        if isinstance(module, nn.Residual):
            beside = value
            if module.shortcut is not None:
                beside = _written(graph, module.shortcut, _join(path, "shortcut"), value, paths)
            graph.path = path
            output = summed(graph, [output, beside])
        return output
    if isinstance(module, (nn.Concat, nn.Add)):
        outputs = [_written(graph, layer, _join(path, str(index)), value, paths) for index, layer in enumerate(module)]
        graph.path = path
        return joined(graph, outputs, module.dim) if isinstance(module, nn.Concat) else summed(graph, outputs)
    graph.path = paths.setdefault(id(module), path)  # a layer that is used twice has one name, and its arrays once
    return FORMS[type(module).__name__](graph, module, value)


def _finished(graph: Graph, value: Value, start: Value, output_name: str) -> Value:
    """The output of the graph under its name."""
    graph.path = ""
    for argument, name in (("input_name", start.name), ("output_name", output_name)):
        if name in graph.names or start.name == output_name:
            raise ValueError(f"to_onnx: expected {argument} that nothing else has, got {name!r}")
    return graph.finish(start, value, output_name)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _described(graph: Graph, value: Value, batch: str | int) -> Any:
    """What the file says of an input or output: name, dtype, shape."""
    sizes = [batch if size is None else None if size == -1 else size for size in value.shape]
    return graph.described(value, sizes)


def _model(onnx: Any, graph: Any, opset: int, ir_version: int, metadata: dict[str, str]) -> Any:
    """The whole file, checked."""
    from .. import __version__

    proto = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=ir_version,
        producer_name="fastnn",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(proto, metadata)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # names that collide, for one
        raise ValueError(f"to_onnx: expected a graph that onnx.checker accepts, got {str(error).strip()}") from error
    return proto

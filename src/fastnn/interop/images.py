"""The ONNX form of layers of images, of samples and of whole numbers in evaluation mode: one function each.

ONNX Runtime has Conv, ConvTranspose and AveragePool in float32 alone, so those have its accuracy in float64 too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import FLOAT32, Array, Graph, Value
from .layers import _means, _promoted, _same

Ends = tuple[tuple[int, int], ...]


def _pads(ends: Ends) -> list[int]:
    """Padding as ONNX has it: before each axis, then behind each."""
    return [before for before, _ in ends] + [behind for _, behind in ends]


def _counts(x: Value, kernel: Any, stride: Any, ends: Ends, dilation: Any) -> tuple[int, ...]:
    """How many windows there are along each axis of an image."""
    numbers = zip(_sizes(x), kernel, stride, ends, dilation, strict=True)
    return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in numbers)


def _sizes(x: Value) -> tuple[int, ...]:
    """Those of the image, all of which are known."""
    return tuple(size for size in x.shape[2:] if size is not None)


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * axes


def _single(graph: Graph, kind: str, inputs: list[Value], shape: Any, **attributes: Any) -> Value:
    """An operator that is float32 alone, in the dtype of its inputs."""
    output = graph.op(kind, [graph.cast(value, FLOAT32) for value in inputs], **attributes)
    return graph.cast(output._replace(shape=shape, dtype=FLOAT32), inputs[0].dtype)


def _arrays(layer: Any) -> dict[str, Array]:
    return {name: getattr(layer, name) for name in layer.param_names if getattr(layer, name) is not None}


def _conv(graph: Graph, layer: Any, x: Value) -> Value:
    x, values = _promoted(graph, x, _arrays(layer))
    ends, kernel = layer._ends(), layer.weight.shape[2:]
    shape = (x.shape[0], layer.weight.shape[0], *_counts(x, kernel, layer.stride, ends, layer.dilation))
    geometry = {"strides": layer.stride, "pads": _pads(ends), "dilations": layer.dilation, "group": layer.groups}
    return _single(graph, "Conv", [x, *values.values()], shape, kernel_shape=kernel, **geometry)


def _conv_transpose(graph: Graph, layer: Any, x: Value) -> Value:
    x, values = _promoted(graph, x, _arrays(layer))
    ends, kernel = layer._ends(), layer.weight.shape[2:]
    numbers = zip(_sizes(x), kernel, layer.stride, ends, layer.dilation, layer.output_padding, strict=True)
    sizes = ((n - 1) * s - sum(p) + d * (k - 1) + more + 1 for n, k, s, p, d, more in numbers)
    shape = (x.shape[0], layer.out_channels, *sizes)
    geometry = {"strides": layer.stride, "pads": _pads(ends), "dilations": layer.dilation, "group": layer.groups}
    geometry["output_padding"] = layer.output_padding
    return _single(graph, "ConvTranspose", [x, *values.values()], shape, kernel_shape=kernel, **geometry)


def _max_pool(graph: Graph, layer: Any, x: Value) -> Value:
    sizes = _sizes(x)
    kernel, stride, dilation = (_tuple(v, len(sizes)) for v in (layer.kernel_size, layer.stride, layer.dilation))
    ends = layer._padded(sizes)
    like = x._replace(shape=(*x.shape[:2], *_counts(x, kernel, stride, ends, dilation)))
    return graph.op("MaxPool", [x], like, kernel_shape=kernel, strides=stride, pads=_pads(ends), dilations=dilation)


def _avg_pool(graph: Graph, layer: Any, x: Value) -> Value:
    kernel, stride = (_tuple(value, 2) for value in (layer.kernel_size, layer.stride))
    border, ends, included = layer._plan(_sizes(x))
    if border:
        x = _surrounded(graph, x, border[2:])
    shape = (*x.shape[:2], *_counts(x, kernel, stride, ends, (1, 1)))
    options = {"kernel_shape": kernel, "strides": stride, "pads": _pads(ends), "count_include_pad": int(included)}
    return _single(graph, "AveragePool", [x], shape, **options)


def _adaptive_avg_pool(graph: Graph, layer: Any, x: Value) -> Value:
    """Means along one axis and then along the other, each a product with a matrix of shares."""
    wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
    if set(wanted) == {1}:
        return _means(graph, x, [2, 3])
    down, across = (_shares(n, n if count is None else count) for n, count in zip(_sizes(x), wanted, strict=True))
    rows = x._replace(shape=(*x.shape[:2], len(down), x.shape[3]))
    x = graph.op("MatMul", [graph.parameter("down", down, x.dtype), x], rows)
    columns = x._replace(shape=(*x.shape[:3], len(across)))
    return graph.op("MatMul", [x, graph.parameter("across", across.T, x.dtype)], columns)


def _shares(size: int, count: int) -> Array:
    """The share of each of `size` elements in each of `count` means: (count, size)."""
    place, window = np.arange(size), np.arange(count)[:, None]
    inside = (place >= window * size // count) & (place < -(-(window + 1) * size // count))
    return inside / inside.sum(axis=1, keepdims=True)


def _zero_pad(graph: Graph, layer: Any, x: Value) -> Value:
    left, right, top, bottom = layer.padding
    return _surrounded(graph, x, ((top, bottom), (left, right)))


def _surrounded(graph: Graph, x: Value, ends: Ends) -> Value:
    """Zeros around an image, or less of it."""
    shape = (*x.shape[:2], *(size + sum(pair) for size, pair in zip(_sizes(x), ends, strict=True)))
    pads = graph.constant(_pads(((0, 0), (0, 0), *ends)), np.int64)
    return graph.op("Pad", [x, pads], x._replace(shape=shape))


def _upsample(graph: Graph, layer: Any, x: Value) -> Value:
    """Every place of an axis taken several times."""
    scales = layer._scales((2, *x.shape[1:]))
    for axis, scale in enumerate(scales, 2):
        places = np.repeat(np.arange(x.shape[axis] or 0), scale)
        shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
        x = graph.op(
            "Gather", [x, graph.parameter(f"places{axis}", places, np.int64)], x._replace(shape=shape), axis=axis
        )
    return x


def _layer_norm(graph: Graph, layer: Any, x: Value) -> Value:
    x, values = _promoted(graph, x, _arrays(layer))
    axes = list(range(len(x.shape) - len(layer.normalized_shape), len(x.shape)))
    return _affine(graph, _normal(graph, x, axes, layer.eps), values)


def _rms_norm(graph: Graph, layer: Any, x: Value) -> Value:
    x, values = _promoted(graph, x, _arrays(layer))
    axes = list(range(len(x.shape) - len(layer.normalized_shape), len(x.shape)))
    eps = float(np.finfo(x.dtype).eps) if layer.eps is None else layer.eps
    square = graph.add(_means(graph, graph.mul(x, x), axes), eps)
    return _affine(graph, graph.div(x, graph.op("Sqrt", [square])), values)


def _group_norm(graph: Graph, layer: Any, x: Value) -> Value:
    arrays = {name: array.reshape(-1, *(1,) * (len(x.shape) - 2)) for name, array in _arrays(layer).items()}
    x, values = _promoted(graph, x, arrays)
    known = [size or 0 for size in x.shape[1:]]
    rows = layer.num_groups, math.prod(known) // layer.num_groups
    grouped = graph.op("Reshape", [x, graph.constant([0, *rows], np.int64)], x._replace(shape=(x.shape[0], *rows)))
    normal = _normal(graph, grouped, [2], layer.eps)
    return _affine(graph, graph.op("Reshape", [normal, graph.constant([0, *known], np.int64)], x), values)


def _normal(graph: Graph, x: Value, axes: list[int], eps: float) -> Value:
    """Mean 0 and variance 1 over some axes."""
    centred = graph.sub(x, _means(graph, x, axes))
    variance = graph.add(_means(graph, graph.mul(centred, centred), axes), eps)
    return graph.div(centred, graph.op("Sqrt", [variance]))


def _affine(graph: Graph, x: Value, values: dict[str, Value]) -> Value:
    if "weight" in values:
        x = graph.mul(x, values["weight"])
    return graph.add(x, values["bias"]) if "bias" in values else x


def _embedding(graph: Graph, layer: Any, x: Value) -> Value:
    weight = graph.parameter("weight", layer.weight, layer.weight.dtype)
    return graph.op("Gather", [weight, x], Value("", (*x.shape, layer.embedding_dim), weight.dtype))


FORMS: dict[str, Callable[[Graph, Any, Value], Value]] = {
    "AdaptiveAvgPool2d": _adaptive_avg_pool,
    "AvgPool2d": _avg_pool,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "ConvTranspose2d": _conv_transpose,
    "Dropout2d": _same,
    "Embedding": _embedding,
    "GroupNorm": _group_norm,
    "LayerNorm": _layer_norm,
    "MaxPool1d": _max_pool,
    "MaxPool2d": _max_pool,
    "RMSNorm": _rms_norm,
    "Upsample": _upsample,
    "ZeroPad2d": _zero_pad,
}

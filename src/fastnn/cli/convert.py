"""`fastnn convert`: models and tensors between fastnn's files, ONNX, PyTorch's state_dicts and NumPy's archives."""

from __future__ import annotations

import argparse
import json
import os
import warnings
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from .. import nn, serialization
from ..data.tables import read_member
from .architectures import ACTIVATIONS
from .common import check_outputs
from .options import UsageError, command, json_option
from .preparation import CLASSIFICATION, METADATA, Preparation
from .report import Report, count

HELP = """\
The endings of IN and OUT say what they are:
  .safetensors   a model that fastnn saved, or tensors by name
  .onnx          a model for ONNX Runtime and others (OUT alone; needs onnx)
  .pt, .pth      the state_dict of a PyTorch module (needs torch). Pickled modules are refused: loading one may run
                 code that is in the file; save module.state_dict() instead
  .npz           arrays by name

The .onnx file of a model that `fastnn train` saved takes features as they are in the data, since the scaling becomes
its first nodes, and gives class scores, or numbers in the unit of the target. Columns of categories are 0 or 1 for each
category, in the order that is told. Other files hold the parameters alone; the scaling is told and left out.

A state_dict says nothing of the layers between the parameters: --like or --activation makes it a model.

examples:
  fastnn train digits --out digits.safetensors
  fastnn convert digits.safetensors digits.onnx --probabilities
  fastnn convert digits.safetensors digits.pt
  fastnn convert digits.pt again.safetensors --like digits.safetensors
  fastnn convert digits.pt mlp.safetensors --activation relu
  fastnn convert digits.safetensors digits.npz
"""
ENDINGS = ".safetensors", ".onnx", ".pt", ".pth", ".npz"
TORCH = ".pt", ".pth"
WRAPPERS = "state_dict", "model_state_dict", "model"  # where trainers keep the state_dict in a checkpoint
NPZ_METADATA = "__metadata__"  # the name of the array with the metadata's JSON


class Content(NamedTuple):
    """What is in a file."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    model: nn.Module | None
    """None where there are tensors alone."""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = command(subparsers, "convert", run, "convert a model to and from other libraries' files", HELP)
    parser.add_argument("input", metavar="IN", help="the file to read")
    parser.add_argument("output", metavar="OUT", help="the file to write")
    layers = parser.add_mutually_exclusive_group()
    layers.add_argument(
        "--like",
        metavar="MODEL",
        help="take the layers, and the scaling, of this .safetensors file for the tensors of IN",
    )
    layers.add_argument(
        "--activation", choices=ACTIVATIONS, metavar="NAME",
        help="take the tensors of IN for Linear and BatchNorm1d layers one after another, with this activation "
        f"between: {', '.join(ACTIVATIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--scaling", action=argparse.BooleanOptionalAction,
        help="whether an .onnx file takes features as they are in the data, or scaled (default: as in the data)",
    )  # fmt: skip
    parser.add_argument(
        "--probabilities", action="store_true", help="let an .onnx file give probabilities of the classes, not scores"
    )
    json_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the one file and write the other."""
    report = Report(arguments.json)
    source, target = (_ending(name) for name in (arguments.input, arguments.output))
    if source == ".onnx":
        raise UsageError(f"expected IN of another kind, since ONNX is written alone, got {arguments.input}")
    for name in ("scaling", "probabilities"):
        if getattr(arguments, name) and target != ".onnx":
            raise UsageError(f"argument --{name}: expected an .onnx file as OUT, got {arguments.output}")
    check_outputs([arguments.input, *([arguments.like] if arguments.like else [])], arguments.output)
    content = _with_layers(arguments, _read(arguments.input, source))
    preparation = None
    if METADATA in content.metadata and content.model is not None:
        preparation = Preparation.loads(arguments.input, content.metadata)
    if target == ".onnx":
        facts = _write_onnx(arguments, content, preparation, report)
    else:
        facts = _write_tensors(arguments.output, target, content)
        if preparation is not None and target in TORCH:
            report.note("the scaling of the features is left out; `fastnn info` tells it, an .onnx file has it")
    kind = "tensors alone" if content.model is None else "a model"
    report.say(f"{arguments.output}: {kind}, {count(len(content.tensors), 'tensor')}")
    if content.model is None and target == ".safetensors":
        report.note("there are no layers in it (--like or --activation gives it some)")
    values = {"input": arguments.input, "output": arguments.output, "tensors": len(content.tensors)}
    report.result({"command": "convert", **values, "model": content.model is not None, **facts})


def _ending(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()
    if ending not in ENDINGS:
        raise UsageError(f"expected a name that ends in {', '.join(ENDINGS)}, got {name!r}")
    return ending


# What is read


def _read(name: str, ending: str) -> Content:
    if ending in TORCH:
        return Content(_read_torch(name), {}, None)
    tensors, metadata = serialization.load_tensors(name) if ending == ".safetensors" else _read_npz(name)
    has_model = serialization.ARCHITECTURE in metadata
    return Content(tensors, metadata, serialization.build(tensors, metadata, name) if has_model else None)


def _read_npz(name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and metadata if `_write_tensors` has put them there."""
    with open(name, "rb") as file:
        try:
            tensors: dict[str, np.ndarray] = {}
            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    tensors[info.filename.removesuffix(".npy")] = read_member(archive, info)
            metadata = json.loads(str(tensors.pop(NPZ_METADATA, "{}")))
            if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
                raise ValueError("other metadata than texts")
        except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{name}: expected an .npz file of plain arrays, got another ({reason})") from None
    return tensors, metadata


def _read_torch(name: str) -> dict[str, np.ndarray]:
    """The tensors of a state_dict. Nothing but tensors and plain containers is unpickled."""
    torch = _torch()
    with open(name, "rb"):
        pass  # the usual error where there is no file
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(name, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler says of a file that is damaged, or holds more than tensors
        reason = " ".join(str(error).split())
        if "weights_only" in reason or "Unsupported" in reason:
            raise ValueError(
                f"{name}: expected a state_dict, got a pickled module or other objects, which may run code when they "
                "are loaded: save module.state_dict()"
            ) from None
        raise ValueError(f"{name}: expected a file of torch.save, got another ({reason[:200]})") from None
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{name}: expected a state_dict of tensors by name, got {type(state).__name__}")
    return {str(key): _array(torch, value) for key, value in state.items()}


def _array(torch: Any, tensor: Any) -> np.ndarray:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError("expected dense tensors, got sparse or quantized ones")
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    return array


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"expected PyTorch for a .pt file, got {error}: pip install torch installs it") from None
    return torch


# Layers for tensors that came without


def _with_layers(arguments: argparse.Namespace, content: Content) -> Content:
    """The content as a model, if that is asked for."""
    if arguments.like is None and arguments.activation is None:
        return content
    if content.model is not None:
        option = "like" if arguments.like else "activation"
        raise UsageError(f"argument --{option}: expected IN without layers, got a model of fastnn")
    model: nn.Module
    if arguments.like is None:
        model = _perceptron(arguments.input, content.tensors, arguments.activation)
        return Content(model.state_dict(), {}, model)
    tensors, metadata = serialization.load_tensors(arguments.like)
    model = serialization.build(tensors, metadata, arguments.like)
    try:
        model.load_state_dict(content.tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{arguments.input}: expected tensors that fit {arguments.like}: {error}") from None
    kept = {name: text for name, text in metadata.items() if name == METADATA}
    return Content(content.tensors, kept, model)


def _perceptron(name: str, tensors: dict[str, np.ndarray], activation: str) -> nn.Sequential:
    """Linear layers, some with batch normalisation, in the order of the tensors; activations between them."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, array in tensors.items():
        prefix, _, part = key.rpartition(".")
        groups.setdefault(prefix, {})[part] = array
    model = nn.Sequential()
    for prefix, group in groups.items():
        weight = group.get("weight")
        if weight is None or weight.ndim != (1 if "running_mean" in group else 2):
            shapes = ", ".join(f"{part} {array.shape}" for part, array in group.items())
            raise ValueError(
                f"{name}: expected the tensors of Linear or BatchNorm1d layers, got {prefix!r} with {shapes}"
            )
        is_linear = "running_mean" not in group
        if is_linear and len(model.state_dict()):
            model.add(ACTIVATIONS[activation]())
        try:
            layer: nn.Module = nn.BatchNorm1d(len(weight), dtype=weight.dtype)
            if is_linear:
                layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in group, dtype=weight.dtype)
            layer.load_state_dict(group)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name}: {prefix}: {error}") from None
        model.add(layer)
    return model


# What is written


def _write_tensors(name: str, ending: str, content: Content) -> dict[str, Any]:
    """Tensors by name, with the metadata where the file can hold them."""
    if ending == ".safetensors":
        if content.model is None:
            serialization.save_tensors(content.tensors, name, content.metadata)
        else:
            others = {key: text for key, text in content.metadata.items() if key != serialization.ARCHITECTURE}
            serialization.save(content.model, name, others)
        return {}
    state = content.tensors if content.model is None else content.model.state_dict()
    with serialization.written_beside(name) as file:
        if ending == ".npz":
            metadata = dict(content.metadata)
            if content.model is not None:
                metadata[serialization.ARCHITECTURE] = json.dumps(content.model.config())
            more = {NPZ_METADATA: np.array(json.dumps(metadata))} if metadata else {}
            _write_npz(file, {**state, **more})
        else:
            torch = _torch()
            torch.save({key: torch.from_numpy(np.array(array)) for key, array in state.items()}, file)
    return {}


def _write_npz(file: Any, arrays: dict[str, np.ndarray]) -> None:
    """What `numpy.savez` writes; that takes the names as arguments, and so not all of them."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _write_onnx(
    arguments: argparse.Namespace, content: Content, preparation: Preparation | None, report: Report
) -> dict[str, Any]:
    """The graph, with the scaling before and after the model; what its input and output are."""
    from .. import interop

    if content.model is None:
        raise ValueError(f"{arguments.input}: expected a model for ONNX, got tensors alone (--like, --activation)")
    if arguments.scaling and preparation is None:
        raise ValueError(f"{arguments.input}: expected a model of `fastnn train` for --scaling, got one without any")
    if arguments.probabilities and preparation is not None and preparation.task != CLASSIFICATION:
        raise ValueError(f"{arguments.input}: expected a classification for --probabilities, got a regression")
    model, shape = content.model, None
    facts: dict[str, Any] = {}
    if preparation is not None:
        scaled, shape = arguments.scaling is not False, (preparation.n_features,)
        model = _of_raw_features(model, preparation) if scaled else model
        features = feature_names(preparation) or preparation.n_features
        facts = {"task": preparation.task, "features": features, "scaling": scaled}
        facts |= {"classes": preparation.classes} if preparation.classes else {}
    if arguments.probabilities:
        model = nn.Sequential(model, nn.Softmax())
    told = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    interop.to_onnx(model, arguments.output, input_shape=shape, metadata=told)
    if preparation is not None:
        _describe(preparation, facts, arguments.probabilities, report)
    return facts


def _describe(preparation: Preparation, facts: dict[str, Any], probabilities: bool, report: Report) -> None:
    """Say what the graph takes and gives."""
    names = feature_names(preparation)
    kind = "as in the data" if facts["scaling"] else "scaled as in training"
    report.say(f"input: {count(preparation.n_features, 'feature')}, {kind}{': ' if names else ''}{', '.join(names)}")
    output = f"{'probabilities' if probabilities else 'scores'} of {preparation.classes}"
    report.say(f"output: {output if preparation.task == CLASSIFICATION else 'the number that is predicted'}")
    if preparation.missing == "mean":
        report.note("missing values have no place in an .onnx file: fill them before")


def _of_raw_features(model: nn.Module, preparation: Preparation) -> nn.Sequential:
    """The model with its scaling as layers, so that it takes features, and gives numbers, as they are in the data.

    The mean is subtracted before anything is multiplied, as in `Preparation.inputs`: x / std - mean / std would lose
    the digits that x and the mean have in common.
    """
    mean, std = (np.array(values, np.float64) for values in (preparation.mean, preparation.std))
    features = preparation.n_features
    layers = [_affine(features, 1, -mean), _affine(features, 1 / std, 0), model]
    if preparation.task != CLASSIFICATION:
        layers.append(_affine(1, preparation.target_std, preparation.target_mean))
    return nn.Sequential(*layers)


def _affine(features: int, weight: Any, bias: Any) -> nn.Module:
    """The layer x w + b."""
    layer = nn.ChannelwiseScale(features)
    layer.load_state_dict(
        {"weight": np.full(features, weight, np.float32), "bias": np.full(features, bias, np.float32)}
    )
    return layer


def feature_names(preparation: Preparation) -> list[str]:
    """A name for every feature of a table: that of its column, with the category if it stands for one."""
    if preparation.features is None:
        return []
    categories = preparation.categories or [None] * preparation.n_columns
    return [
        name if texts is None else f"{name}={text}"
        for name, texts in zip(preparation.features, categories, strict=True)
        for text in ([""] if texts is None else texts)
    ]

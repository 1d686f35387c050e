"""Models from and to PyTorch: modules built anew with copied arrays, and state_dicts.

The layers of both libraries have the same names, arguments and parameters, so one table serves both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..program.tape import HOOKS
from .packages import required

Array = np.ndarray


class Unavailable(NamedTuple):
    """Why a layer of fastnn has no counterpart."""

    reason: str


# Every layer of fastnn: whether PyTorch, or torch_containers.py, has one of the same name and arguments, or why not.
LAYERS: dict[str, bool | Unavailable] = {
    "AdaptiveAvgPool2d": True,
    "Add": True,
    "AvgPool2d": True,
    "BatchNorm1d": True,
    "BatchNorm2d": True,
    "ChannelwiseScale": Unavailable("PyTorch has no such layer"),
    "Concat": True,
    "Conv1d": True,
    "Conv2d": True,
    "ConvTranspose2d": True,
    "Dropout": True,
    "Dropout2d": True,
    "ELU": True,
    "Embedding": True,
    "Flatten": True,
    "GELU": True,
    "GroupNorm": True,
    "Hardtanh": True,
    "Identity": True,
    "LayerNorm": True,
    "LeakyReLU": True,
    "Linear": True,
    "LogSoftmax": True,
    "MaxPool1d": True,
    "MaxPool2d": True,
    "Mish": True,
    "RMSNorm": True,
    "ReLU": True,
    "Residual": True,
    "SELU": True,
    "Sequential": True,
    "SiLU": True,
    "Sigmoid": True,
    "Softmax": True,
    "Softplus": True,
    "Tanh": True,
    "Unflatten": True,
    "Upsample": True,
    "ZeroPad2d": True,
}
CONTAINERS = "Sequential", "Residual", "Concat", "Add"
OPTIONS = {  # attributes of PyTorch's layers that fastnn has not, and the value that stands for without
    "align_corners": None,
    "divisor_override": None,
    "max_norm": None,
    "padding_mode": "zeros",
    "return_indices": False,
    "scale_grad_by_freq": False,
}
TORCH_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def from_torch(source: Any, model: nn.Module | None = None, strict: bool = True) -> nn.Module:
    """A model of fastnn with the parameters of a PyTorch module or of its state_dict.

    Parameters
    ----------
    source : torch.nn.Module or mapping of str to torch.Tensor
        A `torch.nn.Sequential` of layers that fastnn has, one such layer, or what `to_torch` gave; or a state_dict. It
        stays as it is.
    model : Module, optional
        With it, its arrays are overwritten with those of the same names ("0.weight", ...), whatever the layers of
        `source` are. Without it, a new model is built, for which `source` has to be a module.
    strict : bool
        For `model`: with False, missing and unexpected names are ignored.

    Returns
    -------
    Module
        The new model, or `model`. A new one has the dtypes of the module (float32 for half precision) and the modes
        of its layers.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        fastnn has no such layer, or the layer no such option: the line names it and its place. A name, shape or dtype
        does not fit `model`; nothing is changed then.

    Notes
    -----
    Layers of a `Sequential` are numbered, whatever their names in PyTorch. Whether PyTorch trains a parameter
    (`requires_grad`) is not kept. A layer that is used twice is one layer here too; a parameter that two layers share
    is copied into both.

    Examples
    --------
    >>> import fastnn
    >>> twin = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())  # doctest: +SKIP
    >>> fastnn.interop.from_torch(twin)  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    torch = required("from_torch", "torch")
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"from_torch: expected model as a fastnn.nn.Module, got {type(model).__name__}")
    if not isinstance(source, (torch.nn.Module, Mapping)):
        raise TypeError(f"from_torch: expected a torch.nn.Module or a state_dict, got {type(source).__name__}")
    if model is not None:
        state = source.state_dict() if isinstance(source, torch.nn.Module) else source
        arrays = {name: as_array(torch, str(name), tensor) for name, tensor in state.items()}
        model.load_state_dict(arrays, strict)
        return model
    if not isinstance(source, torch.nn.Module):
        raise TypeError("from_torch: expected a model to load the state_dict into, got none")
    return _built(torch, source, "", {})


def _built(torch: Any, module: Any, path: str, made: dict[int, nn.Module]) -> nn.Module:
    """The layer of fastnn for a module of PyTorch; `made` has those that were met before."""
    if id(module) in made:
        return made[id(module)]
    where = _place("from_torch", path)
    name = type(module).__name__
    if type(module) is torch.nn.ReLU6:
        layer: nn.Module = nn.Hardtanh(0.0, 6.0)
    elif LAYERS.get(name) is not True or type(module) is not _kind(torch, name):
        raise TypeError(f"{where}: expected a layer that fastnn has, got {type(module).__module__}.{name}")
    elif any(getattr(module, hooks, None) for hooks in TORCH_HOOKS):
        raise ValueError(f"{where}: expected {name} without hooks, got some")
    elif name in CONTAINERS:
        parts = module._modules.items()  # named_children leaves out a layer that came before
        built = {key: _built(torch, child, _join(path, key), made) for key, child in parts if child is not None}
        options = {key: getattr(module, key) for key in getattr(nn, name).config_names}
        layer = _container(getattr(nn, name), built, options)
    else:
        layer = _layer(torch, module, getattr(nn, name), path, where)
    layer.training = bool(module.training)
    made[id(module)] = layer
    return layer


def _kind(torch: Any, name: str) -> Any:
    """The class of PyTorch's modules for a layer."""
    if name not in CONTAINERS[1:]:
        return getattr(torch.nn, name)
    from . import torch_containers

    return getattr(torch_containers, name)


def _container(kind: Any, built: dict[str, Any], options: dict[str, Any]) -> Any:
    """A container, of either library, of what was built for the children of its counterpart, by their names."""
    options = {key: built.pop(key, value) for key, value in options.items()}
    return kind(*built.values(), **options)


def _layer(torch: Any, module: Any, kind: type[nn.Module], path: str, where: str) -> nn.Module:
    """One layer with the arguments and arrays of the module."""
    for option, absent in OPTIONS.items():
        if (value := getattr(module, option, absent)) != absent:
            raise ValueError(f"{where}: expected {kind.__name__} with {option}={absent!r}, got {value!r}")
    tensors = {name: getattr(module, name, None) for name in (*kind.param_names, *kind.buffer_names)}
    arrays = {name: as_array(torch, _join(path, name), value) for name, value in tensors.items() if value is not None}
    arguments = {name: getattr(module, name) for name in kind.config_names if name not in kind.param_names}
    arguments |= {name: name in arrays for name in kind.config_names if name in kind.param_names}
    floats = [array for array in arrays.values() if array.dtype.kind == "f"]
    try:
        layer = kind(**arguments, **({"dtype": np.result_type(*floats)} if floats else {}))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error
    if missing := [name for name, value in layer.state_dict().items() if name not in arrays]:
        raise ValueError(f"{where}: expected {kind.__name__} with {missing[0]}, got none")
    layer.load_state_dict(arrays)
    return layer


def as_array(torch: Any, name: str, tensor: Any) -> Array:
    """A tensor as an array of a dtype that NumPy has: half precision becomes float32, which holds the same numbers."""
    if not isinstance(tensor, torch.Tensor):
        if isinstance(tensor, np.ndarray):
            return tensor
        raise TypeError(f"from_torch: expected {name} as a tensor, got {type(tensor).__name__}")
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin) or tensor.is_meta:
        raise ValueError(f"from_torch: expected {name} with numbers, got a tensor that has none yet")
    if tensor.layout != torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise TypeError(f"from_torch: expected {name} as a dense tensor, got a {kind} one")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32)
    array: Array = tensor.numpy()
    return array


def to_torch(model: nn.Module) -> Any:
    """A PyTorch module with copies of the parameters and statistics of a model.

    Parameters
    ----------
    model : Module
        Containers of layers that PyTorch has, or one such layer. It stays as it is.

    Returns
    -------
    torch.nn.Module
        On the CPU, with the dtypes of the model and the modes of its layers. PyTorch's random state is not touched.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError
        PyTorch has no such layer: the line names it and its place.

    Notes
    -----
    `Residual`, `Concat` and `Add` become modules of fastnn.interop.torch_containers, since PyTorch has no such classes.
    Masks of `Dropout` are drawn by other generators, so outputs in training mode differ where there is one.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> fastnn.interop.to_torch(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    torch = required("to_torch", "torch")
    if not isinstance(model, nn.Module):
        raise TypeError(f"to_torch: expected a fastnn.nn.Module, got {type(model).__name__}")
    return _twin(torch, model, "", {})


def _twin(torch: Any, layer: nn.Module, path: str, made: dict[int, Any]) -> Any:
    """The module of PyTorch for a layer; `made` has those that were met before."""
    if id(layer) in made:
        return made[id(layer)]
    where, name = _place("to_torch", path), type(layer).__name__
    known = LAYERS.get(name)
    if vars(layer).keys() & HOOKS:
        name, known = f"{name} with a method assigned to it", None
    if known is None or type(layer) is not getattr(nn, name):
        raise TypeError(f"{where}: expected a layer that PyTorch has, got {type(layer).__module__}.{name}")
    if isinstance(known, Unavailable):
        raise TypeError(f"{where}: expected a layer that PyTorch has, got {name}: {known.reason}")
    if name in CONTAINERS:
        built = {key: _twin(torch, child, _join(path, key), made) for key, child in layer.named_children()}
        module = _container(_kind(torch, name), built, {key: getattr(layer, key) for key in layer.config_names})
    else:
        module = _module(torch, layer, _kind(torch, name))
    module.training = layer.training
    made[id(layer)] = module
    return module


def _module(torch: Any, layer: nn.Module, kind: Callable[..., Any]) -> Any:
    """One module with the arguments and arrays of the layer; made without memory, so nothing is drawn for it."""
    arguments = {name: layer._argument(name) for name in layer.config_names}
    state = dict(layer._named_state())
    module = kind(**arguments, **({"device": "meta"} if layer.param_names else {}))
    for name, array in state.items():
        tensor = as_tensor(torch, array)
        setattr(module, name, torch.nn.Parameter(tensor) if name in layer.param_names else tensor)
    return module


def to_torch_state_dict(model: nn.Module) -> dict[str, Any]:
    """Copies of all parameters and buffers as tensors by name, as `torch.nn.Module.load_state_dict` takes them.

    Parameters
    ----------
    model : Module
        Any, with layers of your own too.

    Returns
    -------
    dict of str to torch.Tensor
        "0.weight" and so on.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError
        `model` is no module of fastnn.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> twin = torch.nn.Linear(3, 2)  # doctest: +SKIP
    >>> twin.load_state_dict(fastnn.interop.to_torch_state_dict(nn.Linear(3, 2)))  # doctest: +SKIP
    <All keys matched successfully>
    """
    torch = required("to_torch_state_dict", "torch")
    if not isinstance(model, nn.Module):
        raise TypeError(f"to_torch_state_dict: expected a fastnn.nn.Module, got {type(model).__name__}")
    return {name: as_tensor(torch, array) for name, array in model._named_state()}


def as_tensor(torch: Any, array: Array) -> Any:
    """A tensor with a copy of the array, rows one behind the other."""
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _place(function: str, path: str) -> str:
    return f"{function}: at {path}" if path else function

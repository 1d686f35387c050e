"""Snapshots of models for inference: copies of the arrays, batch normalisation folded into the layer before it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np

from .. import backend, nn

Array = np.ndarray


def frozen(model: nn.Module) -> nn.Module:
    """The same function in evaluation mode, on arrays of its own, in as few layers as it takes."""
    return nn.Sequential(*_chain([model])).eval()


def _chain(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Modules that run one after another, frozen."""
    layers: list[nn.Module] = []
    for layer in _leaves(modules):
        before = layers[-1] if layers else None
        if isinstance(layer, (nn.Dropout, nn.Identity)):
            continue
        if isinstance(before, nn.Linear) and isinstance(layer, nn.BatchNorm1d) and _folds(before, layer):
            layers[-1] = _folded(before, layer)
        elif isinstance(layer, nn.Residual):
            shortcut = None if layer.shortcut is None else frozen(layer.shortcut)
            layers.append(nn.Residual(*_chain(layer), shortcut=shortcut))
        elif isinstance(layer, nn.Concat):
            layers.append(nn.Concat(*map(frozen, layer), dim=layer.dim))
        elif isinstance(layer, nn.Add):
            layers.append(nn.Add(*map(frozen, layer)))
        else:
            layers.append(_copied(layer))
    return layers


def _leaves(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """The modules in the order of the computation, out of nested Sequentials."""
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _leaves(module)
        else:
            yield module


def _copied(layer: nn.Module) -> nn.Module:
    """The layer with copies of its parameters and buffers, each in the fast layout."""
    twin = copy.copy(layer)
    twin.training = False
    for name in (*layer.param_names, *layer.buffer_names):
        array = getattr(layer, name)
        if array is not None:
            fast = np.array(array, order="F" if array.ndim == 2 else "C")
            setattr(twin, name, backend.aligned(fast))
    return twin


def _folds(linear: nn.Linear, norm: nn.BatchNorm1d) -> bool:
    """Whether the running statistics of the second are numbers that the first can take up."""
    return norm.running_mean is not None and linear.weight.shape[:1] == norm.running_mean.shape


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    """One linear layer for both, computed in float64: W s and (b - mean) s + shift, s = scale / sqrt(var + eps)."""
    mean, var = np.asarray(norm.running_mean, float), np.asarray(norm.running_var, float)
    scale = 1 / np.sqrt(var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if linear.bias is None else linear.bias - mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    twin = copy.copy(linear)
    dtype = np.result_type(linear.weight, np.asarray(norm.running_mean))
    twin.weight = backend.aligned(np.asarray(linear.weight * scale[:, None], dtype, order="F"))
    twin.bias = shift.astype(dtype)
    twin.training = False
    return twin

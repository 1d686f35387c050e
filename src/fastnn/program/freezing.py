"""Snapshots of models for inference: copies of the arrays, batch normalisation folded into the layer before it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .. import backend, nn

Array = np.ndarray
# What takes up which batch normalisation.
FOLDS = ((nn.Linear, nn.Conv1d), nn.BatchNorm1d), ((nn.Conv2d, nn.ConvTranspose2d), nn.BatchNorm2d)


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
        if _folds(before, layer):
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
            fast = np.array(array, order="F" if isinstance(layer, nn.Linear) and array.ndim == 2 else "C")
            setattr(twin, name, backend.aligned(fast))
    return twin


def _folds(layer: Any, norm: Any) -> bool:
    """Whether the running statistics of the second are numbers that the first can take up."""
    if not any(isinstance(layer, before) and isinstance(norm, behind) for before, behind in FOLDS):
        return False
    transposed = isinstance(layer, nn.ConvTranspose2d)
    outputs = layer.weight.shape[1] * layer.groups if transposed else len(layer.weight)
    return norm.running_mean is not None and norm.running_mean.shape == (outputs,)


def _folded(layer: Any, norm: Any) -> Any:
    """One layer for both, computed in float64: w s and (b - mean) s + shift, s = scale / sqrt(var + eps)."""
    mean, var = np.asarray(norm.running_mean, float), np.asarray(norm.running_var, float)
    scale = 1 / np.sqrt(var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if layer.bias is None else layer.bias - mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    factors = scale[:, None]  # for the first two axes of the weight
    if isinstance(layer, nn.ConvTranspose2d):  # (in, out / groups, ...), one group after the other
        factors = scale.reshape(layer.groups, -1).repeat(len(layer.weight) // layer.groups, 0)
    weight = layer.weight * factors.reshape(*factors.shape, *(1,) * (layer.weight.ndim - 2))
    twin = copy.copy(layer)
    dtype = np.result_type(layer.weight, np.asarray(norm.running_mean))
    twin.weight = backend.aligned(np.asarray(weight, dtype, order="F" if weight.ndim == 2 else "C"))
    twin.bias = shift.astype(dtype)
    twin.training = False
    return twin

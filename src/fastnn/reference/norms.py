"""Normalisation of every sample by itself: layer norm and RMS norm of rows, group norm of groups of channels.

Vectors are weight and bias, each of which may be None.
"""

from __future__ import annotations

import numpy as np

from .. import checks


def _affine(normal: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """normal w + b, for what broadcasts."""
    output = normal if weight is None else normal * weight
    return output if bias is None else output + bias


def _normal(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """(x - mean) / std and 1 / std of each row, with the biased variance by two passes."""
    count = x.dtype.type(max(x.shape[-1], 1))
    centred = x - x.sum(axis=-1, keepdims=True) / count
    inv_std = 1 / np.sqrt((centred * centred).sum(axis=-1, keepdims=True) / count + x.dtype.type(eps))
    return centred * inv_std, inv_std


def _normal_backward(normal: np.ndarray, inv_std: np.ndarray, g: np.ndarray) -> np.ndarray:
    """dx = (g - mean(g) - y mean(g y)) / std for y = (x - mean) / std and its gradient g."""
    count = g.dtype.type(max(g.shape[-1], 1))
    means = [array.sum(axis=-1, keepdims=True) / count for array in (g, g * normal)]
    return inv_std * (g - means[0] - normal * means[1])


@np.errstate(all="ignore")
def layer_norm_forward(input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float) -> np.ndarray:
    """y = (x - mean) / sqrt(var + eps) w + b of each row: input (rows, cols), weight and bias (cols,)."""
    input, weight, bias = checks.feature_rows("LayerNorm", input, weight=weight, bias=bias)
    return _affine(_normal(input, eps)[0], weight, bias)


@np.errstate(all="ignore")
def layer_norm_backward(
    input: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> dx, dw = sum(dy xhat), db = sum(dy), the sums over the rows."""
    input, weight, grad_output = checks.feature_rows("LayerNorm", input, weight=weight, grad_output=grad_output)
    normal, inv_std = _normal(input, eps)
    grad_input = _normal_backward(normal, inv_std, _affine(grad_output, weight, None))
    return grad_input, (grad_output * normal).sum(axis=0), grad_output.sum(axis=0)


def _inverse_rms(x: np.ndarray, eps: float) -> np.ndarray:
    """1 / sqrt(mean(x^2) + eps) of each row."""
    count = x.dtype.type(max(x.shape[-1], 1))
    return 1 / np.sqrt((x * x).sum(axis=-1, keepdims=True) / count + x.dtype.type(eps))


@np.errstate(all="ignore")
def rms_norm_forward(input: np.ndarray, weight: np.ndarray | None, eps: float) -> np.ndarray:
    """y = x / sqrt(mean(x^2) + eps) w of each row: input (rows, cols), weight (cols,)."""
    input, weight = checks.feature_rows("RMSNorm", input, weight=weight)
    return _affine(input * _inverse_rms(input, eps), weight, None)


@np.errstate(all="ignore")
def rms_norm_backward(
    input: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """-> dx = s (g - y mean(g y)) with y = s x and g = dy w, and dw = sum(dy y) over the rows."""
    input, weight, grad_output = checks.feature_rows("RMSNorm", input, weight=weight, grad_output=grad_output)
    scale = _inverse_rms(input, eps)
    normal, g = input * scale, _affine(grad_output, weight, None)
    mean = (g * normal).sum(axis=-1, keepdims=True) / g.dtype.type(max(g.shape[-1], 1))
    return scale * (g - normal * mean), (grad_output * normal).sum(axis=0)


def _group_rows(array: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, L) with a row for each group of each sample: (N, groups, C / groups * L)."""
    n, c, length = array.shape
    return array.reshape(n, groups, c // groups * length)


def _per_channel(vector: np.ndarray | None) -> np.ndarray | None:
    return None if vector is None else vector[:, None]


@np.errstate(all="ignore")
def group_norm_forward(
    input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, groups: int, eps: float
) -> np.ndarray:
    """y = (x - mean) / sqrt(var + eps) w + b of each group of channels: input (N, C, L), weight and bias (C,)."""
    input, weight, bias = checks.groups_of_channels("GroupNorm", groups, input, weight=weight, bias=bias)
    normal = _normal(_group_rows(input, groups), eps)[0].reshape(input.shape)
    return _affine(normal, _per_channel(weight), _per_channel(bias))


@np.errstate(all="ignore")
def group_norm_backward(
    input: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray, groups: int, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> dx, dw = sum(dy xhat), db = sum(dy), the sums per channel."""
    input, weight, grad_output = checks.groups_of_channels(
        "GroupNorm", groups, input, weight=weight, grad_output=grad_output
    )
    normal, inv_std = _normal(_group_rows(input, groups), eps)
    g = _group_rows(_affine(grad_output, _per_channel(weight), None), groups)
    grad_input = _normal_backward(normal, inv_std, g).reshape(input.shape)
    grad_weight = (grad_output * normal.reshape(input.shape)).sum(axis=(0, 2))
    return grad_input, grad_weight, grad_output.sum(axis=(0, 2))

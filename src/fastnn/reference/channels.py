"""Per channel: scale and shift, batch normalisation; input (N, C) or (N, C, L), vectors (C,)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks


def _per_channel(vector: np.ndarray | None, input: np.ndarray, absent: np.generic | float) -> Any:
    """A (C,) vector shaped to broadcast over the input; `absent` where it is None."""
    return absent if vector is None else vector.reshape((1, -1) + (1,) * (input.ndim - 2))


def _channel_sum(array: np.ndarray) -> np.ndarray:
    return array.sum(axis=(0, 2) if array.ndim == 3 else 0)


@np.errstate(all="ignore")
def channel_scale_forward(input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """y = x w + b per channel; weight and bias may each be None."""
    input, weight, bias = checks.channels("ChannelwiseScale", input, weight=weight, bias=bias)
    return input * _per_channel(weight, input, input.dtype.type(1)) + _per_channel(bias, input, input.dtype.type(0))


@np.errstate(all="ignore")
def channel_scale_backward(
    input: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> dx = dy w, dw = sum(dy x), db = sum(dy), the sums per channel."""
    input, grad_output, weight = checks.channels("ChannelwiseScale", input, grad_output=grad_output, weight=weight)
    grad_input = grad_output * _per_channel(weight, input, input.dtype.type(1))
    return grad_input, _channel_sum(grad_output * input), _channel_sum(grad_output)


def _moments(input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance per channel, by two passes."""
    count = input.size // max(input.shape[1], 1)
    mean = _channel_sum(input) / input.dtype.type(max(count, 1))
    var = _channel_sum((input - _per_channel(mean, input, 0)) ** 2) / input.dtype.type(max(count, 1))
    return mean, var


@np.errstate(all="ignore")
def batch_norm_forward(
    input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training mode -> y = (x - mean) / sqrt(var + eps) w + b, mean (C,), biased variance (C,) of this batch."""
    input, weight, bias = checks.channels("BatchNorm1d", input, weight=weight, bias=bias)
    mean, var = _moments(input)
    return batch_norm_inference(input, mean, var, weight, bias, eps), mean, var


@np.errstate(all="ignore")
def batch_norm_backward(
    input: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training mode -> dx = w / (std n) (n dy - sum(dy) - xhat sum(dy xhat)), dw = sum(dy xhat), db = sum(dy)."""
    input, grad_output, weight = checks.channels("BatchNorm1d", input, grad_output=grad_output, weight=weight)
    mean, var = _moments(input)
    inv_std = 1 / np.sqrt(var + input.dtype.type(eps))
    normal = (input - _per_channel(mean, input, 0)) * _per_channel(inv_std, input, 0)
    grad_weight, grad_bias = _channel_sum(grad_output * normal), _channel_sum(grad_output)
    count = input.dtype.type(max(input.size // max(input.shape[1], 1), 1))
    scale = inv_std if weight is None else inv_std * weight
    grad_input = _per_channel(scale, input, 0) * (
        grad_output - (_per_channel(grad_bias, input, 0) + normal * _per_channel(grad_weight, input, 0)) / count
    )
    return grad_input, grad_weight, grad_bias


@np.errstate(all="ignore")
def batch_norm_inference(
    input: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> np.ndarray:
    """Evaluation mode: y = (x - mean) / sqrt(var + eps) w + b with the given statistics."""
    input, mean, var, weight, bias = checks.channels("BatchNorm1d", input, mean=mean, var=var, weight=weight, bias=bias)
    inv_std = 1 / np.sqrt(var + input.dtype.type(eps))
    normal = (input - _per_channel(mean, input, 0)) * _per_channel(inv_std, input, 0)
    return channel_scale_forward(normal, weight, bias)


@np.errstate(all="ignore")
def batch_norm_inference_backward(
    input: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray | None, grad_output: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluation mode -> dx = dy w / std, dw = sum(dy xhat), db = sum(dy)."""
    input, grad_output, mean, var, weight = checks.channels(
        "BatchNorm1d", input, grad_output=grad_output, mean=mean, var=var, weight=weight
    )
    inv_std = 1 / np.sqrt(var + input.dtype.type(eps))
    normal = (input - _per_channel(mean, input, 0)) * _per_channel(inv_std, input, 0)
    scale = inv_std if weight is None else inv_std * weight
    grad_input = grad_output * _per_channel(scale, input, 0)
    return grad_input, _channel_sum(grad_output * normal), _channel_sum(grad_output)

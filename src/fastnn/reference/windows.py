"""Windows that slide over images: convolutions and pooling.

Images are (N, C, H, W). kernel, stride and dilation are pairs (down, across), padding is two: ((top, bottom), (left,
right)). There are (OH, OW) windows, OH = (H + top + bottom - dilation (kernel - 1) - 1) // stride + 1, and OW alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks

_Pair = tuple[int, int]
_Padding = tuple[_Pair, _Pair]


def _padded(input: np.ndarray, padding: _Padding, value: float) -> np.ndarray:
    return np.pad(input, ((0, 0), (0, 0), *padding), constant_values=value)


def _windows(padded: np.ndarray, kernel: _Pair, stride: _Pair, dilation: _Pair = (1, 1)) -> np.ndarray:
    """The windows of a padded image, as a view (N, C, OH, OW, kh, kw)."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(padded, spans, (2, 3))
    return every[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _scattered(windows: np.ndarray, size: _Pair, stride: _Pair, padding: _Padding, dilation: _Pair) -> np.ndarray:
    """The transpose of `_windows`: every element (N, C, OH, OW, kh, kw) added where it came from, without padding."""
    n, c, rows, cols, kh, kw = windows.shape
    image = np.zeros((n, c, *(s + sum(p) for s, p in zip(size, padding, strict=True))), windows.dtype)
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation[0], j * dilation[1]
            bottom, right = top + stride[0] * (rows - 1) + 1, left + stride[1] * (cols - 1) + 1
            image[:, :, top : bottom : stride[0], left : right : stride[1]] += windows[..., i, j]
    top, left = padding[0][0], padding[1][0]
    return np.ascontiguousarray(image[:, :, top : top + size[0], left : left + size[1]])


# Convolutions: the channels are in `groups` groups, each of which meets its own part of the weight alone.


@np.errstate(all="ignore")
def conv_forward(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: _Pair,
    padding: _Padding,
    dilation: _Pair,
    groups: int,
) -> np.ndarray:
    """Input (N, in, H, W), weight (out, in / groups, kh, kw), bias (out,) or None -> (N, out, OH, OW).

    It is the cross-correlation: the kernel is not flipped.
    """
    weight, input, bias, _ = checks.conv(
        "Conv2d", None, stride, padding, dilation, groups, weight=weight, input=input, bias=bias
    )
    windows = _windows(_padded(input, padding, 0), weight.shape[2:], stride, dilation)
    parts = [
        np.tensordot(w, x, ((1, 2, 3), (1, 4, 5)))  # (out / groups, N, OH, OW)
        for w, x in zip(np.split(weight, groups), np.split(windows, groups, 1), strict=True)
    ]
    output = np.ascontiguousarray(np.concatenate(parts).swapaxes(0, 1))
    return output if bias is None else output + bias[:, None, None]


@np.errstate(all="ignore")
def conv_backward_input(
    grad_output: np.ndarray,
    weight: np.ndarray,
    size: _Pair,
    stride: _Pair,
    padding: _Padding,
    dilation: _Pair,
    groups: int,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """grad_output (N, out, OH, OW), size (H, W) of the input -> (N, in, H, W), + bias (in,)."""
    weight, _, bias, grad_output = checks.conv(
        "Conv2d", size, stride, padding, dilation, groups, weight=weight, grad_output=grad_output, bias=bias
    )
    parts = [
        np.tensordot(w, dy, ((0,), (1,)))  # (in / groups, kh, kw, N, OH, OW)
        for w, dy in zip(np.split(weight, groups), np.split(grad_output, groups, 1), strict=True)
    ]
    spread = _scattered(np.concatenate(parts).transpose(3, 0, 4, 5, 1, 2), size, stride, padding, dilation)
    return spread if bias is None else spread + bias[:, None, None]


@np.errstate(all="ignore")
def conv_backward_params(
    input: np.ndarray,
    grad_output: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray | None,
    stride: _Pair,
    padding: _Padding,
    dilation: _Pair,
    groups: int,
) -> None:
    """In place: adds to grad_weight (out, in / groups, kh, kw) and, unless it is None, to grad_bias (out,)."""
    checks.updated("Conv2d", "grad_weight", grad_weight)
    if grad_bias is not None:
        checks.updated("Conv2d", "grad_bias", grad_bias)
    weight, input, _, grad_output = checks.conv(
        "Conv2d",
        None,
        stride,
        padding,
        dilation,
        groups,
        weight=grad_weight,
        input=input,
        bias=grad_bias,
        grad_output=grad_output,
    )
    windows = _windows(_padded(input, padding, 0), weight.shape[2:], stride, dilation)
    parts = [
        np.tensordot(dy, x, ((0, 2, 3), (0, 2, 3)))
        for dy, x in zip(np.split(grad_output, groups, 1), np.split(windows, groups, 1), strict=True)
    ]
    grad_weight += np.concatenate(parts)
    if grad_bias is not None:
        grad_bias += grad_output.sum(axis=(0, 2, 3))


# Pooling


def _pooled(where: str, input: Any, kernel: _Pair, stride: _Pair, padding: _Padding, dilation: _Pair) -> np.ndarray:
    """The input, checked to have windows."""
    (input,) = checks.images(where, input=input)
    checks.window_counts(where, input.shape[2:], kernel, stride, padding, dilation)
    return input


@np.errstate(all="ignore")
def max_pool_forward(input: np.ndarray, kernel: _Pair, stride: _Pair, padding: _Padding, dilation: _Pair) -> np.ndarray:
    """The largest element of each window, NaN if there is one; padding is less than anything: -> (N, C, OH, OW)."""
    input = _pooled("MaxPool2d", input, kernel, stride, padding, dilation)
    return _windows(_padded(input, padding, -np.inf), kernel, stride, dilation).max(axis=(4, 5))


@np.errstate(all="ignore")
def max_pool_backward(
    input: np.ndarray, grad_output: np.ndarray, kernel: _Pair, stride: _Pair, padding: _Padding, dilation: _Pair
) -> np.ndarray:
    """To the first of the largest elements of each window, row by row; NaN is larger than any number."""
    input, grad_output = checks.images("MaxPool2d", input=input, grad_output=grad_output)
    counts = checks.window_counts("MaxPool2d", input.shape[2:], kernel, stride, padding, dilation)
    checks.shape("MaxPool2d", "grad_output", grad_output, (*input.shape[:2], *counts))
    windows = _windows(_padded(input, padding, -np.inf), kernel, stride, dilation)
    inside = _windows(_padded(np.ones_like(input, bool), padding, False), kernel, stride, dilation)
    largest = windows.max(axis=(4, 5), keepdims=True)
    candidates = inside & ((windows == largest) | np.isnan(windows))
    count = kernel[0] * kernel[1]
    first = candidates.reshape(*candidates.shape[:4], count).argmax(axis=-1)
    chosen = first[..., None] == np.arange(count)
    grads = np.where(chosen, grad_output[..., None], grad_output.dtype.type(0)).reshape(windows.shape)
    return _scattered(grads, input.shape[2:], stride, padding, dilation)


def _divisors(size: _Pair, kernel: _Pair, stride: _Pair, padding: _Padding, count_include_pad: bool) -> np.ndarray:
    """By how many each window's sum is divided: all its elements, or those inside of the image; (OH, OW) or ()."""
    if count_include_pad:
        return np.asarray(float(kernel[0] * kernel[1]))
    return _windows(_padded(np.ones((1, 1, *size)), padding, 0), kernel, stride).sum(axis=(0, 1, 4, 5))


@np.errstate(all="ignore")
def avg_pool_forward(
    input: np.ndarray, kernel: _Pair, stride: _Pair, padding: _Padding, count_include_pad: bool
) -> np.ndarray:
    """The mean of each window, where padding counts as zeros or, without `count_include_pad`, not at all."""
    input = _pooled("AvgPool2d", input, kernel, stride, padding, (1, 1))
    divisors = _divisors(input.shape[2:], kernel, stride, padding, count_include_pad).astype(input.dtype)
    return _windows(_padded(input, padding, 0), kernel, stride).sum(axis=(4, 5)) / divisors


@np.errstate(all="ignore")
def avg_pool_backward(
    grad_output: np.ndarray, size: _Pair, kernel: _Pair, stride: _Pair, padding: _Padding, count_include_pad: bool
) -> np.ndarray:
    """grad_output (N, C, OH, OW), size (H, W) of the input -> (N, C, H, W)."""
    (grad_output,) = checks.images("AvgPool2d", grad_output=grad_output)
    checks.pair("AvgPool2d", "size", size, 0)
    counts = checks.window_counts("AvgPool2d", size, kernel, stride, padding)
    checks.shape("AvgPool2d", "grad_output", grad_output, ("N", "C", *counts))
    shares = grad_output / _divisors(size, kernel, stride, padding, count_include_pad).astype(grad_output.dtype)
    grads = np.broadcast_to(shares[..., None, None], (*shares.shape, *kernel))
    return _scattered(grads, size, stride, padding, (1, 1))


def _spans(size: int, count: int) -> list[slice]:
    """Windows that cover `size` elements evenly: window i is [floor(i size / count), ceil((i + 1) size / count))."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@np.errstate(all="ignore")
def adaptive_avg_pool_forward(input: np.ndarray, out_size: _Pair) -> np.ndarray:
    """Means of windows that cover the image evenly: -> (N, C, OH, OW), out_size = (OH, OW)."""
    (input,) = checks.images("AdaptiveAvgPool2d", input=input)
    checks.even_windows("AdaptiveAvgPool2d", input.shape[2:], out_size)
    output = np.empty((*input.shape[:2], *out_size), input.dtype)
    for i, rows in enumerate(_spans(input.shape[2], out_size[0])):
        for j, cols in enumerate(_spans(input.shape[3], out_size[1])):
            output[:, :, i, j] = input[:, :, rows, cols].mean(axis=(2, 3))
    return output


@np.errstate(all="ignore")
def adaptive_avg_pool_backward(grad_output: np.ndarray, size: _Pair) -> np.ndarray:
    """grad_output (N, C, OH, OW), size (H, W) of the input -> (N, C, H, W)."""
    (grad_output,) = checks.images("AdaptiveAvgPool2d", grad_output=grad_output)
    checks.even_windows("AdaptiveAvgPool2d", size, grad_output.shape[2:])
    grad_input = np.zeros((*grad_output.shape[:2], *size), grad_output.dtype)
    for i, rows in enumerate(_spans(size[0], grad_output.shape[2])):
        for j, cols in enumerate(_spans(size[1], grad_output.shape[3])):
            count = grad_output.dtype.type((rows.stop - rows.start) * (cols.stop - cols.start))
            grad_input[:, :, rows, cols] += (grad_output[:, :, i, j] / count)[..., None, None]
    return grad_input


# Nearest neighbours: every pixel becomes a block of `scale` pixels


@np.errstate(all="ignore")
def upsample_forward(input: np.ndarray, scale: _Pair) -> np.ndarray:
    """Every pixel repeated, scale[0] times down and scale[1] times across."""
    (input,) = checks.images("Upsample", input=input)
    checks.pair("Upsample", "scale", scale, 1)
    return input.repeat(scale[0], axis=2).repeat(scale[1], axis=3)


@np.errstate(all="ignore")
def upsample_backward(grad_output: np.ndarray, scale: _Pair) -> np.ndarray:
    """The sum of every block."""
    (grad_output,) = checks.images("Upsample", grad_output=grad_output)
    checks.pair("Upsample", "scale", scale, 1)
    n, c, height, width = grad_output.shape
    if height % scale[0] or width % scale[1]:
        raise ValueError(f"Upsample: expected grad_output of whole blocks of {scale}, got {grad_output.shape}")
    blocks = grad_output.reshape(n, c, height // scale[0], scale[0], width // scale[1], scale[1])
    return blocks.sum(axis=(3, 5))

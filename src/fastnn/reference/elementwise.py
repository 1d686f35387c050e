"""Activations of each element, softmax over the last axis, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import checks

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715  # Hendrycks and Gimpel, "Gaussian error linear units", 2016
_SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al., "Self-normalizing neural networks", 2017
_SELU_ALPHA = 1.6732632423543772848170429916717


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    t = np.exp(-np.abs(x))
    return np.where(x < 0, t, 1) / (1 + t)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sech2(x: np.ndarray) -> np.ndarray:
    """1 - tanh(x)^2, without the cancellation."""
    t = np.exp(-2 * np.abs(x))
    return 4 * t / ((1 + t) * (1 + t))


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _erf(x * _SQRT_HALF))


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_gradient(x: np.ndarray, dy: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, dy, dy * alpha * np.exp(np.minimum(x, 0)))


def _gelu_tanh_argument(x: np.ndarray) -> np.ndarray:
    return _SQRT_2_PI * (x + _GELU_CUBIC * x * x * x)


def _gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, -32, 32)  # 0 or 1 beyond; there 0 times an infinite du would be NaN
    u, du = _gelu_tanh_argument(x), _SQRT_2_PI * (1 + 3 * _GELU_CUBIC * x * x)
    return 0.5 * (1 + np.tanh(u)) + 0.5 * x * _sech2(u) * du


# name -> (value, gradient), functions of x (and dy) and of two constants a and b
UNARY: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "ReLU": (lambda x, a, b: np.where(x < 0, 0, x), lambda x, dy, a, b: np.where(x <= 0, 0, dy)),
    "LeakyReLU": (lambda x, a, b: np.where(x > 0, x, a * x), lambda x, dy, a, b: np.where(x > 0, dy, a * dy)),
    "ELU": (lambda x, a, b: _elu(x, a), lambda x, dy, a, b: _elu_gradient(x, dy, a)),
    "SELU": (
        lambda x, a, b: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda x, dy, a, b: _SELU_SCALE * _elu_gradient(x, dy, _SELU_ALPHA),
    ),
    "Softplus": (
        lambda x, a, b: np.where(a * x > b, x, _softplus(a * x) / a),
        lambda x, dy, a, b: np.where(a * x > b, dy, dy * _sigmoid(a * x)),
    ),
    "Sigmoid": (lambda x, a, b: _sigmoid(x), lambda x, dy, a, b: dy * (_sigmoid(x) * _sigmoid(-x))),
    "Tanh": (lambda x, a, b: np.tanh(x), lambda x, dy, a, b: dy * _sech2(x)),
    "GELU": (
        lambda x, a, b: x * _normal_cdf(x),
        lambda x, dy, a, b: dy * (_normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)),
    ),
    "GELU_tanh": (
        lambda x, a, b: 0.5 * x * (1 + np.tanh(_gelu_tanh_argument(x))),
        lambda x, dy, a, b: dy * _gelu_tanh_slope(x),
    ),
    "SiLU": (lambda x, a, b: x * _sigmoid(x), lambda x, dy, a, b: dy * (_sigmoid(x) * (1 + x * _sigmoid(-x)))),
    "Mish": (
        lambda x, a, b: x * np.tanh(_softplus(x)),
        lambda x, dy, a, b: dy * (np.tanh(_softplus(x)) + x * _sech2(_softplus(x)) * _sigmoid(x)),
    ),
    "Hardtanh": (
        lambda x, a, b: np.where(x < a, a, np.where(x > b, b, x)),
        lambda x, dy, a, b: np.where((x <= a) | (x >= b), 0, dy),
    ),
}


@np.errstate(all="ignore")
def unary_forward(name: str, input: np.ndarray, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """y = f(x), f one of UNARY with its constants a and b; any shape."""
    (input,) = checks.elementwise(name, input=input)
    return UNARY[name][0](input, a, b).astype(input.dtype)


@np.errstate(all="ignore")
def unary_backward(name: str, input: np.ndarray, grad_output: np.ndarray, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """dx = dy f'(x)."""
    input, grad_output = checks.elementwise(name, input=input, grad_output=grad_output)
    return UNARY[name][1](input, grad_output, a, b).astype(input.dtype)


@np.errstate(all="ignore")
def softmax_forward(input: np.ndarray) -> np.ndarray:
    """y_i = exp(x_i - max) / sum_j exp(x_j - max), over the last axis."""
    (input,) = checks.rows("Softmax", input=input)
    if input.size == 0:
        return np.empty_like(input)
    e = np.exp(input - input.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@np.errstate(all="ignore")
def softmax_backward(input: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
    """dx = y (dy - sum(dy y)), y the softmax of the input."""
    input, grad_output = checks.rows("Softmax", input=input, grad_output=grad_output)
    y = softmax_forward(input)
    return y * (grad_output - (grad_output * y).sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_forward(input: np.ndarray) -> np.ndarray:
    """y_i = x_i - max - log sum_j exp(x_j - max), over the last axis."""
    (input,) = checks.rows("LogSoftmax", input=input)
    if input.size == 0:
        return np.empty_like(input)
    shifted = input - input.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_backward(input: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
    """dx = dy - softmax(x) sum(dy)."""
    input, grad_output = checks.rows("LogSoftmax", input=input, grad_output=grad_output)
    return grad_output - softmax_forward(input) * grad_output.sum(axis=-1, keepdims=True)


@np.errstate(all="ignore")
def softmax_backward_from_output(output: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
    """dx = y (dy - sum(dy y)), y the output of the forward, whatever it holds."""
    output, grad_output = checks.rows("Softmax", output=output, grad_output=grad_output)
    return output * (grad_output - (grad_output * output).sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_backward_from_output(output: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
    """dx = dy - exp(y) sum(dy), y the output of the forward, whatever it holds."""
    output, grad_output = checks.rows("LogSoftmax", output=output, grad_output=grad_output)
    return grad_output - np.exp(output) * grad_output.sum(axis=-1, keepdims=True)


# Dropout: a counter-based generator, so that element i is kept or dropped whatever the thread count or vector width.
_PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011
_PHILOX_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_MASK32 = 0xFFFFFFFF
DROPOUT_CHUNK = 1024  # elements drawn together: 128 Philox blocks of eight 16-bit numbers


def philox4x32(counter: Sequence[Any], key: Sequence[int]) -> np.ndarray:
    """Philox4x32-10: counter (4, n) and key (2,) of 32-bit numbers -> (4, n) random 32-bit numbers, as uint64."""
    words: list[np.ndarray] = [np.atleast_1d(np.asarray(c, np.uint64)) for c in counter]
    c0, c1, c2, c3 = words
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        p0, p1 = _PHILOX_MULTIPLIERS[0] * c0, _PHILOX_MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK32
        k0, k1 = (k0 + _PHILOX_KEY_STEPS[0]) & _MASK32, (k1 + _PHILOX_KEY_STEPS[1]) & _MASK32
    return np.stack([c0, c1, c2, c3])


def dropout_bits(size: int, seed: int, offset: int) -> np.ndarray:
    """The 16-bit random number of each of `size` elements, from a 64-bit seed (the key) and a 64-bit offset.

    Chunks of 1024 elements take 128 Philox blocks; element e of a chunk reads half-word e // 128 of block e % 128.
    The counter holds the block's number in its low 64 bits and the offset in its high ones.
    """
    blocks = np.arange(-(-size // DROPOUT_CHUNK) * 128, dtype=np.uint64)
    high = np.full_like(blocks, offset & _MASK32), np.full_like(blocks, (offset >> 32) & _MASK32)
    words = philox4x32([blocks & _MASK32, blocks >> 32, *high], (seed & _MASK32, (seed >> 32) & _MASK32))
    halves = np.stack([words & 0xFFFF, words >> 16], axis=1).reshape(8, -1, 128)  # (half-word, chunk, block)
    return halves.transpose(1, 0, 2).reshape(-1)[:size].astype(np.uint16)


@np.errstate(all="ignore")
def dropout(input: np.ndarray, p: float, seed: int, offset: int) -> np.ndarray:
    """y = x / (1 - p) where the element's 16-bit number is at least round(65536 p), else x * 0.

    The same call on grad_output is the backward. p is honoured to 1/65536; the mask depends on seed, offset and the
    element's position in C order alone.
    """
    (input,) = checks.elementwise("Dropout", input=input)
    p = checks.probability("Dropout", p)
    keep = dropout_bits(input.size, seed, offset).reshape(input.shape) >= round(65536 * p)
    return input * (keep * (1 / (1 - p))).astype(input.dtype)


def bernoulli_mask(bit_generator: np.random.BitGenerator, size: int, keep: float) -> np.ndarray:
    """mask (size,) of int64, 1 with probability keep: RandomState.binomial(1, keep, size), from the same stream."""
    checks.keeping("Dropout", keep)
    return np.random.RandomState(bit_generator).binomial(1, keep, size).astype(np.int64, copy=False)


@np.errstate(all="ignore")
def masked_scale(input: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """y = x mask scale, with a mask of integers."""
    (input,) = checks.elementwise("Dropout", input=input)
    return input * (checks.mask("Dropout", mask, input).astype(input.dtype) * input.dtype.type(scale))

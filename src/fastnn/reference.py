"""The NumPy twin of the compiled back end: same names, same arguments, same exceptions; clear, never optimised.

It is the fallback where nothing is compiled and the oracle of the tests (in float64). Shapes: N is the batch, C the
channels or classes. Every function returns new arrays except where its summary says "in place". `grad_output` is the
gradient of the loss with respect to the operation's output. Everything is computed in the arrays' common dtype.
"""

from __future__ import annotations

import math

import numpy as np

from . import checks

# ---------------------------------------------------------------------------------------------------------------
# Linear maps
# ---------------------------------------------------------------------------------------------------------------


def linear_forward(input, weight, bias):
    """y = x W^T + b: input (N, in), weight (out, in), bias (out,) or None -> (N, out)."""
    weight, input, bias, _ = checks.linear("Linear", weight=weight, input=input, bias=bias)
    output = input @ weight.T
    return output if bias is None else output + bias


def linear_backward_input(grad_output, weight):
    """dx = dy W: grad_output (N, out), weight (out, in) -> (N, in)."""
    weight, _, _, grad_output = checks.linear("Linear", weight=weight, grad_output=grad_output)
    return grad_output @ weight


def linear_backward_params(input, grad_output, grad_weight, grad_bias):
    """In place: grad_weight += dy^T x and, unless it is None, grad_bias += sum over the batch of dy."""
    checks.updated("Linear", "grad_weight", grad_weight)
    if grad_bias is not None:
        checks.updated("Linear", "grad_bias", grad_bias)
    _, input, _, grad_output = checks.linear(
        "Linear", weight=grad_weight, input=input, bias=grad_bias, grad_output=grad_output
    )
    grad_weight += grad_output.T @ input
    if grad_bias is not None:
        grad_bias += grad_output.sum(axis=0)


# ---------------------------------------------------------------------------------------------------------------
# Elementwise activations: name -> (value, gradient), functions of x (and dy) and of two constants a and b
# ---------------------------------------------------------------------------------------------------------------

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715  # Hendrycks and Gimpel, "Gaussian error linear units", 2016
_SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al., "Self-normalizing neural networks", 2017
_SELU_ALPHA = 1.6732632423543772848170429916717


def _erf(x):
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


def _sigmoid(x):
    t = np.exp(-np.abs(x))
    return np.where(x < 0, t, 1) / (1 + t)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sech2(x):
    """1 - tanh(x)^2, without the cancellation."""
    t = np.exp(-2 * np.abs(x))
    return 4 * t / ((1 + t) * (1 + t))


def _normal_cdf(x):
    return 0.5 * (1 + _erf(x * _SQRT_HALF))


def _elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_gradient(x, dy, alpha):
    return np.where(x > 0, dy, dy * alpha * np.exp(np.minimum(x, 0)))


def _gelu_tanh_argument(x):
    return _SQRT_2_PI * (x + _GELU_CUBIC * x * x * x)


def _gelu_tanh_slope(x):
    u, du = _gelu_tanh_argument(x), _SQRT_2_PI * (1 + 3 * _GELU_CUBIC * x * x)
    return 0.5 * (1 + np.tanh(u)) + 0.5 * x * _sech2(u) * du


UNARY = {
    "relu": (lambda x, a, b: np.where(x < 0, 0, x), lambda x, dy, a, b: np.where(x <= 0, 0, dy)),
    "leaky_relu": (lambda x, a, b: np.where(x > 0, x, a * x), lambda x, dy, a, b: np.where(x > 0, dy, a * dy)),
    "elu": (lambda x, a, b: _elu(x, a), lambda x, dy, a, b: _elu_gradient(x, dy, a)),
    "selu": (
        lambda x, a, b: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda x, dy, a, b: _SELU_SCALE * _elu_gradient(x, dy, _SELU_ALPHA),
    ),
    "softplus": (
        lambda x, a, b: np.where(a * x > b, x, _softplus(a * x) / a),
        lambda x, dy, a, b: np.where(a * x > b, dy, dy * _sigmoid(a * x)),
    ),
    "sigmoid": (lambda x, a, b: _sigmoid(x), lambda x, dy, a, b: dy * (_sigmoid(x) * _sigmoid(-x))),
    "tanh": (lambda x, a, b: np.tanh(x), lambda x, dy, a, b: dy * _sech2(x)),
    "gelu": (
        lambda x, a, b: x * _normal_cdf(x),
        lambda x, dy, a, b: dy * (_normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)),
    ),
    "gelu_tanh": (
        lambda x, a, b: 0.5 * x * (1 + np.tanh(_gelu_tanh_argument(x))),
        lambda x, dy, a, b: dy * _gelu_tanh_slope(x),
    ),
    "silu": (lambda x, a, b: x * _sigmoid(x), lambda x, dy, a, b: dy * (_sigmoid(x) * (1 + x * _sigmoid(-x)))),
    "mish": (
        lambda x, a, b: x * np.tanh(_softplus(x)),
        lambda x, dy, a, b: dy * (np.tanh(_softplus(x)) + x * _sech2(_softplus(x)) * _sigmoid(x)),
    ),
    "hardtanh": (
        lambda x, a, b: np.where(x < a, a, np.where(x > b, b, x)),
        lambda x, dy, a, b: np.where((x <= a) | (x >= b), 0, dy),
    ),
}


@np.errstate(all="ignore")
def unary_forward(name, input, a=0.0, b=0.0):
    """y = f(x), f one of UNARY with its constants a and b; any shape."""
    (input,) = checks.elementwise(name, input=input)
    return UNARY[name][0](input, a, b).astype(input.dtype)


@np.errstate(all="ignore")
def unary_backward(name, input, grad_output, a=0.0, b=0.0):
    """dx = dy f'(x)."""
    input, grad_output = checks.elementwise(name, input=input, grad_output=grad_output)
    return UNARY[name][1](input, grad_output, a, b).astype(input.dtype)


# ---------------------------------------------------------------------------------------------------------------
# Softmax over the last axis
# ---------------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def softmax_forward(input):
    """y_i = exp(x_i - max) / sum_j exp(x_j - max), over the last axis."""
    (input,) = checks.rows("Softmax", input=input)
    if input.size == 0:
        return np.empty_like(input)
    e = np.exp(input - input.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@np.errstate(all="ignore")
def softmax_backward(input, grad_output):
    """dx = y (dy - sum(dy y)), y the softmax of the input."""
    input, grad_output = checks.rows("Softmax", input=input, grad_output=grad_output)
    y = softmax_forward(input)
    return y * (grad_output - (grad_output * y).sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_forward(input):
    """y_i = x_i - max - log sum_j exp(x_j - max), over the last axis."""
    (input,) = checks.rows("LogSoftmax", input=input)
    if input.size == 0:
        return np.empty_like(input)
    shifted = input - input.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_backward(input, grad_output):
    """dx = dy - softmax(x) sum(dy)."""
    input, grad_output = checks.rows("LogSoftmax", input=input, grad_output=grad_output)
    return grad_output - softmax_forward(input) * grad_output.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------------------------------------------------------
# Per channel: scale and shift, batch normalisation; input (N, C) or (N, C, L), vectors (C,)
# ---------------------------------------------------------------------------------------------------------------


def _per_channel(vector, input, absent):
    """A (C,) vector shaped to broadcast over the input; `absent` where it is None."""
    return absent if vector is None else vector.reshape((1, -1) + (1,) * (input.ndim - 2))


def _channel_sum(array):
    return array.sum(axis=(0, 2) if array.ndim == 3 else 0)


def channel_scale_forward(input, weight, bias):
    """y = x w + b per channel; weight and bias may each be None."""
    input, weight, bias = checks.channels("ChannelwiseScale", input, weight=weight, bias=bias)
    return input * _per_channel(weight, input, input.dtype.type(1)) + _per_channel(bias, input, input.dtype.type(0))


def channel_scale_backward(input, weight, grad_output):
    """-> dx = dy w, dw = sum(dy x), db = sum(dy), the sums per channel."""
    input, grad_output, weight = checks.channels("ChannelwiseScale", input, grad_output=grad_output, weight=weight)
    grad_input = grad_output * _per_channel(weight, input, input.dtype.type(1))
    return grad_input, _channel_sum(grad_output * input), _channel_sum(grad_output)


def _moments(input):
    """Mean and biased variance per channel, by two passes."""
    count = input.size // max(input.shape[1], 1)
    mean = _channel_sum(input) / input.dtype.type(max(count, 1))
    var = _channel_sum((input - _per_channel(mean, input, 0)) ** 2) / input.dtype.type(max(count, 1))
    return mean, var


@np.errstate(all="ignore")
def batch_norm_forward(input, weight, bias, eps):
    """Training mode -> y = (x - mean) / sqrt(var + eps) w + b, mean (C,), biased variance (C,) of this batch."""
    input, weight, bias = checks.channels("BatchNorm1d", input, weight=weight, bias=bias)
    mean, var = _moments(input)
    return batch_norm_inference(input, mean, var, weight, bias, eps), mean, var


@np.errstate(all="ignore")
def batch_norm_backward(input, weight, grad_output, eps):
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
def batch_norm_inference(input, mean, var, weight, bias, eps):
    """Evaluation mode: y = (x - mean) / sqrt(var + eps) w + b with the given statistics."""
    input, mean, var, weight, bias = checks.channels("BatchNorm1d", input, mean=mean, var=var, weight=weight, bias=bias)
    inv_std = 1 / np.sqrt(var + input.dtype.type(eps))
    normal = (input - _per_channel(mean, input, 0)) * _per_channel(inv_std, input, 0)
    return channel_scale_forward(normal, weight, bias)


@np.errstate(all="ignore")
def batch_norm_inference_backward(input, mean, var, weight, grad_output, eps):
    """Evaluation mode -> dx = dy w / std, dw = sum(dy xhat), db = sum(dy)."""
    input, grad_output, mean, var, weight = checks.channels(
        "BatchNorm1d", input, grad_output=grad_output, mean=mean, var=var, weight=weight
    )
    inv_std = 1 / np.sqrt(var + input.dtype.type(eps))
    normal = (input - _per_channel(mean, input, 0)) * _per_channel(inv_std, input, 0)
    scale = inv_std if weight is None else inv_std * weight
    grad_input = grad_output * _per_channel(scale, input, 0)
    return grad_input, _channel_sum(grad_output * normal), _channel_sum(grad_output)


# ---------------------------------------------------------------------------------------------------------------
# Dropout: a counter-based generator, so that element i is kept or dropped whatever the thread count or vector width
# ---------------------------------------------------------------------------------------------------------------

_PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011
_PHILOX_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_MASK32 = 0xFFFFFFFF
DROPOUT_CHUNK = 1024  # elements drawn together: 128 Philox blocks of eight 16-bit numbers


def philox4x32(counter, key):
    """Philox4x32-10: counter (4, n) and key (2,) of 32-bit numbers -> (4, n) random 32-bit numbers, as uint64."""
    c0, c1, c2, c3 = (np.atleast_1d(np.asarray(c, np.uint64)) for c in counter)
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        p0, p1 = _PHILOX_MULTIPLIERS[0] * c0, _PHILOX_MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK32
        k0, k1 = (k0 + _PHILOX_KEY_STEPS[0]) & _MASK32, (k1 + _PHILOX_KEY_STEPS[1]) & _MASK32
    return np.stack([c0, c1, c2, c3])


def dropout_bits(size, seed, offset):
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
def dropout(input, p, seed, offset):
    """y = x / (1 - p) where the element's 16-bit number is at least round(65536 p), else x * 0.

    The same call on grad_output is the backward. p is honoured to 1/65536; the mask depends on seed, offset and the
    element's position in C order alone.
    """
    (input,) = checks.elementwise("Dropout", input=input)
    p = checks.probability("Dropout", p)
    keep = dropout_bits(input.size, seed, offset).reshape(input.shape) >= round(65536 * p)
    return input * (keep * (1 / (1 - p))).astype(input.dtype)


# ---------------------------------------------------------------------------------------------------------------
# Losses. Totals are sums over the batch; the criterions divide them.
# ---------------------------------------------------------------------------------------------------------------

LOSS = {
    "mse": (lambda x, t, a: (x - t) ** 2, lambda x, t, a: 2 * (x - t)),
    "l1": (lambda x, t, a: np.abs(x - t), lambda x, t, a: np.sign(x - t)),
    "huber": (
        lambda x, t, a: np.where(np.abs(x - t) <= a, 0.5 * (x - t) ** 2, a * (np.abs(x - t) - 0.5 * a)),
        lambda x, t, a: np.clip(x - t, -a, a),
    ),
    "bce_with_logits": (
        lambda x, t, a: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        lambda x, t, a: _sigmoid(x) - t,
    ),
}


@np.errstate(all="ignore")
def loss_forward(name, input, target, a=0.0):
    """The sum over all elements of an elementwise loss, one of LOSS with its constant a, as a float."""
    input, target = checks.elementwise(name, input=input, target=target)
    return float(LOSS[name][0](input, target, a).sum(dtype=np.float64))


@np.errstate(all="ignore")
def loss_backward(name, input, target, scale, a=0.0):
    """scale times the derivative of the elementwise loss by its input."""
    input, target = checks.elementwise(name, input=input, target=target)
    return (scale * LOSS[name][1](input, target, a)).astype(input.dtype)


def _class_weights(input, labels, rows, weight, ignore_index, smoothing=0.0):
    """q (N, C): the weight of every class in the loss -sum(q log p) of a row; and the total weight of the batch.

    Labels: q = w (1 - s) at the label and w s / C everywhere, 0 in ignored rows; the total is the sum of the labels'
    w. Rows t: q = w (t (1 - s) + s / C); the total is N. As in PyTorch.
    """
    n, c = input.shape
    w = np.ones(c) if weight is None else weight.astype(np.float64)
    spread = smoothing / max(c, 1)
    if labels is None:
        return w * (rows * (1 - smoothing) + spread), float(n)
    used = labels != ignore_index
    safe = np.where(used, labels, 0)
    q = np.tile(w * spread, (n, 1))
    q[np.arange(n), safe] += w[safe] * (1 - smoothing)
    return np.where(used[:, None], q, 0), float(np.where(used, w[safe], 0).sum())


def _weighted(q, scores):
    """sum(q scores) of each row, in which classes of weight 0 do not count even where the score is infinite."""
    return np.where(q == 0, 0, q * scores).sum(axis=1)


def nll_forward(input, target, weight=None, ignore_index=-100):
    """Negative log-likelihood of log-probabilities (N, C) -> total loss, total weight (floats).

    The target is labels (N,) or rows (N, C).
    """
    input, labels, rows, weight = checks.classes("NLLLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index)
    return float(-_weighted(q, input.astype(np.float64)).sum()), total_weight


def nll_backward(input, target, scale, weight=None, ignore_index=-100):
    """scale times the derivative of the total of `nll_forward` by its input (N, C)."""
    input, labels, rows, weight = checks.classes("NLLLoss", input, target, weight, ignore_index)
    q, _ = _class_weights(input, labels, rows, weight, ignore_index)
    return (-scale * q).astype(input.dtype)


def cross_entropy_forward(input, target, weight=None, ignore_index=-100, label_smoothing=0.0):
    """Negative log-likelihood of the softmax of scores (N, C) -> total loss, total weight (floats)."""
    input, labels, rows, weight = checks.classes("CrossEntropyLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index, label_smoothing)
    return float(-_weighted(q, log_softmax_forward(input.astype(np.float64))).sum()), total_weight


@np.errstate(all="ignore")
def cross_entropy_backward(input, target, scale, weight=None, ignore_index=-100, label_smoothing=0.0):
    """scale times the derivative of the total of `cross_entropy_forward`: softmax(x) sum(q) - q in each row."""
    input, labels, rows, weight = checks.classes("CrossEntropyLoss", input, target, weight, ignore_index)
    q, _ = _class_weights(input, labels, rows, weight, ignore_index, label_smoothing)
    total = q.sum(axis=1, keepdims=True)
    grad = softmax_forward(input.astype(np.float64)) * total - q
    used = np.ones(len(input), bool) if labels is None else labels != ignore_index
    return (scale * np.where(used[:, None], grad, 0)).astype(input.dtype)


# ---------------------------------------------------------------------------------------------------------------
# Optimisers' updates, all in place on the parameter and its states; hyper-parameters are floats
# ---------------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def sgd_update(param, grad, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """g += wd p; v = g at the first step, else momentum v + (1 - dampening) g; p -= lr (g + momentum v, or v, or g).

    velocity is None without momentum.
    """
    param, grad, velocity = checks.update("SGD", param, grad, ("velocity",), velocity=velocity)
    grad = grad + weight_decay * param if weight_decay else grad
    if velocity is not None:
        velocity[...] = grad if first else momentum * velocity + (1 - dampening) * grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


@np.errstate(all="ignore")
def adam_update(param, grad, m, v, v_max, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """Adam (Kingma and Ba, 2015) and, decoupled, AdamW (Loshchilov and Hutter, 2019); v_max is None but for AMSGrad.

    `step` counts from 1.
    """
    param, grad, m, v, v_max = checks.update("Adam", param, grad, ("v_max",), m=m, v=v, v_max=v_max)
    if decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    m[...] = beta1 * m + (1 - beta1) * grad
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    if v_max is not None:
        np.maximum(v_max, v, out=v_max)
    divisor = np.sqrt(v if v_max is None else v_max) / math.sqrt(1 - beta2**step) + eps
    param -= lr / (1 - beta1**step) * m / divisor


@np.errstate(all="ignore")
def rmsprop_update(param, grad, square_mean, grad_mean, velocity, lr, alpha, eps, weight_decay, momentum):
    """RMSprop (Tieleman and Hinton, 2012); grad_mean is None unless centred, velocity unless momentum is used."""
    param, grad, square_mean, grad_mean, velocity = checks.update(
        "RMSprop",
        param,
        grad,
        ("grad_mean", "velocity"),
        square_mean=square_mean,
        grad_mean=grad_mean,
        velocity=velocity,
    )
    grad = grad + weight_decay * param if weight_decay else grad
    square_mean[...] = alpha * square_mean + (1 - alpha) * grad * grad
    variance = square_mean
    if grad_mean is not None:
        grad_mean[...] = alpha * grad_mean + (1 - alpha) * grad
        variance = square_mean - grad_mean * grad_mean
    change = grad / (np.sqrt(variance) + eps)
    if velocity is not None:
        velocity[...] = momentum * velocity + change
        change = velocity
    param -= lr * change


@np.errstate(all="ignore")
def adagrad_update(param, grad, square_sum, lr, eps, weight_decay):
    """Adagrad (Duchi et al., 2011): s += g^2; p -= lr g / (sqrt(s) + eps)."""
    param, grad, square_sum = checks.update("Adagrad", param, grad, square_sum=square_sum)
    grad = grad + weight_decay * param if weight_decay else grad
    square_sum += grad * grad
    param -= lr * grad / (np.sqrt(square_sum) + eps)


@np.errstate(all="ignore")
def square_sum(array):
    """The sum of the squares of all elements, as a float; for gradient norms."""
    array = checks.floating("square_sum", "array", array)
    return float(np.square(array, dtype=np.float64).sum())


@np.errstate(all="ignore")
def scale_(array, factor):
    """In place: array *= factor."""
    array = checks.updated("scale_", "array", array)
    array *= array.dtype.type(factor)


def clip_(array, low, high):
    """In place: every element to [low, high]; NaN stays NaN."""
    array = checks.updated("clip_", "array", array)
    np.clip(array, low, high, out=array)

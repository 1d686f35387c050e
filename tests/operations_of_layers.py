"""The registry's rows for the operations behind layers: linear maps, activations, softmax, channels, dropout.

Constants are exact in float32, so that both dtypes and the oracle compute with the same numbers.
"""

from __future__ import annotations

from functools import partial
from math import pi, sqrt

import numpy as np
from makers import normal, positive
from operation import Operation, size_of, the_outputs, walk

from fastnn.reference import elementwise
from fastnn.reference.channels import _moments

ROWS: list[Operation] = []


def add(*args, **kwargs):
    ROWS.append(Operation(*args, **kwargs))


# ---------------------------------------------------------------------------------------------------------------
# Linear maps: k = cols, n = cols / 2, never square; the weight in the layout of nn.Linear. A sum of k products in one
# dtype is a random walk of sqrt(k) roundings of eps / 2.
# ---------------------------------------------------------------------------------------------------------------


def halved(cols):
    return max(cols // 2, 1)


def weight_matrix(rng, dtype, cols):
    return np.asfortranarray(normal(rng, dtype, halved(cols), cols))


def linear(rng, dtype, rows, cols, bias=True):
    return {
        "input": normal(rng, dtype, rows, cols),
        "weight": weight_matrix(rng, dtype, cols),
        "bias": normal(rng, dtype, halved(cols)) if bias else None,
    }


def linear_input(rng, dtype, rows, cols):
    return {"grad_output": normal(rng, dtype, rows, halved(cols)), "weight": weight_matrix(rng, dtype, cols)}


def linear_params(rng, dtype, rows, cols, bias=True):
    return {
        "input": normal(rng, dtype, rows, cols),
        "grad_output": normal(rng, dtype, rows, halved(cols)),
        "grad_weight": weight_matrix(rng, dtype, cols),
        "grad_bias": normal(rng, dtype, halved(cols)) if bias else None,
    }


def linear_params_scale(a, outputs):
    dy, x = size_of(a["grad_output"]), size_of(a["input"])
    return [size_of(a["grad_weight"]) + dy.T @ x, size_of(a["grad_bias"]) + dy.sum(axis=0)][: len(outputs)]


add("linear_backward_input", linear_input, lambda a, y: [size_of(a["grad_output"]) @ size_of(a["weight"])],
    lambda rows, cols: 2 + sqrt(cols) / 2)  # fmt: skip
for bias, variant in ((True, ""), (False, "no bias")):
    add("linear_forward", partial(linear, bias=bias),
        lambda a, y: [size_of(a["input"]) @ size_of(a["weight"]).T + size_of(a["bias"])],
        lambda rows, cols: 2 + sqrt(cols) / 2, variant)  # fmt: skip
    add("linear_backward_params", partial(linear_params, bias=bias), linear_params_scale,
        lambda rows, cols: 2 + sqrt(rows) / 2, variant, inplace=("grad_weight", "grad_bias"))  # fmt: skip

for transposed, variant in ((False, ""), (True, "transposed")):
    add("linear_gradients",
        lambda rng, dtype, rows, cols, transposed=transposed: {
            "input": normal(rng, dtype, rows, cols), "grad_output": normal(rng, dtype, rows, halved(cols)),
            "transposed": transposed},
        lambda a, y: [size_of(a["input"]).T @ size_of(a["grad_output"]) if a["transposed"]
                      else size_of(a["grad_output"]).T @ size_of(a["input"]), size_of(a["grad_output"]).sum(axis=0)],
        lambda rows, cols: 2 + sqrt(rows) / 2, variant)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Elementwise activations: constants a and b; ulps of the value and of the gradient. They follow from the bounds of
# vecmath.h (at most 2.5 for one function), one more for each product, and one for the oracle in float64.
# ---------------------------------------------------------------------------------------------------------------

sigmoid, softplus, sech2 = elementwise._sigmoid, elementwise._softplus, elementwise._sech2


def bell(x):
    """The density of the normal distribution, and how an error of its exponent magnifies it."""
    return np.exp(-0.5 * x * x) / sqrt(2 * pi) * (1 + 0.5 * x * x)


def gelu_tanh_scale(a, outputs):
    """x (1 + tanh(u)) / 2, where u carries three roundings of its own."""
    x = size_of(a["input"])
    u = elementwise._gelu_tanh_argument(x)
    return [0.5 * x * (1 + np.tanh(u) + 3 * u * sech2(u))]


def gelu_tanh_slope_scale(a, outputs):
    x, dy = size_of(a["input"]), size_of(a["grad_output"])
    u, du = elementwise._gelu_tanh_argument(x), sqrt(2 / pi) * (1 + 0.134145 * x * x)
    return [dy * (0.5 * (1 + np.tanh(u)) + 0.5 * x * sech2(u) * du * (1 + 2 * u))]


def silu_slope_scale(a, outputs):
    x = a["input"]
    return [size_of(a["grad_output"]) * sigmoid(x) * (1 + np.abs(x) * sigmoid(-x))]


def mish_slope_scale(a, outputs):
    x = a["input"]
    s = softplus(x)
    return [size_of(a["grad_output"]) * (np.tanh(s) + np.abs(x) * sech2(s) * sigmoid(x))]


def gelu_slope_scale(a, outputs):
    """|outputs| and the bell, since the sum of the two terms cancels near x = -0.75."""
    x = a["input"]
    return [np.abs(outputs[0]) + 2 * size_of(a["grad_output"]) * np.abs(x) * bell(x)]


UNARY = {  # name: (a, b), ulps of the value, ulps of the gradient
    "ReLU": ((0, 0), 0, 0),
    "LeakyReLU": ((0.125, 0), 0, 0),  # a product with a power of two
    "ELU": ((1.25, 0), 3, 4),
    "SELU": ((0, 0), 4, 5),
    "Softplus": ((2, 8), 3, 5),
    "Sigmoid": ((0, 0), 4, 6),
    "Tanh": ((0, 0), 4, 6),
    "GELU": ((0, 0), 6, 6),
    "GELU_tanh": ((0, 0), 4, 6),
    "SiLU": ((0, 0), 4, 6),
    "Mish": ((0, 0), 6, 8),
    "Hardtanh": ((-1, 1.5), 0, 0),
}
VALUE_SCALES = {"GELU_tanh": gelu_tanh_scale}
SLOPE_SCALES = {"GELU": gelu_slope_scale, "GELU_tanh": gelu_tanh_slope_scale, "SiLU": silu_slope_scale,
                "Mish": mish_slope_scale}  # fmt: skip


def unary(rng, dtype, rows, cols, name, gradient=False):
    a, b = UNARY[name][0]
    made = {"name": name, "input": normal(rng, dtype, rows, cols, scale=3)}
    if gradient:
        made["grad_output"] = normal(rng, dtype, rows, cols)
    return {**made, "a": a, "b": b}


for name, (_, value_ulps, slope_ulps) in UNARY.items():
    cancels = name == "GELU"  # 1 + erf(x) in the reference
    add("unary_forward", partial(unary, name=name), VALUE_SCALES.get(name, the_outputs), value_ulps, name,
        oracle_scale=(lambda a, y: [size_of(a["input"])]) if cancels else None)  # fmt: skip
    add("unary_backward", partial(unary, name=name, gradient=True), SLOPE_SCALES.get(name, the_outputs), slope_ulps,
        name, oracle_scale=(lambda a, y: [size_of(a["grad_output"])]) if cancels else None)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Softmax. An exponential carries the rounding of its argument, |x - max| eps / 2; a sum over a row is kept in float64
# after at most 256 vectors.
# ---------------------------------------------------------------------------------------------------------------


def rows_of(rng, dtype, rows, cols, gradient=False):
    made = {"input": normal(rng, dtype, rows, cols, scale=3)}
    return {**made, "grad_output": normal(rng, dtype, rows, cols)} if gradient else made


def row_terms(x):
    """softmax(x), |x - max| and log(sum(exp(x - max)))."""
    shifted = x - x.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True)
    return np.exp(shifted) / total, -shifted, np.log(total)


def softmax_scale(a, outputs):
    y, spread, _ = row_terms(a["input"])
    return [y * (1 + spread)]


def log_softmax_scale(a, outputs):
    _, spread, log_sum = row_terms(a["input"])
    return [1 + spread + log_sum]


def softmax_slope_scale(a, outputs):
    y, spread, _ = row_terms(a["input"])
    dy = size_of(a["grad_output"])
    return [y * (1 + spread) * (dy + (y * (1 + spread) * dy).sum(axis=-1, keepdims=True))]


def log_softmax_slope_scale(a, outputs):
    y, spread, _ = row_terms(a["input"])
    dy = size_of(a["grad_output"])
    return [dy + y * (1 + spread) * dy.sum(axis=-1, keepdims=True)]


add("softmax_forward", rows_of, softmax_scale, 6)
add("log_softmax_forward", rows_of, log_softmax_scale, 4)
add("softmax_backward", partial(rows_of, gradient=True), softmax_slope_scale, 4)
add("log_softmax_backward", partial(rows_of, gradient=True), log_softmax_slope_scale, 4)


def from_output(rng, dtype, rows, cols, forward):
    """An output of the forward, and a gradient."""
    made = rows_of(rng, dtype, rows, cols, gradient=True)
    return {"output": forward(made["input"]).astype(dtype), "grad_output": made["grad_output"]}


def softmax_output_scale(a, outputs):
    y, dy = a["output"], size_of(a["grad_output"])
    return [y * (dy + (y * dy).sum(axis=-1, keepdims=True))]


def log_softmax_output_scale(a, outputs):
    dy = size_of(a["grad_output"])
    return [dy + np.exp(a["output"]) * dy.sum(axis=-1, keepdims=True)]


add("softmax_backward_from_output", partial(from_output, forward=elementwise.softmax_forward), softmax_output_scale, 4)
add("log_softmax_backward_from_output", partial(from_output, forward=elementwise.log_softmax_forward),
    log_softmax_output_scale, 4)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Per channel: sums over at most 256 rows in the dtype, then in float64; the oracle adds all rows one after the other.
# X is |x| + |mean| in units of the standard deviation: what a normalised value loses by the subtraction.
# ---------------------------------------------------------------------------------------------------------------

EPS = 2.0**-10  # of the variance
EXTRA_AXIS = {"": (), "length": (3,)}  # (N, C) and (N, C, L)


def channels(rng, dtype, rows, cols, *, vectors, axis="", gradient=False, eps=False):
    """Arguments of a per-channel operation; a vector is drawn, or None where its name has a leading "-"."""
    shape = rows, cols, *EXTRA_AXIS[axis]
    made = {"input": normal(rng, dtype, *shape, scale=2, mean=1)}
    for vector in vectors:
        maker = positive if vector == "var" else normal
        made[vector.lstrip("-")] = None if vector.startswith("-") else maker(rng, dtype, cols)
    if gradient:
        made["grad_output"] = normal(rng, dtype, *shape)
    return {**made, "eps": EPS} if eps else made


def over(array):
    """The sum over all axes but the channels'."""
    return array.sum(axis=tuple(axis for axis in range(array.ndim) if axis != 1))


def spread_out(vector, like):
    """A (C,) vector, or a number, that broadcasts over (N, C) or (N, C, L)."""
    return vector if np.ndim(vector) == 0 else vector.reshape(1, -1, *(1,) * (like.ndim - 2))


def channel_terms(a):
    """|w| / std, |dy|, X and the number of values per channel."""
    x = a["input"]
    count = max(x.size // max(x.shape[1], 1), 1)
    mean, var = (a["mean"], a["var"]) if "mean" in a else _moments(x)
    largest = size_of(mean) if "mean" in a else over(size_of(x)) / count
    inv_std = spread_out(1 / np.sqrt(var + EPS), x)
    weight = spread_out(np.ones(()) if a["weight"] is None else np.abs(a["weight"]), x)
    return weight * inv_std, size_of(a.get("grad_output")), (np.abs(x) + spread_out(largest, x)) * inv_std, count


def batch_norm_scale(a, outputs):
    x = a["input"]
    _, _, normalised, count = channel_terms(a)
    weight = spread_out(1.0 if a["weight"] is None else np.abs(a["weight"]), x)
    y = weight * normalised + spread_out(size_of(a["bias"]), x)
    return [y, over(size_of(x)) / count, np.abs(outputs[2])] if len(outputs) > 1 else [y]


def batch_norm_slope_scale(a, outputs):
    w, dy, normalised, count = channel_terms(a)
    sums = over(dy * normalised), over(dy)
    means = [spread_out(s / count, dy) for s in sums]
    return [w * (dy + means[1] + normalised * means[0]), *sums]


def inference_slope_scale(a, outputs):
    w, dy, normalised, _ = channel_terms(a)
    return [w * dy, over(dy * normalised), over(dy)]


def channel_scale_scale(a, outputs):
    x = a["input"]
    weight = spread_out(1.0 if a["weight"] is None else np.abs(a["weight"]), x)
    return [np.abs(x) * weight + spread_out(size_of(a["bias"]), x)]


def channel_scale_slope_scale(a, outputs):
    dy = size_of(a["grad_output"])
    return [np.abs(outputs[0]), over(dy * size_of(a["input"])), over(dy)]


for variant, axis, sign in (("", "", ""), ("plain", "", "-"), ("length", "length", "")):
    made = partial(channels, axis=axis)
    weight, bias = sign + "weight", sign + "bias"
    add("channel_scale_forward", partial(made, vectors=(weight, bias)), channel_scale_scale, 2, variant)
    add(
        "channel_scale_backward",
        partial(made, vectors=(weight,), gradient=True),
        channel_scale_slope_scale,
        walk,
        variant,
    )
    add("batch_norm_forward", partial(made, vectors=(weight, bias), eps=True), batch_norm_scale, walk, variant)
    add("batch_norm_backward", partial(made, vectors=(weight,), gradient=True, eps=True), batch_norm_slope_scale, walk,
        variant)  # fmt: skip
    add("batch_norm_inference", partial(made, vectors=("mean", "var", weight, bias), eps=True), batch_norm_scale, 4,
        variant)  # fmt: skip
    add("batch_norm_inference_backward", partial(made, vectors=("mean", "var", weight), gradient=True, eps=True),
        inference_slope_scale, walk, variant)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Dropout: the same bits everywhere, then one factor, rounded to the dtype, and one product
# ---------------------------------------------------------------------------------------------------------------

SEED, OFFSET = 0x0123456789ABCDEF, 0xFEDCBA9876543210
add("dropout", lambda rng, dtype, rows, cols: {"input": normal(rng, dtype, rows, cols), "p": 0.3, "seed": SEED,
                                               "offset": OFFSET}, the_outputs, 1)  # fmt: skip
add("dropout_bits", lambda rng, dtype, rows, cols: {"size": rows * cols, "seed": SEED, "offset": OFFSET},
    lambda a, y: [np.zeros(y[0].shape)], 0)  # fmt: skip
add(
    "masked_scale",
    lambda rng, dtype, rows, cols: {
        "input": normal(rng, dtype, rows, cols),
        "mask": rng.integers(0, 2, (rows, cols)),
        "scale": 1.25,
    },
    the_outputs,
    1,
)
add("bernoulli_mask", lambda rng, dtype, rows, cols: {
    "bit_generator": np.random.MT19937(5), "size": rows * cols, "keep": 0.7}, lambda a, y: [np.zeros(y[0].shape)], 0,
    sequential=True)  # fmt: skip

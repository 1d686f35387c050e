"""The registry's rows for the operations on images, on samples and on tables: windows, norms, embedding.

`rows` is a number of images, which larger ones are cut to so that a test takes no longer than it has to, and `cols` is
a width or a number of channels. Sums are in one dtype: a random walk of sqrt(terms) roundings of eps / 2.
"""

from __future__ import annotations

from functools import partial
from math import prod, sqrt

import numpy as np
from makers import normal
from operation import Operation, size_of, the_outputs, walk

from fastnn import checks, reference

ROWS: list[Operation] = []


def add(*args, **kwargs):
    ROWS.append(Operation(*args, **kwargs))


def sizes(arguments):
    """The arguments with the absolute values of all floating arrays."""
    return {
        name: np.abs(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in arguments.items()
    }


def of_sizes(name):
    """The scale of a linear operation: what it gives for the absolute values."""
    return lambda a, outputs: [getattr(reference, name)(**sizes(a))]


# ---------------------------------------------------------------------------------------------------------------
# Convolutions
# ---------------------------------------------------------------------------------------------------------------

MOST_IMAGES = 32
NO_PADDING, AROUND = ((0, 0), (0, 0)), ((1, 1), (1, 1))
CONVOLUTIONS = {  # variant: cols -> input (C, H, W); weight (O, C / groups, kh, kw); stride, padding, dilation, groups
    "": lambda n: ((3, 5, n), (4, 3, 3, 3), (1, 1), AROUND, (1, 1), 1),
    "channels": lambda n: ((n, 3, 4), (5, n, 2, 2), (1, 1), ((0, 1), (1, 0)), (1, 1), 1),
    "filters": lambda n: ((3, 4, 5), (n, 3, 3, 2), (1, 1), NO_PADDING, (1, 1), 1),
    "points": lambda n: ((n, 3, 4), (7, n, 1, 1), (1, 1), NO_PADDING, (1, 1), 1),
    "patches": lambda n: ((9, 7, n), (8, 9, 3, 3), (1, 1), AROUND, (1, 1), 1),
    "patches of channels": lambda n: ((n, 5, 6), (13, n, 3, 3), (1, 1), ((2, 0), (0, 2)), (1, 1), 1),
    "patches of filters": lambda n: ((8, 4, 7), (n, 8, 3, 3), (1, 1), NO_PADDING, (1, 1), 1),
    "patches of groups": lambda n: ((16, 6, n), (18, 8, 3, 3), (1, 1), ((0, 0), (2, 1)), (1, 1), 2),
    "strided": lambda n: ((4, 7, n), (6, 2, 3, 2), (2, 3), ((0, 2), (1, 2)), (2, 1), 2),
    "depthwise": lambda n: ((n, 6, 5), (n, 1, 3, 3), (2, 1), AROUND, (1, 2), n),
}


def convolution(rng, dtype, rows, cols, *, variant, names):
    """The arguments of this name, of one of the convolutions."""
    images, weight, stride, padding, dilation, groups = CONVOLUTIONS[variant](cols)
    rows = min(rows, MOST_IMAGES)
    counts = checks.window_counts("Conv2d", images[1:], weight[2:], stride, padding, dilation)
    shapes = {"input": (rows, *images), "weight": weight, "grad_output": (rows, weight[0], *counts)}
    outs = images[0] if "size" in names else weight[0]
    shapes |= {"bias": (outs,), "grad_weight": weight, "grad_bias": weight[:1]}
    made = {name: normal(rng, dtype, *shapes[name]) for name in names if name in shapes}
    made |= {"size": images[1:]} if "size" in names else {}
    made |= {name: None for name in names if name in ("bias", "grad_bias") and variant == "points"}
    last = {"bias": made.pop("bias")} if "size" in names else {}  # on the way back, where it is an option
    return {**made, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, **last}


def convolution_params_scale(a, outputs):
    a = {**sizes(a), "grad_weight": size_of(a["grad_weight"])}
    reference.conv_backward_params(**a)
    return [a["grad_weight"], a["grad_bias"]][: len(outputs)]


def terms(variant, axes):
    """The ulps for a sum over some axes of (images, in / groups, out / groups, kernel, windows)."""

    def ulps(rows, cols):
        images, weight, stride, padding, dilation, groups = CONVOLUTIONS[variant](cols)
        counts = checks.window_counts("Conv2d", images[1:], weight[2:], stride, padding, dilation)
        every = {"in": weight[1], "out": weight[0] // groups, "kernel": prod(weight[2:]),
                 "images": min(rows, MOST_IMAGES), "windows": prod(counts)}  # fmt: skip
        return 2 + sqrt(prod(every[axis] for axis in axes.split())) / 2

    return ulps


for variant in CONVOLUTIONS:
    make = partial(convolution, variant=variant)
    add("conv_forward", partial(make, names=("input", "weight", "bias")), of_sizes("conv_forward"),
        terms(variant, "in kernel"), variant, batched=("input",))  # fmt: skip
    add("conv_backward_input", partial(make, names=("grad_output", "weight", "size", "bias")),
        of_sizes("conv_backward_input"), terms(variant, "out kernel"), variant, batched=("grad_output",))  # fmt: skip
    add("conv_backward_params", partial(make, names=("input", "grad_output", "grad_weight", "grad_bias")),
        convolution_params_scale, terms(variant, "images windows"), variant, inplace=("grad_weight", "grad_bias"),
        batched=("input", "grad_output"))  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Pooling, upsampling
# ---------------------------------------------------------------------------------------------------------------

POOLS = {  # variant: kernel, stride, padding, dilation; of images of 6 x (cols + 1)
    "": ((2, 2), (2, 2), NO_PADDING, (1, 1)),
    "overlapping": ((3, 2), (1, 2), ((1, 1), (0, 1)), (2, 1)),
    "ties": ((3, 3), (2, 1), AROUND, (1, 1)),
}
POOLED = ("kernel", "stride", "padding", "dilation")
MEANS = ("kernel", "stride", "padding", "count_include_pad")


def pool(rng, dtype, rows, cols, *, variant, names):
    """The arguments of this name; "ties" are whole numbers, so that many are equal."""
    geometry = dict(zip(POOLED, POOLS[variant], strict=True))
    if "dilation" not in names:
        geometry["dilation"] = (1, 1)
    size, images = (6, cols + 1), (min(rows, MOST_IMAGES), 3)
    counts = checks.window_counts("pool", size, **geometry)
    made = {}
    if "input" in names:
        x = normal(rng, dtype, *images, *size, scale=2)
        made["input"] = np.round(x) + 0 if variant == "ties" else x
    if "grad_output" in names:
        made["grad_output"] = normal(rng, dtype, *images, *counts)
    others = {"size": size, **geometry, "count_include_pad": variant == "ties"}
    return {**made, **{name: others[name] for name in names if name in others}}


for variant in POOLS:
    make = partial(pool, variant=variant)
    add("max_pool_forward", partial(make, names=("input", *POOLED)), the_outputs, 0, variant, batched=("input",))
    add("max_pool_backward", partial(make, names=("input", "grad_output", *POOLED)),
        lambda a, y: [reference.max_pool_backward(**{**a, "grad_output": size_of(a["grad_output"])})], 4, variant,
        batched=("input", "grad_output"))  # fmt: skip
    add("avg_pool_forward", partial(make, names=("input", *MEANS)), of_sizes("avg_pool_forward"), 5, variant,
        batched=("input",))  # fmt: skip
    add("avg_pool_backward", partial(make, names=("grad_output", "size", *MEANS)), of_sizes("avg_pool_backward"), 5,
        variant, batched=("grad_output",))  # fmt: skip


def images(rng, dtype, rows, cols, name="input", times=(1, 1)):
    return {name: normal(rng, dtype, min(rows, MOST_IMAGES), 3, 5 * times[0], (cols + 1) * times[1])}


for out_size, variant in (((1, 1), ""), ((2, 3), "overlapping"), ((7, 2), "larger")):
    add("adaptive_avg_pool_forward",
        lambda rng, dtype, rows, cols, out_size=out_size: {
            **images(rng, dtype, rows, cols), "out_size": out_size},
        of_sizes("adaptive_avg_pool_forward"), lambda rows, cols: walk(5 * (cols + 1), cols), variant,
        batched=("input",))  # fmt: skip
    add("adaptive_avg_pool_backward",
        lambda rng, dtype, rows, cols, out_size=out_size: {
            "grad_output": normal(rng, dtype, min(rows, MOST_IMAGES), cols + 1, *out_size), "size": (5, 6)},
        of_sizes("adaptive_avg_pool_backward"), 6, variant, batched=("grad_output",))  # fmt: skip

for scale, variant in (((2, 2), ""), ((1, 3), "wide")):
    add("upsample_forward",
        lambda rng, dtype, rows, cols, scale=scale: {**images(rng, dtype, rows, cols), "scale": scale},
        the_outputs, 0, variant, batched=("input",))  # fmt: skip
    add("upsample_backward",
        lambda rng, dtype, rows, cols, scale=scale: {
            **images(rng, dtype, rows, cols, "grad_output", scale), "scale": scale},
        of_sizes("upsample_backward"), 3, variant, batched=("grad_output",))  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Norms. X is |x| + mean(|x|) in units of the standard deviation: what a normalised value loses by the subtraction.
# ---------------------------------------------------------------------------------------------------------------

EPS = 2.0**-7
GROUPS, CHANNELS = 2, 6


def norm_rows(rng, dtype, rows, cols, *, vectors, gradient=False, shape=None):
    """Arguments of a norm; a vector is drawn, or None where its name has a leading "-"."""
    size = (min(rows, MOST_IMAGES), CHANNELS, cols) if shape else (rows, cols)
    made = {"input": normal(rng, dtype, *size, scale=2, mean=0.5)}
    for vector in vectors:
        made[vector.lstrip("-")] = None if vector.startswith("-") else normal(rng, dtype, size[1])
    if gradient:
        made["grad_output"] = normal(rng, dtype, *size)
    return {**made, **({"groups": GROUPS} if shape else {}), "eps": EPS}


def deviations(x):
    """X and 1 / std of each row."""
    count = max(x.shape[-1], 1)
    mean = x.sum(axis=-1, keepdims=True) / count
    inv_std = 1 / np.sqrt(((x - mean) ** 2).sum(axis=-1, keepdims=True) / count + EPS)
    return (np.abs(x) + np.abs(x).sum(axis=-1, keepdims=True) / count) * inv_std, inv_std


def grouped(array):
    return array.reshape(len(array), GROUPS, -1)


def norm_scale(a, outputs):
    """|w| X + |b|."""
    x, w, b = a["input"], a["weight"], a["bias"]
    if x.ndim == 2:
        return [deviations(x)[0] * (1 if w is None else np.abs(w)) + size_of(b)]
    w, b = 1.0 if w is None else np.abs(w)[:, None], 0.0 if b is None else np.abs(b)[:, None]
    return [deviations(grouped(x))[0].reshape(x.shape) * w + b]


def norm_slope_scale(a, outputs):
    """inv_std (|g| + mean(|g|) + X mean(|g| X)), sum(|dy| X), sum(|dy|), with g = dy w."""
    x, dy, w = a["input"], size_of(a["grad_output"]), a["weight"]
    rowwise = (lambda array: array) if x.ndim == 2 else grouped
    spread, inv_std = deviations(rowwise(x))
    g = rowwise(dy * (1.0 if w is None else np.abs(w) if x.ndim == 2 else np.abs(w)[:, None]))
    means = [array.sum(axis=-1, keepdims=True) / max(g.shape[-1], 1) for array in (g, g * spread)]
    axes = 0 if x.ndim == 2 else (0, 2)
    slope = (inv_std * (g + means[0] + spread * means[1])).reshape(x.shape)
    return [slope, (dy * spread.reshape(x.shape)).sum(axis=axes), dy.sum(axis=axes)]


def rms_slope_scale(a, outputs):
    """s (|g| + |y| mean(|g y|)) and sum(|dy y|), with y = s x and g = dy w."""
    x, dy, w = size_of(a["input"]), size_of(a["grad_output"]), a["weight"]
    count = max(x.shape[-1], 1)
    s = 1 / np.sqrt((x * x).sum(axis=-1, keepdims=True) / count + EPS)
    y, g = s * x, dy * (1 if w is None else np.abs(w))
    return [s * (g + y * (g * y).sum(axis=-1, keepdims=True) / count), (dy * y).sum(axis=0)]


def longer(rows, cols):
    """The ulps of sums along rows and along columns."""
    return walk(max(rows, CHANNELS * cols), cols)


for variant, sign in (("", ""), ("plain", "-")):
    weight, bias = sign + "weight", sign + "bias"
    add("layer_norm_forward", partial(norm_rows, vectors=(weight, bias)), norm_scale, longer, variant)
    add("layer_norm_backward", partial(norm_rows, vectors=(weight,), gradient=True), norm_slope_scale, longer, variant)
    add("rms_norm_forward", partial(norm_rows, vectors=(weight,)), the_outputs, longer, variant)
    add("rms_norm_backward", partial(norm_rows, vectors=(weight,), gradient=True), rms_slope_scale, longer, variant)
    add("group_norm_forward", partial(norm_rows, vectors=(weight, bias), shape="groups"), norm_scale, longer, variant,
        batched=("input",))  # fmt: skip
    add("group_norm_backward", partial(norm_rows, vectors=(weight,), gradient=True, shape="groups"), norm_slope_scale,
        longer, variant, batched=("input", "grad_output"))  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------
# Embedding
# ---------------------------------------------------------------------------------------------------------------

ENTRIES = 7


def embedding(rng, dtype, rows, cols):
    return {"weight": normal(rng, dtype, ENTRIES, cols), "index": rng.integers(0, ENTRIES, rows)}


def embedding_gradient(rng, dtype, rows, cols, padding_idx):
    return {
        "grad_weight": normal(rng, dtype, ENTRIES, cols),
        "index": rng.integers(0, ENTRIES, rows),
        "grad_output": normal(rng, dtype, rows, cols),
        "padding_idx": padding_idx,
    }


def embedding_scale(a, outputs):
    a = {**sizes(a), "grad_weight": size_of(a["grad_weight"])}
    reference.embedding_backward(**a)
    return [a["grad_weight"]]


add("embedding_forward", embedding, the_outputs, 0, batched=("index",))
for padding_idx, variant in ((None, ""), (2, "padding")):
    add("embedding_backward", partial(embedding_gradient, padding_idx=padding_idx), embedding_scale, walk, variant,
        inplace=("grad_weight",), batched=("index", "grad_output"))  # fmt: skip

"""The registry's rows for the operations behind criterions, optimisers and gradient clipping.

Constants are exact in float32, so that both dtypes and the oracle compute with the same numbers.
"""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np
from makers import TARGETS, normal, positive
from operation import Operation, size_of, the_outputs, walk
from operations_of_layers import row_terms

from fastnn import reference
from fastnn.reference import elementwise, losses

ROWS: list[Operation] = []


def add(*args, **kwargs):
    ROWS.append(Operation(*args, **kwargs))


# ---------------------------------------------------------------------------------------------------------------
# Losses: terms in the dtype, sums over at most 256 of them in the dtype, then in float64, where the rows of class
# losses are added one after the other.
# ---------------------------------------------------------------------------------------------------------------

LOSS = {  # name: a
    "MSELoss": 0,
    "HalfMSELoss": 0,
    "L1Loss": 0,
    "HuberLoss": 0.75,
    "BCEWithLogitsLoss": 0,
    "PoissonNLLLoss": 0,
    "ProbabilityNLL": 2.0**-7,
}


def loss(rng, dtype, rows, cols, name, gradient=False):
    """Predictions of either sign, which a loss of probabilities clips."""
    made = {"name": name, "input": normal(rng, dtype, rows, cols, scale=2), "target": normal(rng, dtype, rows, cols)}
    return {**made, **({"scale": 0.375} if gradient else {}), "a": LOSS[name]}


def loss_scale(a, outputs):
    """d = x - t carries a rounding of |x| + |t|; the terms of the logits' loss are x, x t and a logarithm up to 1."""
    x, t = size_of(a["input"]), size_of(a["target"])
    if a["name"] == "ProbabilityNLL":
        return [(t * np.abs(np.log(np.clip(a["input"], a["a"], 1 - a["a"])))).sum()]
    squared = (x + t) * np.abs(a["input"] - a["target"])
    special = {
        "MSELoss": squared,
        "HalfMSELoss": squared,
        "BCEWithLogitsLoss": x * (1 + t) + 1,
        "PoissonNLLLoss": np.exp(a["input"]) + x * t,
    }
    return [special.get(a["name"], x + t).sum()]


def loss_slope_scale(a, outputs):
    if a["name"] == "PoissonNLLLoss":
        return [a["scale"] * (np.exp(a["input"]) + size_of(a["target"]))]
    if a["name"] == "BCEWithLogitsLoss":
        return [a["scale"] * (elementwise._sigmoid(a["input"]) + size_of(a["target"]))]
    return [np.abs(outputs[0])]


for name in LOSS:
    add("loss_forward", partial(loss, name=name), loss_scale, 3, name)
    add("loss_backward", partial(loss, name=name, gradient=True), loss_slope_scale, 3, name)


def classes(rng, dtype, rows, cols, *, target, weighted=False, smoothing=None, scale=None, log=False):
    input = normal(rng, dtype, rows, cols, scale=3)
    made = {"input": reference.log_softmax_forward(input) if log else input,
            "target": TARGETS[target](rng, dtype, rows, cols)}  # fmt: skip
    if scale is not None:
        made["scale"] = scale
    made["weight"] = positive(rng, dtype, cols) if weighted else None
    made["ignore_index"] = -100
    return made if smoothing is None else {**made, "label_smoothing": smoothing}


def class_weights(a):
    """The reference's weight of every class in the loss of a row."""
    rows = a["target"] if a["target"].ndim == 2 else None
    labels = a["target"] if rows is None else None
    return losses._class_weights(
        a["input"], labels, rows, a["weight"], a["ignore_index"], a.get("label_smoothing", 0.0)
    )[0]


def nll_scale(a, outputs):
    return [(class_weights(a) * size_of(a["input"])).sum(), outputs[1]]


def cross_entropy_scale(a, outputs):
    _, spread, log_sum = row_terms(a["input"])
    return [(class_weights(a) * (1 + spread + log_sum)).sum(), outputs[1]]


def cross_entropy_slope_scale(a, outputs):
    q, (y, spread, _) = class_weights(a), row_terms(a["input"])
    return [a["scale"] * (q + y * (1 + spread) * q.sum(axis=1, keepdims=True))]


for variant, options in {
    "labels": {"target": "labels"},
    "ignored": {"target": "ignored", "weighted": True},
    "rows": {"target": "rows"},
    "weighted rows": {"target": "rows", "weighted": True},
}.items():
    labels = options["target"] != "rows"  # of which one score a row is read
    add("nll_forward", partial(classes, **options, log=True), nll_scale, walk, variant, sequential=labels)
    add("nll_backward", partial(classes, **options, log=True, scale=0.375), the_outputs, 2, variant)
    for smoothing, suffix in ((0.0, ""), (0.125, " smoothed")):
        made = partial(classes, **options, smoothing=smoothing)
        add("cross_entropy_forward", made, cross_entropy_scale, walk, variant + suffix)
        add("cross_entropy_backward", partial(made, scale=0.375), cross_entropy_slope_scale, walk, variant + suffix)

# ---------------------------------------------------------------------------------------------------------------
# Optimisers' updates: a few roundings an element; the terms of a parameter are itself and the step
# ---------------------------------------------------------------------------------------------------------------


def update(rng, dtype, rows, cols, states, **hyper_parameters):
    """The arrays of an update; a state is drawn positive, small ("~") of either sign, or is None ("-")."""
    made = {"param": normal(rng, dtype, rows, cols), "grad": normal(rng, dtype, rows, cols)}
    for state in states:
        array = normal(rng, dtype, rows, cols, scale=0.125) if state[0] == "~" else positive(rng, dtype, rows, cols)
        made[state.lstrip("-~")] = None if state[0] == "-" else array
    return {**made, **hyper_parameters}


def with_states(scales, a, names):
    return [scales[name] for name in names if a[name] is not None]


def sgd_scale(a, outputs):
    p, g, v = (size_of(a[name]) for name in ("param", "grad", "velocity"))
    g = g + a["weight_decay"] * p
    v = g if a["first"] else a["momentum"] * v + (1 - a["dampening"]) * g
    step = g if a["velocity"] is None else g + a["momentum"] * v if a["nesterov"] else v
    return [p + a["lr"] * step, *([] if a["velocity"] is None else [v])]


def adam_scale(a, outputs):
    p, g = size_of(a["param"]), size_of(a["grad"])
    g = g + (0 if a["decoupled"] else a["weight_decay"]) * p
    m = a["beta1"] * size_of(a["m"]) + (1 - a["beta1"]) * g
    v = a["beta2"] * a["v"] + (1 - a["beta2"]) * g * g
    root = np.sqrt(outputs[-1]) / sqrt(1 - a["beta2"] ** a["step"]) + a["eps"]
    param = p + a["lr"] / (1 - a["beta1"] ** a["step"]) * m / root
    return [param, m, v, *([] if a["v_max"] is None else [outputs[-1]])]


def rmsprop_scale(a, outputs):
    p = size_of(a["param"])
    g = size_of(a["grad"]) + a["weight_decay"] * p
    s = a["alpha"] * a["square_mean"] + (1 - a["alpha"]) * g * g
    mean = 0 * s if a["grad_mean"] is None else a["alpha"] * size_of(a["grad_mean"]) + (1 - a["alpha"]) * g
    variance = outputs[1] - (0 if a["grad_mean"] is None else outputs[2] ** 2)
    change = g / (np.sqrt(variance) + a["eps"]) * (1 + (s + mean * mean) / variance)
    change = change + a["momentum"] * size_of(a["velocity"])
    scales = {"param": p + a["lr"] * change, "square_mean": s, "grad_mean": mean, "velocity": change}
    return with_states(scales, a, scales)


def adagrad_scale(a, outputs):
    p = size_of(a["param"])
    g = size_of(a["grad"]) + a["weight_decay"] * p
    return [p + a["lr"] * g / (np.sqrt(outputs[1]) + a["eps"]), a["square_sum"] + g * g]


LR, DECAY, TINY = 0.125, 2.0**-6, 2.0**-20
SGD = {"lr": LR, "momentum": 0.875, "dampening": 0.25, "weight_decay": DECAY, "nesterov": False, "first": False}
for variant, states, changed in (
    ("", ("~velocity",), {}),
    ("plain", ("-velocity",), {"weight_decay": 0.0, "momentum": 0.0}),
    ("nesterov", ("~velocity",), {"nesterov": True, "dampening": 0.0}),
    ("first", ("~velocity",), {"first": True}),
):
    add("sgd_update", partial(update, states=states, **{**SGD, **changed}), sgd_scale, 3, variant,
        inplace=("param", "velocity"))  # fmt: skip
add("momentum_update", partial(update, states=("~velocity",), lr=LR, momentum=0.875),
    lambda a, y: [size_of(a["param"]) + (v := 0.875 * size_of(a["velocity"]) + LR * size_of(a["grad"])), v], 3,
    inplace=("param", "velocity"))  # fmt: skip
ADAM = {"lr": LR, "beta1": 0.875, "beta2": 0.96875, "eps": TINY, "weight_decay": DECAY, "decoupled": False, "step": 3}
for variant, states, changed in (
    ("", ("~m", "v", "-v_max"), {}),
    ("adamw", ("~m", "v", "-v_max"), {"decoupled": True, "step": 1}),
    ("amsgrad", ("~m", "v", "v_max"), {"weight_decay": 0.0}),
):
    add("adam_update", partial(update, states=states, **{**ADAM, **changed}), adam_scale, 4, variant,
        inplace=("param", "m", "v", "v_max"))  # fmt: skip
RMSPROP = {"lr": LR, "alpha": 0.875, "eps": TINY, "weight_decay": DECAY, "momentum": 0.0}
for variant, states, changed in (
    ("", ("square_mean", "-grad_mean", "-velocity"), {}),
    ("momentum", ("square_mean", "-grad_mean", "~velocity"), {"momentum": 0.75}),
    ("centred", ("square_mean", "~grad_mean", "~velocity"), {"momentum": 0.75, "weight_decay": 0.0}),
):
    add("rmsprop_update", partial(update, states=states, **{**RMSPROP, **changed}), rmsprop_scale, 4, variant,
        inplace=("param", "square_mean", "grad_mean", "velocity"))  # fmt: skip
add("adagrad_update", partial(update, states=("square_sum",), lr=LR, eps=TINY, weight_decay=DECAY), adagrad_scale, 3,
    inplace=("param", "square_sum"))  # fmt: skip

add("square_sum", lambda rng, dtype, rows, cols: {"array": normal(rng, dtype, rows, cols)}, the_outputs, 3)
add("scale_", lambda rng, dtype, rows, cols: {"array": normal(rng, dtype, rows, cols), "factor": 0.3}, the_outputs, 1.5,
    inplace=("array",))  # fmt: skip
add("clip_", lambda rng, dtype, rows, cols: {"array": normal(rng, dtype, rows, cols), "low": -0.5, "high": 0.75},
    the_outputs, 0, inplace=("array",))  # fmt: skip

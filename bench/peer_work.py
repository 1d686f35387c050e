"""The work that `peers.py` times: its cases, their arrays, the least that a machine has to do, what a library is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

LR, MOMENTUM = 1e-2, 0.9  # of updates and training steps
LINEAR, LAYERS, LOSS, UPDATES, STEPS = "linear maps", "layers", "losses", "updates", "training steps"
LINEAR_FORMS = {"linear_forward": "forward", "linear_weight": "gradient of weight", "linear_input": "gradient of input"}
ACTIVATIONS = ("ReLU", "ELU", "Sigmoid", "Tanh", "Softplus", "GELU", "SiLU", "Softmax", "LogSoftmax")
UNCHECKED = ("Dropout",)  # every library draws its own mask
STREAMS = {"layer_forward": 2, "layer_backward": 3, "cross_entropy": 2, "SGD": 5, "Adam": 7}  # arrays read or written

LINEAR_SHAPES = (  # batch, in, out
    (32, 64, 32),
    (32, 784, 100),
    (64, 256, 256),
    (128, 256, 128),
    (128, 784, 10),
    (128, 784, 256),
    (512, 512, 512),
    (512, 2048, 2048),
)
SHAPES = (128, 256), (128, 1000), (1024, 1024), (4096, 1024)
LOSS_SHAPES = (128, 10), (128, 1000), (4096, 1000)
UPDATE_SHAPES = (100, 100), (128, 256), (1024, 1024), (10000, 1000)
NETS = (  # batch, then the widths
    (32, 64, 32, 32, 10),
    (32, 784, 100, 10),
    (128, 784, 256, 128, 10),
    (64, *(256,) * 8, 10),
    (128, 784, 1000, 1000, 10),
    (512, 1024, 2048, 2048, 1000),
)


@dataclass(frozen=True)
class Case:
    """One piece of work. `work` is the method of a library that prepares it, `name` the layer or optimiser."""

    table: str
    work: str
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def label(self):
        if self.table == LINEAR:
            return f"{LINEAR_FORMS[self.work]}, {self.shape[0]} x {self.shape[1]} -> {self.shape[2]}"
        if self.table == STEPS:
            return f"{'-'.join(map(str, self.shape[1:]))}, batch {self.shape[0]}"
        what = {"layer_forward": " forward", "layer_backward": " backward"}.get(self.work, "")
        return f"{self.name}{what} {self.shape}"

    @property
    def text(self):
        """What `--only` looks through."""
        return f"{self.table}: {self.label}, {self.dtype}"

    @property
    def flops(self):
        """Floating point operations of the matrix products, or 0 where memory is the limit."""
        if self.table == LINEAR:
            return 2 * prod(self.shape)
        if self.table != STEPS:
            return 0
        batch, *widths = self.shape
        layers = [2 * batch * before * after for before, after in pairwise(widths)]
        return 3 * sum(layers) - layers[0]  # nobody needs the gradient of the data

    @property
    def bytes(self):
        """What is read and written at least where memory is the limit."""
        streams = STREAMS.get(self.work) or STREAMS[self.name]
        return streams * prod(self.shape) * np.dtype(self.dtype).itemsize


def _cases(dtype):
    for shape in LINEAR_SHAPES:
        for work in LINEAR_FORMS:
            yield Case(LINEAR, work, "Linear", shape, dtype)
    for shape in SHAPES:
        for name in (*ACTIVATIONS, "BatchNorm1d"):
            yield Case(LAYERS, "layer_forward", name, shape, dtype)
            yield Case(LAYERS, "layer_backward", name, shape, dtype)
        yield Case(LAYERS, "layer_forward", "Dropout", shape, dtype)
    for shape in LOSS_SHAPES:
        yield Case(LOSS, "cross_entropy", "CrossEntropyLoss forward and backward", shape, dtype)
    for shape in UPDATE_SHAPES:
        for name in ("SGD", "Adam"):
            yield Case(UPDATES, "update", name, shape, dtype)
    for shape in NETS:
        yield Case(STEPS, "training_step", "SGD", shape, dtype)


CASES = sorted((case for dtype in ("float32", "float64") for case in _cases(dtype)),
               key=lambda case: ((LINEAR, LAYERS, LOSS, UPDATES, STEPS).index(case.table), case.dtype))  # fmt: skip


def arrays(case):
    """The arrays of a case by name, the same in every process."""
    rng = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(case.dtype)

    rows, cols = case.shape[0], case.shape[-1]
    if case.table == LINEAR:
        _, before, _ = case.shape
        made = {"x": normal(rows, before), "dy": normal(rows, cols)}
        return {**made, "weight": normal(cols, before, scale=1 / sqrt(before)), "bias": normal(cols)}
    if case.table == STEPS:
        made = {"x": normal(rows, case.shape[1]), "y": rng.integers(0, cols, rows)}
        layers = [(normal(after, before, scale=sqrt(2 / before)), np.zeros(after, case.dtype))
                  for before, after in pairwise(case.shape[1:])]  # fmt: skip
        return {**made, "parameters": layers}
    if case.table == UPDATES:
        return {"param": normal(*case.shape), "grad": normal(*case.shape)}
    return {"x": normal(*case.shape, scale=3), "dy": normal(*case.shape), "y": rng.integers(0, cols, rows)}


def layer(modules, case):
    """The layer of a case from `fastnn.nn` or `torch.nn`, whose names and arguments are the same."""
    options = {"BatchNorm1d": (case.shape[1],), "Softmax": (-1,), "LogSoftmax": (-1,)}
    return getattr(modules, case.name)(*options.get(case.name, ()))


def network(modules, widths):
    """The net of a training step from `fastnn.nn` or `torch.nn`."""
    layers = [modules.Linear(*widths[:2])]
    for before, after in pairwise(widths[1:]):
        layers += [modules.ReLU(), modules.Linear(before, after)]
    return modules.Sequential(*layers)


class Job(NamedTuple):
    """What is timed: one call does `share` of the case; `view` makes of its result the arrays to compare."""

    run: Callable[[], Any]
    view: Callable[[Any], list[Any]] = lambda made: [made]
    share: float = 1.0


class Library:
    """A library has a method for each kind of work that it does: from the case and its arrays to a Job."""

    def job(self, case, made):
        method = getattr(self, case.work, None)
        return method and method(case, made)

    def wait(self, result):
        """Until the result is there."""

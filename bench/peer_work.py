"""The work that `peers.py` times: its cases, their arrays, the least that a machine has to do, what a library is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import Any, NamedTuple

import image_work
import numpy as np
from image_work import IMAGE_INFERENCE, IMAGE_LAYERS, IMAGE_STEPS, IMAGE_TABLES

LR, MOMENTUM = {"SGD": 1e-2, "Adam": 1e-3}, 0.9  # of updates and training steps
BATCHES = 64  # of an epoch
LINEAR, LAYERS, LOSS, UPDATES = "linear maps", "layers", "losses", "updates"
STEPS, COMPILED, EPOCHS = "training steps", "compiled steps", "epochs"
REGULARISED, INFERENCE = "regularised steps", "inference"
NET_TABLES = STEPS, COMPILED, EPOCHS, REGULARISED, INFERENCE
TABLES = LINEAR, LAYERS, LOSS, UPDATES, *NET_TABLES
ALL_TABLES = *TABLES, *IMAGE_TABLES  # those of `convolutions.py` too
LINEAR_FORMS = {"linear_forward": "forward", "linear_weight": "gradient of weight", "linear_input": "gradient of input"}
ACTIVATIONS = ("ReLU", "ELU", "Sigmoid", "Tanh", "Softplus", "GELU", "SiLU", "Softmax", "LogSoftmax")
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
MNIST_NET = (128, 784, 256, 128, 10)
NETS = (  # batch, then the widths
    (32, 64, 32, 32, 10),
    (32, 784, 100, 10),
    MNIST_NET,
    (64, *(256,) * 8, 10),
    (128, 784, 1000, 1000, 10),
    (512, 1024, 2048, 2048, 1000),
)
INFERENCE_WIDTHS = (64, 32, 32, 10), (784, 256, 128, 10), (17, 64, 64, 6)
INFERENCE_ROWS = 1, 32, 256
INFERENCE_FORMS = {"live": "", "frozen": ", frozen"}  # compile(model) and compile(model, freeze=True)


@dataclass(frozen=True)
class Case:
    """One piece of work: `work` is the method of a library that prepares it, `name` the layer, optimiser or form."""

    table: str
    work: str
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def label(self):
        if self.table == LINEAR:
            return f"{LINEAR_FORMS[self.work]}, {self.shape[0]} x {self.shape[1]} -> {self.shape[2]}"
        if self.table in (IMAGE_STEPS, IMAGE_INFERENCE):
            batch, *image = self.shape
            return f"{self.name}, {f'batch {batch}' if batch > 1 else '1 image'} of {'x'.join(map(str, image))}"
        if self.table in NET_TABLES:
            batch, *widths = self.shape
            rows = {EPOCHS: f"{BATCHES} batches of {batch}", INFERENCE: f"{batch} row{'s' * (batch > 1)}"}
            form = INFERENCE_FORMS.get(self.name, ", Adam" if self.name == "Adam" else "")
            return f"{'-'.join(map(str, widths))}, {rows.get(self.table, f'batch {batch}')}{form}"
        what = {"layer_forward": " forward", "layer_backward": " backward"}.get(self.work, "")
        return f"{self.name}{what} {self.shape}"

    @property
    def text(self):
        """What `--only` looks through."""
        return f"{self.table}: {self.label}, {self.dtype}"

    @property
    def flops(self):
        """Floating point operations of the matrix products, of a step of an epoch; 0 where memory is the limit."""
        if self.table == LINEAR:
            return 2 * prod(self.shape)
        if self.table in (IMAGE_STEPS, IMAGE_INFERENCE):
            return image_work.flops(self.name, self.shape, self.table == IMAGE_STEPS)
        if self.table not in NET_TABLES:
            return 0
        batch, *widths = self.shape
        layers = [2 * batch * before * after for before, after in pairwise(widths)]
        return sum(layers) if self.table == INFERENCE else 3 * sum(layers) - layers[0]  # no gradient of the data

    @property
    def bytes(self):
        """What is read and written at least where memory is the limit."""
        streams = image_work.POOLED if self.name in image_work.POOLS else STREAMS.get(self.work) or STREAMS[self.name]
        return int(streams * prod(self.shape) * np.dtype(self.dtype).itemsize)

    @property
    def checked(self):
        """How many calls are compared: none where every library draws its own masks."""
        if self.table == REGULARISED or self.name == "Dropout":
            return 0
        return 1 if self.table == EPOCHS else 5


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
        yield Case(COMPILED, "compiled_step", "SGD", shape, dtype)
        if shape == MNIST_NET:
            yield Case(COMPILED, "compiled_step", "Adam", shape, dtype)


def _float32_cases():
    for shape in NETS[:4]:
        yield Case(EPOCHS, "epoch", "SGD", shape, "float32")
    yield Case(REGULARISED, "regularised_step", "SGD", MNIST_NET, "float32")
    for widths in INFERENCE_WIDTHS:
        for rows in INFERENCE_ROWS:
            for form in INFERENCE_FORMS:
                yield Case(INFERENCE, "inference", form, (rows, *widths), "float32")


CASES = sorted([*_cases("float32"), *_cases("float64"), *_float32_cases()],
               key=lambda case: (TABLES.index(case.table), case.dtype))  # fmt: skip


def _image_cases(dtype="float32"):
    lenet = 1, 28, 28
    yield Case(IMAGE_STEPS, "image_step", image_work.LENET, (64, *lenet), dtype)
    yield Case(IMAGE_STEPS, "image_step", image_work.CIFAR, (64, 3, 32, 32), dtype)
    yield Case(IMAGE_INFERENCE, "image_inference", image_work.LENET, (1, *lenet), dtype)
    for name, shape in image_work.LAYER_SHAPES:
        yield Case(IMAGE_LAYERS, "layer_forward", name, shape, dtype)
        yield Case(IMAGE_LAYERS, "layer_backward", name, shape, dtype)


IMAGE_CASES = list(_image_cases())


def arrays(case):
    """The arrays of a case by name, the same in every process."""
    rng = np.random.default_rng(0)
    if case.table in IMAGE_TABLES:
        return image_work.arrays(rng, case.name, case.shape, case.dtype, case.table != IMAGE_LAYERS)

    def normal(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(case.dtype)

    rows, cols = case.shape[0], case.shape[-1]
    if case.table == LINEAR:
        _, before, _ = case.shape
        made = {"x": normal(rows, before), "dy": normal(rows, cols)}
        return {**made, "weight": normal(cols, before, scale=1 / sqrt(before)), "bias": normal(cols)}
    if case.table in NET_TABLES:
        rows *= BATCHES if case.table == EPOCHS else 1
        made = {"x": normal(rows, case.shape[1]), "y": rng.integers(0, cols, rows)}
        return {**made, "parameters": parameters(rng, case.shape[1:], case.dtype)}
    if case.table == UPDATES:
        return {"param": normal(*case.shape), "grad": normal(*case.shape)}
    return {"x": normal(*case.shape, scale=3), "dy": normal(*case.shape), "y": rng.integers(0, cols, rows)}


def parameters(rng, widths, dtype):
    """The weights (out, in) and biases of a net's linear maps."""
    return [((sqrt(2 / before) * rng.standard_normal((after, before))).astype(dtype), np.zeros(after, dtype))
            for before, after in pairwise(widths)]  # fmt: skip


def layer(modules, case):
    """The layer of a case from `fastnn.nn` or `torch.nn`, whose names and arguments are the same."""
    if case.table == IMAGE_LAYERS:
        return image_work.layer(modules, case.name, case.shape)
    options = {"BatchNorm1d": (case.shape[1],), "Softmax": (-1,), "LogSoftmax": (-1,)}
    return getattr(modules, case.name)(*options.get(case.name, ()))


def network(modules, widths, regularised=False):
    """The net of these widths from `fastnn.nn` or `torch.nn`; regularised: with batch norm and dropout."""
    layers = []
    for before, after in pairwise(widths[:-1]):
        between = [modules.ReLU()]
        if regularised:
            between = [modules.BatchNorm1d(after), *between, modules.Dropout(0.5)]
        layers += [modules.Linear(before, after), *between]
    return modules.Sequential(*layers, modules.Linear(*widths[-2:]))


class Job(NamedTuple):
    """What is timed: one call does `share` of the case; `view` makes of its result the arrays to compare."""

    run: Callable[[], Any]
    view: Callable[[Any], list[Any]] = lambda made: [made]
    share: float = 1.0


class Library:
    """A library has a method for each kind of work that it does: from the case and its arrays to a Job, or None."""

    threads = 1

    def job(self, case, made):
        method = getattr(self, case.work, None)
        return method and method(case, made)

    def wait(self, result):
        """Until the result is there."""

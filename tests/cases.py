"""THE registry: everything public that computes, once; the tests and the benchmarks loop over it.

To add a layer: one row in LAYERS, the constructor's call as text and the shapes of its inputs. Gradients, dtypes,
saving, printing and the comparison with PyTorch, whose layer of the same name is called with the same text, follow from
the row. A criterion, an optimiser or a scheduler: one row in its list, likewise.
To add an operation of the back end, in one of `operations_of_*.py`: (1) a maker of its arguments, (2) the natural size
of the terms of each output, (3) the row with both, and how many eps of that size are allowed, with the reason.
A completeness test fails while something public has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import operations_of_images
import operations_of_layers
import operations_of_training
from makers import TARGETS, away_from, normal

from fastnn import nn, optim, reference

OPERATIONS = [*operations_of_layers.ROWS, *operations_of_images.ROWS, *operations_of_training.ROWS]


def build(call: str, namespace: Any, **names: Any) -> Any:
    """What the text of a constructor's call makes, out of a module or of a mapping of names."""
    known = namespace if isinstance(namespace, dict) else vars(namespace)
    return eval(call, {**known, **names})


@dataclass(frozen=True)
class Row:
    """One thing to build: the text of the constructor's call, which is the name of its tests too."""

    call: str

    @property
    def id(self) -> str:
        return self.call

    @property
    def name(self) -> str:
        return self.call.partition("(")[0]


@dataclass(frozen=True)
class Layer(Row):
    """A layer, and inputs for it."""

    shapes: tuple[tuple[int, ...], ...]
    kinks: tuple[float, ...] = ()  # inputs at which there is no derivative
    torch: bool = True  # PyTorch has it under the same name, with the same arguments
    indices: int = 0  # the input is of integers below this, where it is not 0

    def layer(self, dtype=np.float64, seed=0):
        """The layer with random parameters and statistics: ones and zeros would hide mistakes."""
        rng = np.random.default_rng(seed)
        layer = build(self.call, nn).astype(dtype)
        for name, array in (*layer.named_parameters(), *layer.named_buffers()):
            if array.dtype.kind == "f":
                array[...] = rng.random(array.shape) + 0.5 if name.endswith("var") else rng.standard_normal(array.shape)
        return layer

    def input(self, shape, dtype=np.float64, seed=1):
        if self.indices:
            return np.random.default_rng(seed).integers(0, self.indices, shape)
        return away_from(self.kinks, np.random.default_rng(seed), dtype, *shape)


@dataclass(frozen=True)
class Criterion(Row):
    """A criterion, and targets for it; the input is (N, C). In its call, W stands for an array of class weights."""

    target: str  # one of makers.TARGETS
    log: bool = False  # the input is log-probabilities
    torch: bool = True

    N, C = 6, 5
    W = np.array([0.5, 2.0, 1.0, 0.25, 1.5])

    def criterion(self):
        return build(self.call, nn, W=self.W)

    def input(self, dtype=np.float64, seed=1):
        x = normal(np.random.default_rng(seed), dtype, self.N, self.C, scale=2)
        return reference.log_softmax_forward(x) if self.log else x

    def targets(self, dtype=np.float64, seed=2):
        return TARGETS[self.target](np.random.default_rng(seed), dtype, self.N, self.C)


@dataclass(frozen=True)
class Optimizer(Row):
    """An optimiser; in its call, `model` stands for the model."""

    torch: bool = True

    def optimizer(self, model):
        return build(self.call, optim, model=model)


@dataclass(frozen=True)
class Scheduler(Row):
    """A scheduler; in its call, `optimizer` stands for the optimiser."""

    metric: Callable[[int], float] | None = None  # of each step, where `step` takes one
    optimizer: str = "SGD(model, lr=0.1, momentum=0.9)"
    steps: int = 14
    torch: bool = True

    @property
    def id(self) -> str:
        return self.call if self.optimizer == Scheduler.optimizer else f"{self.call} of {self.optimizer}"

    def scheduler(self, optimizer):
        return build(self.call, optim.lr_scheduler, optimizer=optimizer)

    def step(self, scheduler, number):
        """Step number `number` of the schedule."""
        scheduler.step() if self.metric is None else scheduler.step(self.metric(number))


ANY = ((4, 7), (2, 3, 5), (9,))  # shapes for elementwise layers
PER_CHANNEL = ((6, 5), (4, 5, 3))
IMAGES = ((2, 4, 7, 6), (3, 4, 5, 9))
SEQUENCES = ((3, 4, 9), (2, 4, 6))
CONTAINERS = "Sequential", "Residual", "Concat", "Add"

LAYERS = [
    Layer("Linear(7, 5)", ((4, 7), (1, 7))),
    Layer("Linear(1, 3, bias=False)", ((6, 1),)),
    Layer("Identity()", ANY),
    Layer("Flatten()", ((4, 7), (3, 2, 4))),
    Layer("Flatten(0, -2)", ((3, 2, 4),)),
    Layer("ReLU()", ANY, kinks=(0,)),
    Layer("LeakyReLU()", ANY, kinks=(0,)),
    Layer("LeakyReLU(0.3)", ANY, kinks=(0,)),
    Layer("ELU()", ANY),
    Layer("ELU(1.7)", ANY, kinks=(0,)),
    Layer("SELU()", ANY, kinks=(0,)),
    Layer("Softplus()", ANY),
    Layer("Softplus(2.5, 10)", ANY, kinks=(4,)),
    Layer("Sigmoid()", ANY),
    Layer("Tanh()", ANY),
    Layer("GELU()", ANY),
    Layer("GELU(approximate='tanh')", ANY),
    Layer("SiLU()", ANY),
    Layer("Mish()", ANY),
    Layer("Hardtanh()", ANY, kinks=(-1, 1)),
    Layer("Hardtanh(-0.5, 2.5)", ANY, kinks=(-0.5, 2.5)),
    Layer("Softmax(-1)", ANY),
    Layer("Softmax(0)", ((4, 7), (2, 3, 5))),
    Layer("LogSoftmax(1)", ((4, 7), (2, 3, 5))),
    Layer("LogSoftmax(dim=-1)", ANY),
    Layer("BatchNorm1d(5)", PER_CHANNEL),
    Layer("BatchNorm1d(5, eps=0.125, momentum=None)", PER_CHANNEL),
    Layer("BatchNorm1d(5, momentum=0.3, affine=False)", PER_CHANNEL),
    Layer("BatchNorm1d(5, track_running_stats=False)", PER_CHANNEL),
    Layer("ChannelwiseScale(5)", PER_CHANNEL, torch=False),
    Layer("ChannelwiseScale(5, bias=False)", PER_CHANNEL, torch=False),
    Layer("Dropout(0.3)", ANY),
    Layer("Sequential()", ((4, 7),)),
    Layer("Sequential(Linear(7, 5), Tanh(), Linear(5, 3), LogSoftmax(-1))", ((4, 7),)),
    Layer("Sequential(Sequential(Linear(7, 6), BatchNorm1d(6)), GELU(), Sequential(Dropout(0.25), Linear(6, 2)))",
          ((8, 7),)),
    Layer("Unflatten(1, (2, 3))", ((4, 6), (3, 6, 2))),
    Layer("Unflatten(-1, (1, -1, 2))", ((4, 6), (3, 2, 4))),
    Layer("BatchNorm2d(4)", IMAGES),
    Layer("BatchNorm2d(4, eps=0.125, momentum=None)", IMAGES),
    Layer("BatchNorm2d(4, momentum=0.3, affine=False)", IMAGES),
    Layer("BatchNorm2d(4, track_running_stats=False)", IMAGES),
    Layer("LayerNorm(5)", ((4, 5), (2, 3, 5), (2, 3, 2, 5))),
    Layer("LayerNorm((3, 5), eps=0.01, bias=False)", ((2, 3, 5), (2, 4, 3, 5))),
    Layer("LayerNorm(5, elementwise_affine=False)", ((4, 5),)),
    Layer("RMSNorm(5)", ((4, 5), (2, 3, 5))),
    Layer("RMSNorm((3, 5), eps=0.01, elementwise_affine=False)", ((2, 3, 5),)),
    Layer("GroupNorm(2, 6)", ((3, 6), (2, 6, 5), (2, 6, 3, 4))),
    Layer("GroupNorm(3, 6, eps=0.01, affine=False)", ((2, 6, 3, 4),)),
    Layer("Conv2d(4, 6, 3)", IMAGES),
    Layer("Conv2d(4, 6, (1, 4), stride=(2, 3), padding=(0, 2), bias=False)", IMAGES),
    Layer("Conv2d(4, 6, 4, stride=2, padding=1, dilation=(1, 2), groups=2)", ((2, 4, 7, 6),)),
    Layer("Conv2d(4, 8, 2, padding='same', groups=4)", IMAGES),
    Layer("Conv2d(4, 3, (2, 3), padding='same', dilation=(3, 2))", IMAGES),
    Layer("Conv2d(4, 5, 1, stride=2, padding='valid')", IMAGES),
    Layer("Conv1d(4, 6, 3)", SEQUENCES),
    Layer("Conv1d(4, 2, 4, stride=2, padding=3, dilation=2, groups=2, bias=False)", SEQUENCES),
    Layer("Conv1d(4, 3, 2, padding='same')", SEQUENCES),
    Layer("ConvTranspose2d(4, 6, 3)", ((2, 4, 3, 4),)),
    Layer("ConvTranspose2d(4, 6, (2, 3), stride=(2, 3), padding=(0, 1), output_padding=(1, 2), groups=2)",
          ((2, 4, 3, 2),)),
    Layer("ConvTranspose2d(4, 3, 3, stride=2, padding=2, bias=False, dilation=2)", ((2, 4, 3, 2),)),
    Layer("MaxPool2d(2)", IMAGES),
    Layer("MaxPool2d((3, 2), stride=(2, 1), padding=1)", IMAGES),
    Layer("MaxPool2d(3, stride=2, dilation=(1, 2), ceil_mode=True)", ((2, 3, 6, 8),)),
    Layer("MaxPool1d(2)", SEQUENCES),
    Layer("MaxPool1d(3, stride=2, padding=1, ceil_mode=True)", SEQUENCES),
    Layer("AvgPool2d(2)", IMAGES),
    Layer("AvgPool2d((3, 4), stride=2, padding=(1, 2), count_include_pad=False)", IMAGES),
    Layer("AvgPool2d(4, stride=3, padding=2, ceil_mode=True)", IMAGES),
    Layer("AvgPool2d(3, stride=2, ceil_mode=True, count_include_pad=False)", IMAGES),
    Layer("AdaptiveAvgPool2d(1)", IMAGES),
    Layer("AdaptiveAvgPool2d((3, None))", IMAGES),
    Layer("AdaptiveAvgPool2d((4, 11))", IMAGES),
    Layer("ZeroPad2d(1)", IMAGES),
    Layer("ZeroPad2d((2, 0, -1, 3))", IMAGES),
    Layer("Upsample(scale_factor=2)", (*IMAGES, (2, 3, 4))),
    Layer("Upsample(scale_factor=(3, 1), mode='nearest')", IMAGES),
    Layer("Upsample(size=(14, 18))", ((2, 4, 7, 6),)),
    Layer("Embedding(7, 3)", ((4, 5), (6,)), indices=7),
    Layer("Embedding(7, 3, padding_idx=-7)", ((4, 5),), indices=7),
    Layer("Dropout2d(0.3)", IMAGES),
    Layer("Residual()", ((4, 7),), torch=False),
    Layer("Residual(Linear(7, 5), Tanh(), Linear(5, 7))", ((4, 7),), torch=False),
    Layer("Residual(BatchNorm1d(7), Linear(7, 5), shortcut=Linear(7, 5, bias=False))", ((6, 7),), torch=False),
    Layer("Concat(Linear(7, 3), Sequential(Linear(7, 4), Tanh()), Identity())", ((4, 7), (1, 7)), torch=False),
    Layer("Concat(Identity(), Sigmoid(), dim=-1)", ((4, 7), (2, 3, 5)), torch=False),
    Layer("Concat(Tanh(), BatchNorm1d(5), dim=2)", ((4, 5, 3),), torch=False),
    Layer("Add(Linear(7, 5), Sequential(Linear(7, 6), GELU(), Linear(6, 5)), Linear(7, 5))", ((4, 7),), torch=False),
    Layer("Add(Identity(), Identity(), Tanh())", ANY, torch=False),
    Layer("Residual(Add(Identity(), Linear(7, 7)), Concat(Tanh(), Residual(Linear(7, 4), shortcut=Linear(7, 4))), "
          "Linear(11, 7))", ((8, 7),), torch=False),
]  # fmt: skip

CRITERIONS = [
    *(Criterion(f"{name}({arguments}reduction='{reduction}')", target,
                torch=reduction != "batchmean")
      for name, arguments, target in (("MSELoss", "", "float"), ("L1Loss", "", "float"), ("HuberLoss", "", "float"),
                                      ("HuberLoss", "delta=0.6, ", "float"), ("BCEWithLogitsLoss", "", "unit"))
      for reduction in ("mean", "sum", "batchmean")),
    *(Criterion(f"{name}({arguments}reduction='{reduction}')", target, log=name == "NLLLoss",
                torch=reduction != "batchmean" and (name, target) != ("NLLLoss", "rows"))
      for name, arguments in (("NLLLoss", ""), ("NLLLoss", "weight=W, "), ("CrossEntropyLoss", ""),
                              ("CrossEntropyLoss", "weight=W, label_smoothing=0.2, "),
                              ("CrossEntropyLoss", "label_smoothing=0.2, "))
      for target in ("labels", "ignored", "rows")
      for reduction in ("mean", "sum", "batchmean")),
    Criterion("NLLLoss(ignore_index=2)", "labels", log=True),
    Criterion("CrossEntropyLoss(weight=W, ignore_index=2)", "labels"),
    *(Criterion(f"{name}(reduction='{reduction}')", target, torch=name != "HalfMSELoss" and reduction != "batchmean")
      for name, target in (("HalfMSELoss", "float"), ("PoissonNLLLoss", "unit"))
      for reduction in ("mean", "sum", "batchmean")),
]  # fmt: skip

OPTIMIZERS = [
    Optimizer("SGD(model, lr=0.1)"),
    Optimizer("SGD(model, lr=0.1, momentum=0.9)"),
    Optimizer("SGD(model, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.05)"),
    Optimizer("SGD(model, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01)"),
    Optimizer("Adam(model)"),
    Optimizer("Adam(model, lr=0.03, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)"),
    Optimizer("Adam(model, lr=0.03, amsgrad=True)"),
    Optimizer("AdamW(model, lr=0.03)"),
    Optimizer("AdamW(model, lr=0.03, weight_decay=0.3, amsgrad=True)"),
    Optimizer("RMSprop(model)"),
    Optimizer("RMSprop(model, lr=0.02, alpha=0.9, momentum=0.7, weight_decay=0.1)"),
    Optimizer("RMSprop(model, lr=0.02, centered=True)"),
    Optimizer("RMSprop(model, lr=0.02, alpha=0.8, eps=1e-3, momentum=0.7, centered=True)"),
    Optimizer("Adagrad(model)"),
    Optimizer("Adagrad(model, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-6)"),
]

ADAM = "Adam(model, lr=0.01, betas=(0.9, 0.99))"


def bumpy(number: int) -> float:
    """A metric that improves, stands still and worsens by turns."""
    return 1.0 + [0.0, -0.2, -0.2, -0.1, -0.3, -0.3, -0.3, -0.3, -0.2, -0.9][number % 10] * (1 + number / 40)


SCHEDULERS = [
    Scheduler("StepLR(optimizer, 3)"),
    Scheduler("StepLR(optimizer, step_size=4, gamma=0.5)", optimizer=ADAM),
    Scheduler("ExponentialLR(optimizer, 0.8)"),
    Scheduler("CosineAnnealingLR(optimizer, 5)"),
    Scheduler("CosineAnnealingLR(optimizer, T_max=4, eta_min=0.01)", steps=30),
    Scheduler("ReduceLROnPlateau(optimizer)", metric=lambda n: 1.0, steps=30),
    Scheduler("ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=0.02)", metric=bumpy, steps=30),
    Scheduler("ReduceLROnPlateau(optimizer, mode='max', patience=2, threshold=0.05, threshold_mode='abs')",
              metric=bumpy, steps=30),
    Scheduler("OneCycleLR(optimizer, max_lr=0.5, total_steps=14)"),
    Scheduler("OneCycleLR(optimizer, max_lr=0.5, epochs=2, steps_per_epoch=7, anneal_strategy='linear')"),
    Scheduler("OneCycleLR(optimizer, 0.5, 14, pct_start=0.4, three_phase=True, div_factor=10, final_div_factor=100)"),
    Scheduler("OneCycleLR(optimizer, 0.5, 14, base_momentum=0.7, max_momentum=0.9)", optimizer=ADAM),
    Scheduler("OneCycleLR(optimizer, 0.5, 14, cycle_momentum=False)", optimizer="Adagrad(model)"),
]  # fmt: skip

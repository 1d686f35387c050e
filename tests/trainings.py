"""Small trainings for the tests of checkpoints; as a program, the half of them that another process has begun.

`python trainings.py resume FOLDER` goes on from every checkpoint of the folder and writes what comes out beside it;
`python trainings.py write FILE` writes one checkpoint after another until it is killed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
from cases import OPTIMIZERS, SCHEDULERS, build

import fastnn
from fastnn import Trainer, nn, optim
from fastnn.callbacks import EarlyStopping, LRScheduler, ModelCheckpoint, ReduceLROnPlateau
from fastnn.serialization import save_tensors

EPOCHS, HALF = 10, 4


class Noise(nn.Module):
    """Noise while training: a layer that has no compiled form, and random state of both kinds."""

    random_names = ("count",)

    def __init__(self, rng):
        self.rng, self.count = np.random.default_rng(rng), 0

    def update_output(self, input):
        if not self.training:
            return input
        self.count += 1
        return input + (self.rng.normal(size=input.shape) / self.count).astype(input.dtype)

    def update_grad_input(self, input, grad_output):
        return grad_output


@dataclass(frozen=True)
class Case:
    """A training: the calls of its parts as text."""

    optimizer: str
    schedule: str | None
    dtype: str
    own_layer: bool

    @property
    def id(self):
        words = [self.optimizer, self.schedule or "", self.dtype, "explicit" if self.own_layer else "compiled"]
        return " ".join(word for word in words if word)

    def trainer(self, seed):
        """A trainer of a new model, and the schedule."""
        fastnn.manual_seed(seed)
        layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)]
        model = nn.Sequential(*layers, *([Noise(seed)] if self.own_layer else [])).astype(self.dtype)
        optimizer = build(self.optimizer, optim, model=model)
        schedule = self.schedule and build(self.schedule, optim.lr_scheduler, optimizer=optimizer)
        return Trainer(model, nn.CrossEntropyLoss(), optimizer), schedule

    def rates(self):
        """A scheduler as a callback: one that moves the rate when it is made, or one that does not."""
        schedules = optim.lr_scheduler
        if self.own_layer:
            return LRScheduler(schedules.OneCycleLR, "batch", max_lr=0.1, total_steps=4 * EPOCHS, cycle_momentum=False)
        return LRScheduler(schedules.StepLR, step_size=3, gamma=0.7)

    def train(self, epochs, seed=0, **options):
        """All that the training leaves behind, as arrays by name."""
        trainer, schedule = self.trainer(seed)
        rng = np.random.default_rng(seed) if self.own_layer else None  # None is the generator that all layers share
        X, y = data(self.dtype)
        callbacks = [
            EarlyStopping("val_loss", patience=8, restore_best=self.own_layer),
            *([] if self.schedule else [self.rates()]),
            *([] if self.schedule else [ReduceLROnPlateau("loss", patience=1, threshold=0.2)]),
            *options.pop("callbacks", []),
        ]
        history = trainer.fit(
            X[:50],
            y[:50],
            epochs,
            16,
            (X[50:], y[50:]),
            callbacks,
            rng=rng,
            progress=False,
            schedule=schedule,
            **options,
        )
        return {
            **trainer.model.state_dict(),
            **{f"{number}.{name}": np.asarray(value) for number, entry in trainer.optimizer.state.items()
               for name, value in entry.items()},
            **{name: np.array(values) for name, values in history.history.items() if name != "seconds"},
            "lr now": np.float64(trainer.optimizer.lr),
            "next numbers": np.array([g.integers(1 << 62) for g in (rng, fastnn.random.generator()) if g]),
            "masks": np.array([trainer.model[3].key >> 1, trainer.model[3].step]),
            "best": np.array([callbacks[0].best, callbacks[0].best_epoch, callbacks[0].wait]),
        }  # fmt: skip


def data(dtype):
    """Points around three centres."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 70)
    return (2 * rng.normal(size=(3, 4))[y] + rng.normal(size=(70, 4))).astype(dtype), y


CASES = [
    Case(optimizer, schedule, dtype, own_layer)
    for optimizer, schedule in (
        *((row.call, None) for row in OPTIMIZERS),
        *((row.optimizer, row.call) for row in SCHEDULERS),
    )
    for dtype in ("float32", "float64")
    for own_layer in (False, True)
]


def resume(folder):
    """Go on from the checkpoint of every case."""
    for number, case in enumerate(CASES):
        path = os.path.join(folder, f"{number}.ckpt")
        save_tensors(case.train(EPOCHS, seed=99, resume=path), os.path.join(folder, f"{number}.safetensors"))


def begin(folder):
    """Train the first epochs of every case and leave their checkpoints."""
    for number, case in enumerate(CASES):
        keeping = ModelCheckpoint(os.path.join(folder, f"{number}.ckpt"), save="checkpoint")
        case.train(HALF, callbacks=[keeping])


def numbered(path, read=False):
    """A model and an optimiser of some size, and the number that all of their arrays have in a file; 0 without one."""
    model = nn.Sequential(nn.Linear(100, 200, rng=0), nn.BatchNorm1d(200), nn.Dropout(0.5, rng=0))
    optimizer = optim.Adam(model, lr=1.0)
    for number, parameter in enumerate(model.parameters()):
        names = ("exp_avg", "exp_avg_sq")
        optimizer.state[number] = {"step": 0, **{name: np.zeros_like(parameter) for name in names}}
    if not read and not os.path.exists(path):
        return model, optimizer, 0
    found = fastnn.load_checkpoint(path, model=model, optimizer=optimizer)["number"]
    states = [array for state in optimizer.state.values() for array in state.values()]
    for array in (*model.parameters(), *(buffer for _, buffer in model.named_buffers()), *states):
        assert (np.asarray(array) == found).all(), found
    assert optimizer.lr == found and model[2].step == found
    return model, optimizer, found


def write(path):
    """Checkpoints of one number after another, each once the last is whole."""
    model, optimizer, number = numbered(path)
    print("ready", flush=True)
    while True:
        number += 1
        for array in (*model.parameters(), *(buffer for _, buffer in model.named_buffers())):
            array.fill(number)
        for state in optimizer.state.values():
            state["step"] = number
            state["exp_avg"].fill(number)
            state["exp_avg_sq"].fill(number)
        optimizer.lr, model[2].step = float(number), number
        fastnn.save_checkpoint(path, model=model, optimizer=optimizer, extra={"number": number})
        print(number, flush=True)


if __name__ == "__main__":
    {"resume": resume, "write": write}[sys.argv[1]](sys.argv[2])

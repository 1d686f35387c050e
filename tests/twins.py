"""What the tests of `fastnn.compile` share: the explicit loop, what may differ, and whether a program ran."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest

import fastnn
from fastnn import backend
from fastnn.program import step as compiled
from fastnn.program import tape


def explicit_step(model, criterion, optimizer, x, y):
    """A step written out as in the README."""
    model.zero_grad()
    output = model.forward(x)
    loss = criterion.forward(output, y)
    model.backward(x, criterion.backward(output, y))
    optimizer.step()
    return loss


def everything(model, optimizer=None):
    """Copies of all numbers that training changes, by name."""
    numbers = {name: array.copy() for name, array in (*model.named_parameters(), *model.named_buffers())}
    for place, module in enumerate(model.modules()):
        if hasattr(module, "step"):
            numbers[f"dropout {place}"] = np.array(module.step)
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            numbers |= {f"{name} of {index}": np.array(value) for name, value in state.items()}
    return numbers


STATES = 64  # times as many ulps: RMSprop's momentum is of gradients that were divided by their own small size


def assert_alike(got, expected, ulps=0.0, what=""):
    """Numbers by name, floating ones within `ulps` eps of 1 and of themselves, the optimiser's within more."""
    assert got.keys() == expected.keys(), what
    for name, array in expected.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape, (what, name)
        eps = np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0
        allowed = ulps * eps * (STATES if " of " in name else 1)
        np.testing.assert_allclose(got[name], array, rtol=allowed, atol=allowed, err_msg=f"{what} {name}")


class Twin:
    """A model and a copy of it: one for the explicit loop, one for the compiled step."""

    def __init__(self, model, criterion, make_optimizer, lr=None):
        self.criterion = criterion
        self.model, self.copy = model, copy.deepcopy(model)
        self.optimizer, self.optimizer_of_copy = make_optimizer(self.model), make_optimizer(self.copy)
        if lr is not None:
            self.optimizer.lr = self.optimizer_of_copy.lr = lr
        self.step = fastnn.compile(self.copy, criterion, self.optimizer_of_copy)

    def both(self, x, y, ulps):
        """A step of each, whose losses are alike; the loss."""
        expected = explicit_step(self.model, self.criterion, self.optimizer, x, y)
        got = self.step(x, y)
        assert type(got) is float
        allowed = ulps * np.finfo(x.dtype).eps
        np.testing.assert_allclose(got, expected, rtol=allowed, atol=allowed)
        return got

    def compare(self, ulps, what=""):
        got, expected = everything(self.copy, self.optimizer_of_copy), everything(self.model, self.optimizer)
        assert_alike(got, expected, ulps, what)


@contextlib.contextmanager
def programs_alone(really=True):
    """Inside, a step that falls back on the explicit loop is an error; not on the reference back end."""
    if not really or backend.backend() == "reference":
        yield
        return

    def fail(*arguments):
        pytest.fail("the explicit loop ran")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "train_step", fail)
        patch.setattr(compiled, "train_epoch", fail)
        yield


@contextlib.contextmanager
def teams():
    """Inside, programs think that a row is much work, and so take as many threads as they may from 32 rows on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape, "MACS_PER_NS", 1e-6)
        patch.setattr(tape, "ELEMENTS_PER_NS", 1e-6)
        yield

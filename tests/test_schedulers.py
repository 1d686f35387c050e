"""Schedulers of the registry: by hand, resumed, and with bad arguments; `test_torch_parity.py` compares the numbers."""

import inspect
import json
import math

import numpy as np
import pytest
from cases import SCHEDULERS, build
from support import model_of, outcome

from fastnn import optim

schedulers = pytest.mark.parametrize("row", SCHEDULERS, ids=lambda row: row.id)


def test_every_scheduler_has_a_row():
    module = optim.lr_scheduler
    public = {n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, module.LRScheduler)}
    assert public - {"LRScheduler"} == {row.name for row in SCHEDULERS}


def rates(row, steps, scheduler=None, start=0):
    """The learning rate (and what moves with it) after each step of the schedule."""
    if scheduler is None:
        scheduler = row.scheduler(build(row.optimizer, optim, model=model_of()))
    found = []
    for number in range(start, start + steps):
        row.step(scheduler, number)
        found.append((scheduler.optimizer.lr, getattr(scheduler.optimizer, "momentum", None),
                      getattr(scheduler.optimizer, "betas", None)))  # fmt: skip
        assert scheduler.get_last_lr() == [scheduler.optimizer.lr]
    return found


@schedulers
def test_schedules_move_the_rate_and_stay_positive(row):
    lrs = [rate[0] for rate in rates(row, min(row.steps, 13))]
    assert len(set(lrs)) > 1 and all(lr > 0 or "Cosine" in row.call for lr in lrs)


@schedulers
def test_a_schedule_resumed_from_its_state_goes_on_alike(row):
    steps = min(row.steps, 13)
    whole = rates(row, steps)
    optimizer = build(row.optimizer, optim, model=model_of())
    scheduler = row.scheduler(optimizer)
    head = rates(row, steps // 2, scheduler)
    saved, state = json.loads(json.dumps(scheduler.state_dict())), optimizer.state_dict()
    other = build(row.optimizer, optim, model=model_of())
    resumed = row.scheduler(other)
    other.load_state_dict(state)
    resumed.load_state_dict(saved)
    assert head + rates(row, steps - steps // 2, resumed, start=steps // 2) == whole


def test_schedules_by_hand():
    def lrs(call, steps, lr=1.0):
        optimizer = optim.SGD(model_of(), lr=lr, momentum=0.5)
        scheduler = build(call, optim.lr_scheduler, optimizer=optimizer)
        found = [optimizer.lr]
        for _ in range(steps):
            scheduler.step()
            found.append(optimizer.lr)
        return found

    assert lrs("StepLR(optimizer, 2, gamma=0.5)", 5) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert lrs("ExponentialLR(optimizer, 0.5)", 3) == [1, 0.5, 0.25, 0.125]
    expected = [(1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)]
    np.testing.assert_allclose(lrs("CosineAnnealingLR(optimizer, 4)", 4), expected, atol=1e-12)
    linear = lrs("OneCycleLR(optimizer, 1.0, 10, pct_start=0.5, anneal_strategy='linear', final_div_factor=1)", 9)
    np.testing.assert_allclose(
        linear, [0.04 + 0.96 * t for t in (0, 1 / 4, 1 / 2, 3 / 4, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5, 0)]
    )


@pytest.mark.parametrize("call,kind", [
    ("StepLR(optimizer, 0)", ValueError), ("StepLR(3, 1)", TypeError), ("ExponentialLR(optimizer, 'a')", TypeError),
    ("CosineAnnealingLR(optimizer, 1.5)", TypeError), ("ReduceLROnPlateau(optimizer, factor=1.0)", ValueError),
    ("ReduceLROnPlateau(optimizer, mode='up')", ValueError), ("OneCycleLR(optimizer, 0.1)", ValueError),
    ("OneCycleLR(optimizer, 0.1, 10, anneal_strategy='x')", ValueError),
    ("StepLR(optimizer, 2, last_epoch=5)", ValueError),
])  # fmt: skip
def test_schedulers_check_their_arguments(call, kind):
    result = outcome(build, call, optim.lr_scheduler, optimizer=optim.SGD(model_of()))
    assert result[:2] == ("raised", kind) and result[2].startswith(f"{call.partition('(')[0]}: expected ")

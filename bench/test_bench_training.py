"""Whole training steps: forward, cross-entropy, backward, SGD with momentum; fastnn, its NumPy twin, PyTorch eager."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support import needs_native

from fastnn import nn, optim, use_backend

NETS = {  # widths, batch
    "64-32-32-10": ((64, 32, 32, 10), 32),
    "784-100-10": ((784, 100, 10), 32),
    "784-256-128-10": ((784, 256, 128, 10), 128),
}


def network(modules, widths):
    layers = [modules.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [modules.ReLU(), modules.Linear(before, after)]
    return modules.Sequential(*layers)


def fastnn_step(model, x, y):
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model, lr=0.01, momentum=0.9)

    def step():
        model.zero_grad()
        out = model.forward(x)
        criterion.forward(out, y)
        model.acc_grad_params(x, criterion.backward(out, y))  # PyTorch does not compute the gradient by the data either
        optimizer.step()

    return step


def torch_step(torch, model, x, y):
    criterion, x, y = torch.nn.CrossEntropyLoss(), torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)

    def step():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return step


@pytest.mark.benchmark(disable_gc=True)
@pytest.mark.parametrize("library", [pytest.param("native", marks=needs_native), "reference", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_training_step(measure, request, name, dtype, library):
    widths, batch = NETS[name]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, widths[0])).astype(dtype), rng.integers(0, widths[-1], batch)
    what = {"operation": "training step", "size": f"{name}, batch {batch}", "dtype": dtype, "library": library}
    if library == "torch":
        torch = request.getfixturevalue("torch")
        measure(torch_step(torch, network(torch.nn, widths).to(getattr(torch, dtype)), x, y), **what)
    else:
        with use_backend(library):
            measure(fastnn_step(network(nn, widths).astype(dtype), x, y), **what)

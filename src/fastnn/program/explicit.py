"""The explicit loop: the meaning of every program, and what runs where there is none for the arrays at hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..nn import Criterion, Module
from ..nn.containers import accumulate
from ..optim import Optimizer

Array = np.ndarray


def train_step(model: Module, criterion: Criterion, optimizer: Optimizer, x: Any, y: Any) -> tuple[float, Array]:
    """One step of training: the loss, and the output before it. A step that raises has not moved the parameters."""
    output = model.forward(x)
    try:
        loss = criterion.forward(output, y)
        grad_output = criterion.backward(output, y)
    except Exception:
        model.undo_output()
        raise
    model.zero_grad()
    accumulate(model, x, grad_output)
    optimizer.step()
    return loss, output


def evaluating(module: Module) -> Module:
    """The same layers on the same arrays, in evaluation mode: the module itself, with its mode and caches, stays."""
    twin = copy.copy(module)
    twin.training = False
    for name, value in vars(module).items():
        if isinstance(value, Module):
            setattr(twin, name, evaluating(value))
        elif isinstance(value, list) and any(isinstance(item, Module) for item in value):
            setattr(twin, name, [evaluating(item) if isinstance(item, Module) else item for item in value])
    return twin

"""The explicit loop: the meaning of every program, and what runs where there is none for the arrays at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import Criterion, CrossEntropyLoss, Module, NLLLoss
from ..nn.containers import accumulate
from ..optim import Optimizer

Array = np.ndarray
CLASS_LOSSES = CrossEntropyLoss, NLLLoss  # whose targets may be rows (N, C) instead of labels
OnSteps = Callable[[int], object] | None  # called now and then with the number of steps since


def train_step(
    model: Module, criterion: Criterion, optimizer: Optimizer, x: Any, y: Any, sample_weight: Any = None
) -> tuple[float, float, Array]:
    """One step of training: the loss, the penalty that is part of it, and the output before the step.

    A step that raises has not moved the parameters.
    """
    weights = () if sample_weight is None else (sample_weight,)
    output = model.forward(x)
    try:
        loss = criterion.forward(output, y, *weights)
        grad_output = criterion.backward(output, y, *weights)
        model.zero_grad()
        accumulate(model, x, grad_output)
        penalty = _penalize(model, optimizer.penalty, len(output) if sample_weight is None else np.sum(sample_weight))
        optimizer.step()
    except Exception:
        model.undo_output()
        raise
    return loss + penalty, penalty, output


def _penalize(model: Module, penalty: float, rows: float) -> float:
    """penalty / (2 rows) times the squares of the parameters that have two axes; its gradient is added to theirs."""
    if penalty == 0:
        return 0.0
    share, total = np.float64(penalty) / rows, 0.0
    for param, grad in zip(model.parameters(), model.grad_parameters(), strict=True):
        if param.ndim >= 2:
            total += float(np.square(param, dtype=np.float64).sum())
            grad += float(share) * param
    return float(share / 2 * total)


def train_epoch(
    model: Module,
    criterion: Criterion,
    optimizer: Optimizer,
    loader: Any,
    on_steps: OnSteps = None,
    penalties: list[float] | None = None,
) -> tuple[Array, int, int]:
    """A step on every batch of a loader: their losses; how many rows of classes were right, and of how many.

    The penalty in each loss goes to the list `penalties`.
    """  # fmt: skip
    losses, hits, counted = [], 0, 0
    for x, y, *weights in loader:
        loss, penalty, output = train_step(model, criterion, optimizer, x, y, *weights)
        losses.append(loss)
        if penalties is not None:
            penalties.append(penalty)
        right, rows = count_hits(criterion, output, y)
        hits, counted = hits + right, counted + rows
        if on_steps is not None:
            on_steps(1)
    return np.array(losses, float), hits, counted


def count_hits(criterion: Criterion, output: Array, target: Any) -> tuple[int, int]:
    """Of scores (N, C) and class targets: how many rows are right, and of how many; else 0 of 0."""
    labels = np.asarray(target)
    if labels.ndim == 2 and isinstance(criterion, CLASS_LOSSES):
        labels = labels.argmax(axis=1) if labels.shape[1] else labels[:, 0]
    if output.ndim != 2 or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return 0, 0
    used = labels != getattr(criterion, "ignore_index", None)
    return int(((output.argmax(axis=1) == labels) & used).sum()), int(used.sum())


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

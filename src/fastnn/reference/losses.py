"""Losses and their gradients. Totals are sums over the batch; the criterions divide them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks
from .elementwise import _sigmoid, log_softmax_forward, softmax_forward

LOSS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "MSELoss": (lambda x, t, a: (x - t) ** 2, lambda x, t, a: 2 * (x - t)),
    "HalfMSELoss": (lambda x, t, a: 0.5 * (x - t) ** 2, lambda x, t, a: x - t),
    "L1Loss": (lambda x, t, a: np.abs(x - t), lambda x, t, a: np.sign(x - t)),
    "HuberLoss": (
        lambda x, t, a: np.where(np.abs(x - t) <= a, 0.5 * (x - t) ** 2, a * (np.abs(x - t) - 0.5 * a)),
        lambda x, t, a: np.clip(x - t, -a, a),
    ),
    "BCEWithLogitsLoss": (
        lambda x, t, a: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        lambda x, t, a: _sigmoid(x) - t,
    ),
    "PoissonNLLLoss": (lambda x, t, a: np.exp(x) - t * x, lambda x, t, a: np.exp(x) - t),
    "ProbabilityNLL": (
        lambda x, t, a: -t * np.log(np.clip(x, a, 1 - a)),
        lambda x, t, a: -t / np.clip(x, a, 1 - a),
    ),
}


@np.errstate(all="ignore")
def loss_forward(
    name: str, input: np.ndarray, target: np.ndarray, a: float = 0.0, row_weight: np.ndarray | None = None
) -> float:
    """The sum over all elements of an elementwise loss, one of LOSS with its constant a, as a float.

    row_weight (N,) is the weights of the rows, float64.
    """
    input, target = checks.elementwise(name, input=input, target=target)
    losses = LOSS[name][0](input, target, a)
    return float((losses if row_weight is None else _by_row(row_weight, losses)).sum(dtype=np.float64))


def _by_row(row_weight: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Rows times their weights, in float64."""
    return array * row_weight.reshape(-1, *[1] * (array.ndim - 1))


@np.errstate(all="ignore")
def loss_backward(
    name: str, input: np.ndarray, target: np.ndarray, scale: float, a: float = 0.0, row_weight: np.ndarray | None = None
) -> np.ndarray:
    """scale times the derivative of the elementwise loss by its input, times the weight of the row."""
    input, target = checks.elementwise(name, input=input, target=target)
    grad = scale * LOSS[name][1](input, target, a)
    return (grad if row_weight is None else _by_row(row_weight, grad)).astype(input.dtype)


def _class_weights(
    input: np.ndarray,
    labels: Any,
    rows: Any,
    weight: np.ndarray | None,
    ignore_index: int,
    smoothing: float = 0.0,
    row_weight: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """q (N, C): the weight of every class in the loss -sum(q log p) of a row; and the total weight of the batch.

    Labels: q = w (1 - s) at the label and w s / C everywhere, 0 in ignored rows; the total is the sum of the labels'
    w. Rows t: q = w (t (1 - s) + s / C); the total is N. As in PyTorch. All of it times the weights of the rows.
    """
    n, c = input.shape
    each = np.ones(n) if row_weight is None else row_weight
    w = np.ones(c) if weight is None else weight.astype(np.float64)
    spread = smoothing / max(c, 1)
    if labels is None:
        return each[:, None] * w * (rows * (1 - smoothing) + spread), float(each.sum())
    used = labels != ignore_index
    safe = np.where(used, labels, 0)
    q = np.tile(w * spread, (n, 1))
    q[np.arange(n), safe] += w[safe] * (1 - smoothing)
    return each[:, None] * np.where(used[:, None], q, 0), float((each * np.where(used, w[safe], 0)).sum())


def _mean(total_weight: float) -> float:
    return 1 / total_weight if total_weight else 0.0


def _weighted(q: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """sum(q scores) of each row, in which classes of weight 0 do not count even where the score is infinite."""
    return np.where(q == 0, 0, q * scores).sum(axis=1)


@np.errstate(all="ignore")
def nll_forward(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    row_weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Negative log-likelihood of log-probabilities (N, C) -> total loss, total weight (floats).

    The target is labels (N,) or rows (N, C); row_weight (N,) is the weights of the rows, float64.
    """
    input, labels, rows, weight = checks.classes("NLLLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index, 0.0, row_weight)
    return float(-_weighted(q, input.astype(np.float64)).sum()), total_weight


@np.errstate(all="ignore")
def nll_backward(
    input: np.ndarray,
    target: np.ndarray,
    scale: float | None,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    row_weight: np.ndarray | None = None,
) -> np.ndarray:
    """scale times the derivative of the total of `nll_forward` by its input (N, C).

    None for a scale is one over the total weight, 0 where that is 0.
    """
    input, labels, rows, weight = checks.classes("NLLLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index, 0.0, row_weight)
    scale = _mean(total_weight) if scale is None else scale
    return (-scale * q).astype(input.dtype)


@np.errstate(all="ignore")
def cross_entropy_forward(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    row_weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Negative log-likelihood of the softmax of scores (N, C) -> total loss, total weight (floats)."""
    input, labels, rows, weight = checks.classes("CrossEntropyLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index, label_smoothing, row_weight)
    return float(-_weighted(q, log_softmax_forward(input.astype(np.float64))).sum()), total_weight


@np.errstate(all="ignore")
def cross_entropy_backward(
    input: np.ndarray,
    target: np.ndarray,
    scale: float | None,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    row_weight: np.ndarray | None = None,
) -> np.ndarray:
    """scale times the derivative of the total of `cross_entropy_forward`: softmax(x) sum(q) - q in each row.

    None for a scale as in `nll_backward`.
    """
    input, labels, rows, weight = checks.classes("CrossEntropyLoss", input, target, weight, ignore_index)
    q, total_weight = _class_weights(input, labels, rows, weight, ignore_index, label_smoothing, row_weight)
    scale = _mean(total_weight) if scale is None else scale
    total = q.sum(axis=1, keepdims=True)
    grad = softmax_forward(input.astype(np.float64)) * total - q
    used = np.ones(len(input), bool) if labels is None else labels != ignore_index
    return (scale * np.where(used[:, None], grad, 0)).astype(input.dtype)

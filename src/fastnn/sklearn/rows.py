"""Rows of dense and sparse matrices: blocks of them, and batches for a training step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from ..interrupts import Interrupts
from ..nn import Module
from ..program import Step
from ..program.explicit import train_step

Array = np.ndarray
THIN = 32  # a dense product does about so many elements in the time that SciPy takes for one of a sparse one
THIN_BATCH = 100  # rows: compiled steps, which make and use a gradient at once, are faster on fewer dense ones
BLOCK = 1 << 19  # elements of the dense copy of a block of a sparse matrix: 4 MB in float64


def is_sparse(X: Any) -> bool:
    return bool(sparse.issparse(X))


def is_thin(X: Any) -> bool:
    """Whether X is a sparse matrix with so few elements that products of these alone are faster than dense ones."""
    return is_sparse(X) and X.nnz * THIN <= X.shape[0] * X.shape[1]


def blocks(rows: int, columns: int, multiple: int = 1) -> Iterator[slice]:
    """Slices of at most about BLOCK elements, of a multiple of so many rows, that cover all rows."""
    size = max(1, BLOCK // max(columns, 1) // multiple) * multiple
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def dense(X: Any, rows: Any) -> Array:
    """Some rows of X as a dense array."""
    part = X[rows]
    return part.toarray() if is_sparse(part) else part


def prepared(X: Any, dtype: Any) -> Any:
    """X in the form that gives rows fastest: C order, or CSR."""
    if is_sparse(X):
        return X.tocsr().astype(dtype, copy=False)
    return np.ascontiguousarray(X, dtype)


class Batches:
    """Training data and how a step takes it: batch by batch, in any order.

    Parameters
    ----------
    X : ndarray or CSR matrix, shape (N, n_features)
    y : ndarray, shape (N,) or (N, n_outputs)
        As the criterion takes it.
    weights : ndarray, shape (N,), or None
    chosen : ndarray of int, or None
        The numbers of the rows to train on; None: all.
    batch_size : int
    drop_one : bool
        Whether to leave out a last batch of one row, which has no variance.
    """

    def __init__(
        self, X: Any, y: Array, weights: Array | None, chosen: Array | None, batch_size: int, drop_one: bool
    ) -> None:
        self.X, self.y, self.weights, self.chosen, self.batch_size = X, y, weights, chosen, batch_size
        rows = X.shape[0] if chosen is None else len(chosen)
        self.rows = rows - (drop_one and rows > 1 and rows % batch_size == 1)
        self._drop_last = self.rows < rows
        self.starts = np.arange(0, self.rows, batch_size)
        self.sizes = np.diff(self.starts, append=self.rows)
        self._gaps = weights is not None and not weights.all()

    def train(self, step: Step, thin_model: Module, order: Array | None) -> tuple[Array, Array]:
        """Train on the rows in an order: of each batch the loss, and the part of it that is the penalty.

        `thin_model` is the step's model for a sparse matrix.
        """
        numbers = self._numbers(order)
        if self._gaps and not self.sums(self.weights, order).all():
            raise ValueError("sample_weight: expected a weight above 0 in each batch, got a batch without")
        if not is_sparse(self.X):
            losses = step.epoch(self.X, self.y, self.batch_size, False, drop_last=self._drop_last, order=numbers,
                                sample_weight=self.weights)  # fmt: skip
            return losses, step.penalties
        if self.batch_size >= THIN_BATCH and is_thin(self.X):
            return self._train_thin(step, thin_model, numbers)
        parts = []
        for block in blocks(self.rows, self.X.shape[1], self.batch_size):
            rows = block if numbers is None else numbers[block]
            weights = None if self.weights is None else self.weights[rows]
            losses = step.epoch(dense(self.X, rows), self.y[rows], self.batch_size, False, sample_weight=weights)
            parts.append((losses, step.penalties))
        losses, penalties = (np.concatenate(part) for part in zip(*parts, strict=True))
        return losses, penalties

    def _train_thin(self, step: Step, model: Module, numbers: Array | None) -> tuple[Array, Array]:
        """The same with a step in Python, whose first layer takes the rows as they are."""
        losses, penalties = np.zeros((2, len(self.starts)))
        interrupts = Interrupts()
        with interrupts.caught(), interrupts.held():
            for index, start in enumerate(self.starts):
                block = slice(start, min(start + self.batch_size, self.rows))
                rows = block if numbers is None else numbers[block]
                weights = None if self.weights is None else self.weights[rows]
                losses[index], penalties[index], _ = train_step(
                    model, step.criterion, step.optimizer, self.X[rows], self.y[rows], weights
                )
                interrupts.release()
        return losses, penalties

    def _numbers(self, order: Array | None) -> Array | None:
        """The numbers of the rows in an order of those that are chosen."""
        return order if self.chosen is None else self.chosen if order is None else self.chosen[order]

    def sums(self, values: Any, order: Array | None) -> Array:
        """The sums of one number a row over each batch."""
        numbers = self._numbers(order)
        return np.add.reduceat((values if numbers is None else values[numbers])[: self.rows], self.starts)

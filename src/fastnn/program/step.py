"""`Step`: a training step, or an epoch of them, as one native call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from ..data import batches
from ..nn import Criterion, Module
from ..optim import Optimizer
from .build import check, float_dtype, integers, training_program
from .explicit import CLASS_LOSSES, OnSteps, train_epoch, train_step
from .recorder import Unsuited

Array = np.ndarray
MOST_PROGRAMS = 8  # that are kept for other shapes, dtypes and modes


class Step:
    """What `fastnn.compile(model, criterion, optimizer)` returns: call it with a batch to train on it.

    Attributes
    ----------
    model, criterion, optimizer
        What is trained, and how; they cannot be assigned.
    penalties : ndarray, shape (batches,), float64
        The penalty (see `fastnn.optim.Optimizer`) that is part of each loss of the last epoch.
    """

    def __init__(self, model: Module, criterion: Criterion, optimizer: Optimizer) -> None:
        check(model, criterion, optimizer)
        self._parts = model, criterion, optimizer
        self._programs: list[Any] = []  # the one used last is the first
        self._run: Callable[[Any, Any], float | None] = _none
        self._native = backend.ops
        self.penalties = np.zeros(0)
        self._building = threading.RLock()  # a signal handler may take a step inside an epoch

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Train on one batch.

        Parameters
        ----------
        x : ndarray, shape (N, ...)
            Samples.
        y : ndarray
            Targets, as the criterion takes them.
        sample_weight : array-like, shape (N,), optional
            Weights of the samples: the loss and its gradient are weighted means, as `Criterion.forward` says.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        TypeError, ValueError, IndexError
            As the layers and the criterion raise them; nothing has changed then.
        """
        if sample_weight is None and backend.ops is self._native:
            loss = self._run(x, y)
            if loss is not None:
                return loss
        return self._other(x, y, sample_weight)

    def _other(self, x: Any, y: Any, sample_weight: Any) -> float:
        """A step where the program used last does not fit."""
        loss: float | None = None
        if (arrays := self._arrays(x, y, sample_weight)) is not None:
            loss = self._by_program(*arrays, lambda program, x, y, weights: program.step(x, y, weights))
        if loss is None:
            loss, *_ = train_step(self.model, self.criterion, self.optimizer, x, y, sample_weight)
        return loss

    @property
    def model(self) -> Module:
        return self._parts[0]

    @property
    def criterion(self) -> Criterion:
        return self._parts[1]

    @property
    def optimizer(self) -> Optimizer:
        return self._parts[2]

    def epoch(
        self,
        X: Any,
        Y: Any,
        batch_size: int = 32,
        shuffle: bool = True,
        rng: np.random.Generator | int | None = None,
        drop_last: bool = False,
        *,
        order: Any = None,
        sample_weight: Any = None,
    ) -> Array:
        """Train on all rows, batch by batch, in one native call.

        Parameters
        ----------
        X : array-like, shape (N, ...)
            Samples.
        Y : array-like, shape (N, ...)
            Targets, as the criterion takes them.
        batch_size : int
            Rows of a step; the last one has the rest.
        shuffle : bool
            Whether the rows come in a random order: the same as that of `fastnn.data.batches`.
        rng : None, int or numpy.random.Generator
            Where the order comes from.
        drop_last : bool
            Whether to leave out a last batch of fewer rows.
        order : array of int, optional
            The numbers of the rows to train on, in this order, in place of shuffling.
        sample_weight : array-like, shape (N,), optional
            Weights of the samples.

        Returns
        -------
        ndarray, shape (batches,), float64
            The loss of every batch, before its step.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `fastnn.data.batches`, the layers and the criterion raise them.
        KeyboardInterrupt
            At the latest 0.05 seconds and a step after Ctrl-C. The steps that are done stay done.
        """
        shuffle = shuffle and order is None
        return self.run_epoch(batches(X, Y, batch_size, shuffle, rng, drop_last, order, sample_weight))[0]

    def run_epoch(self, loader: Any, on_steps: OnSteps = None) -> tuple[Array, int, int]:
        """One pass over the batches of a loader: their losses; how many rows of classes were right, and of how many."""
        done: Any = None
        if len(loader) and (arrays := self._arrays(loader.X, loader.Y, loader.sample_weight)) is not None:
            before = loader.rng.bit_generator.state if loader.shuffle else None
            order = loader.next_order()
            more = order, min(loader.batch_size, loader.rows), loader.drop_last, on_steps
            done = self._by_program(*arrays, lambda program, *arrays: program.epoch(*arrays, *more))
            if done is None and before is not None:
                loader.rng.bit_generator.state = before
        if done is None:
            found: list[float] = []
            losses, *counts = train_epoch(*self._parts, loader, on_steps, found)
            done = losses, np.array(found), *counts
        losses, penalties, hits, counted = done
        self.penalties = np.zeros(len(losses)) if penalties is None else penalties
        return losses, hits, counted

    def _arrays(self, x: Any, y: Any, weights: Any) -> tuple[Array, Array, Array | None] | None:
        """Batch and targets as a program takes them, if that changes no number; None: the explicit loop takes them."""
        if backend.backend() != "native" or type(x) is not np.ndarray or x.ndim == 0 or len(x) == 0:
            return None
        x, y = integers(x), np.asarray(y)
        if y.ndim == 0 or len(x) != len(y):
            return None
        try:
            dtype = float_dtype(self.model, x)
        except Unsuited:
            return None
        labels = y.ndim == 1 and y.dtype.kind in "iu" and np.can_cast(y.dtype, np.int64)
        class_rows = y.ndim == 2 and isinstance(self.criterion, CLASS_LOSSES)
        if not labels and not (y.dtype.kind in "biuf" and (class_rows or y.dtype == dtype)):
            return None
        if weights is not None:
            weights = np.asarray(weights)
            if weights.dtype.kind not in "biuf" or weights.shape != x.shape[:1]:
                return None
            weights = np.ascontiguousarray(weights, np.float64)
        return x, np.ascontiguousarray(y, np.int64 if labels else dtype), weights

    def _by_program(self, x: Array, y: Array, weights: Array | None, run: Callable[..., Any]) -> Any:
        """What a program that fits makes of the arrays: one that is there, or a new one; None where none can."""
        with self._building:
            if self._native is not backend.ops:
                self._programs, self._native = [], backend.ops
            for program in self._programs:
                result = run(program, x, y, weights)
                if result is not None:
                    return self._chosen(program, result)
            before = dict(self.optimizer.state)
            try:
                program = training_program(*self._parts, x, y.dtype.kind == "f", weights is not None)
                result = run(program, x, y, weights)
            except Unsuited:
                return None
            except Exception:
                self._take_back(before)
                raise
            if result is not None:
                return self._chosen(program, result)
            self._take_back(before)
            return None

    def _take_back(self, before: dict[int, Any]) -> None:
        """The optimiser's states as they were, unless steps were done: new ones would no longer count as new."""
        now = self.optimizer.state
        if all(state["step"] == before.get(number, {"step": 0})["step"] for number, state in now.items()):
            now.clear()
            now.update(before)

    def _chosen(self, program: Any, result: Any) -> Any:
        """Keep the program in front of the others."""
        others = [other for other in self._programs if other is not program]
        self._programs = [program, *others][:MOST_PROGRAMS]
        self._run = program.step
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies hold the three parts; their programs are built anew when they are called."""
        return type(self), self._parts

    def __repr__(self) -> str:
        return f"compile({self.model!r}, {self.criterion!r}, {self.optimizer!r})"


def _none(x: Any, y: Any) -> None:
    return None

"""One pass of training over the batches: an epoch of `Trainer`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from .callbacks import CallbackList
from .data import Batches
from .interrupts import Interrupts
from .program import Step
from .program.explicit import train_epoch


class Pass:
    """Trains on the batches of a loader, once a call; Ctrl-C waits for the end of the step.

    Attributes
    ----------
    rows : int
        How many rows it trains on.
    """

    def __init__(self, trainer: Any, loader: Batches, hooks: CallbackList, interrupts: Interrupts) -> None:
        self._trainer, self._loader, self._hooks, self._interrupts = trainer, loader, hooks, interrupts
        self.rows = min(len(loader) * loader.batch_size, len(loader.X))
        parts = trainer.model, trainer.criterion, trainer.optimizer
        self._train: Callable[..., Any]
        try:
            self._train = Step(*parts).run_epoch
        except TypeError:  # a part has no compiled form
            self._train = partial(train_epoch, *parts)

    def __call__(self, on_rows: Callable[[int], object]) -> dict[str, float]:
        """Mean loss, accuracy of class targets, learning rate, seconds; `on_rows` hears now and then how many more."""
        start, rate = perf_counter(), float(self._trainer.optimizer.lr)
        loader = self._loader if self._loader.sample_weight is None else _ordered(self._loader)
        left = self.rows

        def on_steps(steps: int) -> None:
            nonlocal left
            done = min(steps * loader.batch_size, left)
            left -= done
            on_rows(done)
            self._interrupts.release()

        with self._interrupts.held():
            train = self._batch_by_batch if self._hooks.wants_batches else self._train
            losses, hits, counted = train(loader, on_steps)
        loss = losses.sum()
        if getattr(self._trainer.criterion, "reduction", "mean") != "sum":
            shares = self._shares(loader)[: len(losses)]
            loss = losses[shares > 0] @ shares[shares > 0] / shares.sum()
        record = {"loss": float(loss)}
        if counted:
            record["accuracy"] = hits / counted
        return {**record, "lr": rate, "seconds": perf_counter() - start}

    def _batch_by_batch(self, loader: Batches, on_steps: Callable[[int], None]) -> tuple[np.ndarray, int, int]:
        """The same with a hook after every step, until one stops the training."""
        losses, hits, counted = [], 0, 0
        for step, (x, y, *weights) in enumerate(loader, (self._trainer.epoch - 1) * len(loader) + 1):
            batch = Batches(x, y, len(x), sample_weight=weights[0] if weights else None)
            (loss,), right, rows = self._train(batch, on_steps)
            losses.append(loss)
            hits, counted = hits + right, counted + rows
            self._hooks.on_batch_end(self._trainer, step, float(loss))
            if self._trainer.stop_training:
                break
        return np.array(losses), hits, counted

    def _shares(self, loader: Batches) -> np.ndarray:
        """The rows of every batch, or the sum of their weights."""
        starts = loader.batch_size * np.arange(len(loader))
        if loader.sample_weight is None:
            return np.minimum(loader.batch_size, len(loader.X) - starts)
        weights = loader.sample_weight if loader.order is None else loader.sample_weight[loader.order]
        return np.add.reduceat(weights[: self.rows], starts)


def _ordered(loader: Batches) -> Batches:
    """The batches of one pass, in an order that is drawn now."""
    drop_last, weights = loader.drop_last, loader.sample_weight
    order = loader.next_order()
    return Batches(loader.X, loader.Y, loader.batch_size, drop_last=drop_last, order=order, sample_weight=weights)

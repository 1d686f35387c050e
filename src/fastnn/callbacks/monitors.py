"""Callbacks that watch one number of the epochs and act on whether it still improves, and on whether it is a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..arguments import choice, flag, integer, number
from .base import Callback, Record

GREATER = "acc", "auc", "f1", "precision", "recall", "r2", "score"  # parts of names whose greater values are better


def monitored(where: str, monitor: str, record: Record) -> float:
    """The number of that name in a record."""
    if monitor not in record:
        names = ", ".join(name for name in record if name != "epoch")
        hint = " (validation data give those of val_)" if monitor.startswith("val_") else ""
        raise ValueError(f"{where}: expected monitor as one of {names}, got {monitor!r}{hint}")
    return float(record[monitor])


def direction(where: str, monitor: Any, mode: Any) -> str:
    """`mode`, with "auto" as "max" for the names of scores and "min" for others."""
    if not isinstance(monitor, str):
        raise TypeError(f"{where}: expected monitor as a name, got {type(monitor).__name__}")
    if choice(where, "mode", mode, ("auto", "min", "max")) != "auto":
        return str(mode)
    return "max" if any(part in monitor for part in GREATER) else "min"


class Monitor(Callback):
    """What callbacks share that look for the best value of a number: `monitor`, `mode`, `best`, `best_epoch`."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0, baseline: float | None = None) -> None:
        where = type(self).__name__
        self.monitor, self.mode = monitor, direction(where, monitor, mode)
        self.min_delta = number(where, "min_delta", min_delta, low=0)
        self.baseline = None if baseline is None else number(where, "baseline", baseline)
        self._reset()

    def _reset(self) -> None:
        self.best = self.baseline
        self.best_epoch = 0

    def on_train_begin(self, trainer: Any) -> None:
        if not getattr(trainer, "epoch", 0):  # else a training goes on, from the state that was loaded
            self._reset()

    def _improves(self, record: Record) -> bool:
        """Whether the record has the best value so far, of which it takes note; NaN never is."""
        value = monitored(type(self).__name__, self.monitor, record)
        sign = 1 if self.mode == "max" else -1
        if math.isnan(value) or (self.best is not None and sign * (value - self.best) <= self.min_delta):
            return False
        self.best, self.best_epoch = value, int(record["epoch"])
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        where = f"{type(self).__name__}.load_state_dict"
        best = state_dict["best"]
        if best is not None and not isinstance(best, float):
            raise TypeError(f"{where}: expected best as a number, got {type(best).__name__}")
        self.best, self.best_epoch = best, integer(where, "best_epoch", state_dict["best_epoch"], low=0)


class EarlyStopping(Monitor):
    """End the training when a number has not improved for some epochs, with the best model of all.

    Parameters
    ----------
    monitor : str
        A name of the history: "val_loss", "val_accuracy", "loss", "val_..." and a metric.
    patience : int
        Epochs in a row without improvement that end the training; 0 is as 1.
    min_delta : float
        What the number must improve by, and more, to count.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" is "max" for names with acc, auc, f1, precision, recall, r2 or score in
        them, and "min" for others.
    restore_best : bool
        Whether the model has the parameters and the statistics of its best epoch in the end, however the training
        ends. A copy of them is kept in memory. The optimiser stays as it is.
    baseline : float, optional
        What has to be improved on at first.

    Attributes
    ----------
    best : float or None
        The best number so far; the baseline, or None, if there is none.
    best_epoch : int
        Its epoch, from 1; 0 if there is none.
    stopped_epoch : int
        The epoch after which the training ended by this callback; 0 if it did not.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: there is no number of that name.

    Notes
    -----
    NaN is never an improvement. Prechelt, "Early stopping - but when?", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Trainer, data, nn, optim
    >>> from fastnn.callbacks import EarlyStopping
    >>> X, y = data.load_digits()
    >>> X, X_val, y, y_val = data.train_test_split(X / 16, y, test_size=0.2, rng=0)
    >>> model = nn.Sequential(nn.Linear(64, 32, rng=0), nn.ReLU(), nn.Linear(32, 10, rng=1))
    >>> trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01))
    >>> stopping = EarlyStopping("val_loss", patience=3)
    >>> history = trainer.fit(
    ...     X, y, 200, validation_data=(X_val, y_val), callbacks=[stopping], rng=0, progress=False
    ... )
    >>> len(history) == stopping.best_epoch + 3
    True
    >>> trainer.evaluate(X_val, y_val)["loss"] == stopping.best == min(history["val_loss"])
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
        baseline: float | None = None,
    ) -> None:
        self.patience = integer("EarlyStopping", "patience", patience, low=0)
        self.restore_best = flag("EarlyStopping", "restore_best", restore_best)
        super().__init__(monitor, mode, min_delta, baseline)

    def _reset(self) -> None:
        super()._reset()
        self.wait = 0
        self.stopped_epoch = 0
        self._best_state: dict[str, Any] | None = None

    def on_train_begin(self, trainer: Any) -> None:
        super().on_train_begin(trainer)
        if self.stopped_epoch and self.wait >= self.patience:
            trainer.stop_training = True
        else:  # also where a training that was stopped goes on with more patience
            self.stopped_epoch = 0

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        if self._improves(record):
            self.wait = 0
            if self.restore_best:
                self._best_state = trainer.model.state_dict()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = int(record["epoch"])
            trainer.stop_training = True

    def on_train_end(self, trainer: Any) -> None:
        if self._best_state is not None:
            trainer.model.load_state_dict(self._best_state)

    def state_dict(self) -> dict[str, Any]:
        more = {"wait": self.wait, "stopped_epoch": self.stopped_epoch, "best_state": self._best_state}
        return {**super().state_dict(), **more}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        where = "EarlyStopping.load_state_dict"
        wait = integer(where, "wait", state_dict["wait"], low=0)
        stopped_epoch = integer(where, "stopped_epoch", state_dict["stopped_epoch"], low=0)
        best_state = state_dict["best_state"]
        if best_state is not None and not isinstance(best_state, Mapping):
            raise TypeError(f"{where}: expected best_state as a mapping or None, got {type(best_state).__name__}")
        super().load_state_dict(state_dict)
        self.wait, self.stopped_epoch = wait, stopped_epoch
        self._best_state = None if best_state is None else dict(best_state)


class TerminateOnNaN(Callback):
    """End the training after an epoch whose loss is NaN or infinite.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastnn.callbacks import TerminateOnNaN
    >>> trainer = SimpleNamespace(stop_training=False)
    >>> TerminateOnNaN().on_epoch_end(trainer, {"epoch": 1, "loss": float("nan")})
    >>> trainer.stop_training
    True
    """

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        if not math.isfinite(monitored("TerminateOnNaN", "loss", record)):
            trainer.stop_training = True

"""Callbacks that move the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import choice, number
from ..optim import lr_scheduler
from .base import Callback, Record
from .monitors import direction, monitored


class LRScheduler(Callback):
    """Move the learning rate by a scheduler, or by a function of the epoch.

    Parameters
    ----------
    schedule : scheduler, class of one, or function
        A scheduler of `fastnn.optim.lr_scheduler`, whose `step` is called after each epoch (that of
        `ReduceLROnPlateau` with the number that is monitored). A class of them, which is called with the optimiser and
        the `arguments` when the training begins. A function from the number of an epoch, from 1, to its learning rate.
    every : {"epoch", "batch"}
        When a scheduler makes its step; "batch" is for `OneCycleLR`, and makes a call of every training step.
    monitor : str
        What `ReduceLROnPlateau` looks at.
    **arguments
        Of the class.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: there is no number to monitor, or the function gives
        no learning rate.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Trainer, nn, optim
    >>> from fastnn.callbacks import LRScheduler
    >>> model = nn.Sequential(nn.Linear(1, 1, rng=0))
    >>> x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.1))
    >>> halving = LRScheduler(lambda epoch: 0.1 / 2**epoch)
    >>> trainer.fit(x, 2 * x, epochs=3, callbacks=[halving], progress=False)["lr"]
    [0.05, 0.025, 0.0125]
    >>> stepping = LRScheduler(optim.lr_scheduler.StepLR, step_size=2, gamma=0.5)
    >>> trainer.fit(x, 2 * x, epochs=3, callbacks=[stepping], progress=False)["lr"]
    [0.0125, 0.0125, 0.00625]
    """

    def __init__(
        self,
        schedule: lr_scheduler.LRScheduler | type[lr_scheduler.LRScheduler] | Callable[[int], float],
        every: str = "epoch",
        monitor: str = "val_loss",
        **arguments: Any,
    ) -> None:
        where = type(self).__name__
        self.every, self.monitor = choice(where, "every", every, ("epoch", "batch")), monitor
        self._make: Any = schedule if isinstance(schedule, type) else None
        self._function: Any = None
        self._arguments = arguments
        self._loaded: Mapping[str, Any] | None = None
        self.schedule: Any = None  # the scheduler, once there is one
        if self._make is None and callable(getattr(schedule, "step", None)):
            self.schedule = schedule
        elif self._make is None:
            self._function = schedule
        if self._function is not None and not callable(schedule):
            raise TypeError(f"{where}: expected a scheduler or a function, got {type(schedule).__name__}")
        if self._function is not None and every == "batch":
            raise ValueError(f"{where}: expected every 'epoch' with a function, got 'batch'")
        if arguments and self._make is None:
            raise TypeError(f"{where}: expected {', '.join(arguments)} with a class of schedulers, got none")
        if every == "batch":
            self.on_batch_end = self._after_batch  # type: ignore[method-assign]

    def on_train_begin(self, trainer: Any) -> None:
        if self._make is not None:
            self._build(trainer.optimizer)

    def _build(self, optimizer: Any) -> None:
        """A new scheduler, or one that goes on: the optimiser keeps the rate that was saved with it."""
        kept = dict(vars(optimizer))
        self.schedule = self._make(optimizer, **self._arguments)
        if self._loaded is not None:
            self.schedule.load_state_dict(self._loaded)
            vars(optimizer).update(kept)
            self._loaded = None

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        if self._function is not None:
            trainer.optimizer.lr = number("LRScheduler", "lr of the function", self._function(epoch), low=0)

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        if isinstance(self.schedule, lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(monitored(type(self).__name__, self.monitor, record))
        elif self.schedule is not None and self.every == "epoch":
            self.schedule.step()

    def _after_batch(self, trainer: Any, step: int, loss: float) -> None:
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {} if self.schedule is None else {"schedule": self.schedule.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if self._make is not None:
            self._loaded = state_dict.get("schedule")  # for the scheduler that is made when the training begins
        elif self.schedule is not None:
            self.schedule.load_state_dict(state_dict["schedule"])


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by `factor` when a number has not improved for more than `patience` epochs.

    Parameters
    ----------
    monitor : str
        A name of the history.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" as in `EarlyStopping`.
    factor, patience, threshold, threshold_mode, cooldown, min_lr, eps
        As in `fastnn.optim.lr_scheduler.ReduceLROnPlateau`, which does the work.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: there is no number of that name.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastnn import nn, optim
    >>> from fastnn.callbacks import ReduceLROnPlateau
    >>> trainer = SimpleNamespace(optimizer=optim.SGD(nn.Linear(1, 1), lr=1.0))
    >>> callback = ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    >>> callback.on_train_begin(trainer)
    >>> for epoch, loss in enumerate((3.0, 2.0, 2.0, 2.0), 1):
    ...     callback.on_epoch_end(trainer, {"epoch": epoch, "val_loss": loss})
    >>> trainer.optimizer.lr
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        arguments: dict[str, Any] = {
            "mode": direction("ReduceLROnPlateau", monitor, mode),
            "factor": factor,
            "patience": patience,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
            "cooldown": cooldown,
            "min_lr": min_lr,
            "eps": eps,
        }
        lr_scheduler.ReduceLROnPlateau(_Rate(), **arguments)  # raises now what it would raise later
        super().__init__(lr_scheduler.ReduceLROnPlateau, monitor=monitor, **arguments)


class _Rate:
    """As much of an optimiser as a scheduler's constructor needs."""

    lr = 1.0

"""The base class of callbacks, callbacks made of functions, and the list of them that a training loop calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Record = dict[str, Any]  # what an epoch gave: its number from 1 as "epoch", then the names of the history


class Callback:
    """Base class of callbacks: hooks that do nothing.

    `Trainer.fit` calls them. So do the estimators of `fastnn.sklearn`, all but `on_batch_end`, with the estimator in
    place of the trainer. Both have `model`, `optimizer` and `stop_training`; a hook that sets
    `trainer.stop_training = True` ends the training after the epoch, or after the batch.

    Notes
    -----
    Hooks are called in the order of the callbacks. What a hook raises ends the training and reaches the caller of
    `fit`; `on_train_end` is called then too, of every callback whose `on_train_begin` has returned.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Trainer, nn, optim
    >>> from fastnn.callbacks import Callback
    >>> class StopBelow(Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...     def on_epoch_end(self, trainer, record):
    ...         trainer.stop_training = record["loss"] < self.loss
    >>> model = nn.Sequential(nn.Linear(1, 1, rng=0))
    >>> x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.1))
    >>> history = trainer.fit(x, 2 * x, epochs=100, callbacks=[StopBelow(0.01)], rng=0, progress=False)
    >>> len(history) < 100
    True
    """

    def on_train_begin(self, trainer: Any) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Before an epoch; the first is number 1."""

    def on_batch_end(self, trainer: Any, step: int, loss: float) -> None:
        """After a training step: its number since the first epoch, from 1, and the loss before it.

        Where no callback has this hook an epoch is one native call. A callback that has it makes of every step a call,
        with the same results; it counts for small networks.
        """

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        """After an epoch and its validation, with the epoch's numbers."""

    def on_checkpoint(self, trainer: Any, record: Record) -> None:
        """After `on_epoch_end` of all callbacks, when each has the state that a checkpoint is to keep."""

    def on_train_end(self, trainer: Any) -> None:
        """After the last epoch, or when the training ends with an exception."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the callback: plain values and arrays, nested in dicts and lists."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` gave, before `on_train_begin` of the training that goes on."""


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    **hooks
        Functions by the name of their hook, with the arguments of the hooks of `Callback`.

    Raises
    ------
    TypeError
        There is no hook of that name, or it is given something that cannot be called.

    Examples
    --------
    >>> from fastnn.callbacks import LambdaCallback
    >>> shout = LambdaCallback(on_epoch_end=lambda trainer, record: print(f"{record['loss']:.2f}!"))
    >>> shout.on_epoch_end(None, {"epoch": 1, "loss": 0.5})
    0.50!
    """

    def __init__(self, **hooks: Callable[..., object]) -> None:
        for name, function in hooks.items():
            if name not in HOOKS:
                raise TypeError(f"LambdaCallback: expected hooks of {', '.join(HOOKS)}, got {name}")
            if not callable(function):
                raise TypeError(f"LambdaCallback: expected {name} as a function, got {type(function).__name__}")
        vars(self).update(hooks)


HOOKS = ("on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_checkpoint", "on_train_end")


class CallbackList:
    """The callbacks of one training, which calls their hooks through it.

    Parameters
    ----------
    where : str
        Who was given them, for errors.
    callbacks : iterable of Callback or callable
        A plain callable is called with the record of every epoch.
    batches : bool
        Whether the training calls `on_batch_end`.

    Attributes
    ----------
    callbacks : list of Callback
        In the order of the calls.
    wants_batches : bool
        Whether one of them has the hook `on_batch_end`.

    Raises
    ------
    TypeError
        An entry is neither, or is a class, or has a hook that is not called.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastnn.callbacks import CallbackList
    >>> trainer, records = SimpleNamespace(stop_training=False), []
    >>> hooks = CallbackList("fit", [records.append])
    >>> with hooks.training(trainer):
    ...     hooks.on_epoch_end(trainer, {"epoch": 1, "loss": 0.5})
    >>> records
    [{'epoch': 1, 'loss': 0.5}]
    """

    def __init__(
        self, where: str, callbacks: Iterable[Callback | Callable[[Record], object]] = (), batches: bool = True
    ) -> None:
        if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
            raise TypeError(f"{where}: expected callbacks as a list, got {type(callbacks).__name__}")
        self.callbacks = [_as_callback(where, entry) for entry in callbacks]
        nothing = Callback.on_batch_end
        self._of_batches = [
            callback
            for callback in self.callbacks
            if getattr(callback.on_batch_end, "__func__", callback.on_batch_end) is not nothing
        ]
        self.wants_batches = bool(self._of_batches)
        if self.wants_batches and not batches:
            got = type(self._of_batches[0]).__name__
            raise TypeError(f"{where}: expected callbacks without on_batch_end, which Trainer alone calls, got {got}")

    @contextlib.contextmanager
    def training(self, trainer: Any) -> Iterator[None]:
        """`on_train_begin` of all, and in the end `on_train_end` of those that have begun, whatever is raised."""
        begun: list[Callback] = []
        try:
            for callback in self.callbacks:
                callback.on_train_begin(trainer)
                begun.append(callback)
            yield
        finally:
            with contextlib.ExitStack() as ends:  # which calls the last of its entries first, and all of them
                for callback in reversed(begun):
                    ends.callback(callback.on_train_end, trainer)

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """The hook of all."""
        for callback in self.callbacks:
            callback.on_epoch_begin(trainer, epoch)

    def on_batch_end(self, trainer: Any, step: int, loss: float) -> None:
        """The hook of those that have it."""
        for callback in self._of_batches:
            callback.on_batch_end(trainer, step, loss)

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        """The hook of all, then `on_checkpoint` of all."""
        for callback in self.callbacks:
            callback.on_epoch_end(trainer, record)
        for callback in self.callbacks:
            callback.on_checkpoint(trainer, record)


def _as_callback(where: str, entry: Any) -> Callback:
    if isinstance(entry, Callback):
        return entry
    if not callable(entry) or isinstance(entry, type):
        got = f"the class {entry.__name__}" if isinstance(entry, type) else type(entry).__name__
        raise TypeError(f"{where}: expected callbacks of fastnn.callbacks or functions of the record, got {got}")
    return LambdaCallback(on_epoch_end=lambda trainer, record: entry(record))

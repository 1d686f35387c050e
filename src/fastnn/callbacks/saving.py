"""The callback that writes models, and whole trainings, to files."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from typing import Any

from .. import serialization
from ..arguments import choice, flag, positive_int
from .base import Record
from .monitors import Monitor, monitored


class ModelCheckpoint(Monitor):
    """Write the model, or the whole training, to a file after the epochs, or after the best ones.

    Parameters
    ----------
    path : str or path
        The file, with the number of the epoch and names of the history between braces if each is to have one of its
        own: "run-{epoch:03d}-{val_loss:.3f}.safetensors".
    monitor : str
        The name of the history that says which epoch is the best.
    save_best_only : bool
        Whether only an epoch better than all before is written.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" as in `EarlyStopping`.
    every : int
        After how many epochs each a file is written; with `save_best_only`, looked at whether it is the best.
    save : {"model", "checkpoint"}
        "model" for what `fastnn.load` reads, with the record of the epoch in the metadata. "checkpoint" for what
        `Trainer.fit(..., resume=path)` and `fastnn.load_checkpoint` read.

    Attributes
    ----------
    best, best_epoch : float or None, int
        The best number so far and its epoch, with `save_best_only`.
    last_path : str or None
        The file that was written last.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: there is no number of a name, or checkpoints are asked
        for where the training has none.
    OSError
        In use: the file cannot be written.

    Notes
    -----
    A file is written beside, brought to the disk and put in place: whoever reads it, and whenever the program is
    killed, the file is whole.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn import Trainer, nn, optim
    >>> from fastnn.callbacks import ModelCheckpoint
    >>> def train(epochs, **more):
    ...     model = nn.Sequential(nn.Linear(1, 4, rng=0), nn.Tanh(), nn.Linear(4, 1, rng=1))
    ...     trainer = Trainer(model, nn.MSELoss(), optim.Adam(model, lr=0.01))
    ...     keeping = ModelCheckpoint("run.ckpt", save="checkpoint")
    ...     return trainer.fit(x, x * x, epochs, callbacks=[keeping], rng=0, progress=False, **more)["loss"]
    >>> x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    >>> whole = train(6)
    >>> train(4) + train(6, resume="run.ckpt")[4:] == whole
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        every: int = 1,
        save: str = "model",
    ) -> None:
        where = "ModelCheckpoint"
        self.path = os.fspath(path)
        try:
            list(string.Formatter().parse(self.path))
        except ValueError as error:
            raise ValueError(f"{where}: expected path with fields in braces, got {self.path!r}: {error}") from None
        self.save_best_only = flag(where, "save_best_only", save_best_only)
        self.every = positive_int(where, "every", every)
        self.save = choice(where, "save", save, ("model", "checkpoint"))
        super().__init__(monitor, mode)

    def _reset(self) -> None:
        super()._reset()
        self.last_path: str | None = None
        self._due = False  # whether this epoch is to be written

    def on_train_begin(self, trainer: Any) -> None:
        if self.save == "checkpoint" and not hasattr(trainer, "save_checkpoint"):
            got = type(trainer).__name__
            raise TypeError(f"ModelCheckpoint: expected a Trainer, which saves checkpoints, or save='model', got {got}")
        super().on_train_begin(trainer)

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        self._due = record["epoch"] % self.every == 0 and (not self.save_best_only or self._improves(record))
        if not self._due:
            return
        self.last_path = self._filled(record)
        if self.save == "model":
            serialization.save(trainer.model, self.last_path, {name: str(value) for name, value in record.items()})

    def on_checkpoint(self, trainer: Any, record: Record) -> None:
        if self._due and self.save == "checkpoint":
            trainer.save_checkpoint(self.last_path)

    def _filled(self, record: Record) -> str:
        """The path of this epoch's file."""
        for _, field, _, _ in string.Formatter().parse(self.path):
            if field is not None and field != "epoch":
                monitored("ModelCheckpoint", field, record)
        try:
            return self.path.format(**record)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"ModelCheckpoint: expected path with formats of numbers, got {self.path!r}: {error}"
            ) from None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "last_path": self.last_path}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        last_path = state_dict["last_path"]
        if last_path is not None and not isinstance(last_path, str):
            got = type(last_path).__name__
            raise TypeError(f"ModelCheckpoint.load_state_dict: expected last_path as a string or None, got {got}")
        super().load_state_dict(state_dict)
        self.last_path = last_path

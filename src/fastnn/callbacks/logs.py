"""Callbacks that write the numbers of the epochs somewhere."""

from __future__ import annotations

import csv
import io
import os
from typing import Any

from ..arguments import flag, integer
from .base import Callback, Record


class CSVLogger(Callback):
    """Write a row an epoch to a CSV file, under a row of names.

    Parameters
    ----------
    path : str or path
        The file.
    append : bool
        Whether to go on at the end of a file that is there, of the same names. False begins it anew. A training that
        goes on from a checkpoint goes on in the file too, at the epoch of the checkpoint.

    Raises
    ------
    TypeError
        An argument is of the wrong type.
    ValueError
        In use: the file has other names.
    OSError
        In use: the file cannot be written.

    Notes
    -----
    A row is written as soon as there is one, by one call of the system: a program that is killed leaves whole rows. The
    names are those of the first record; a later record's other names are left out.

    Examples
    --------
    >>> from fastnn.callbacks import CSVLogger
    >>> logger = CSVLogger("log.csv")
    >>> logger.on_train_begin(None)
    >>> logger.on_epoch_end(None, {"epoch": 1, "loss": 0.5, "lr": 0.1})
    >>> logger.on_train_end(None)
    >>> print(open("log.csv").read().strip())
    epoch,loss,lr
    1,0.5,0.1
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = os.fspath(path)
        self.append = flag("CSVLogger", "append", append)
        self._file: io.FileIO | None = None
        self._names: list[str] = []
        self._appending = False  # whether the names are the file's, of which no record has shown that they fit

    def on_train_begin(self, trainer: Any) -> None:
        epoch = getattr(trainer, "epoch", 0)
        self._file = open(self.path, "ab+", buffering=0)  # noqa: SIM115 (closed when the training ends)
        try:
            self._names = self._cut(self._file, epoch) if self.append or epoch else []
            self._appending = bool(self._names)
            if not self._appending:
                self._file.truncate(0)
        except BaseException:
            self.on_train_end(trainer)
            raise

    def _cut(self, file: io.FileIO, epoch: int) -> list[str]:
        """Cut off what is no whole row, and the last rows of later epochs than `epoch`; the names of the columns."""
        file.seek(0)
        lines = file.readall().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        while epoch and len(lines) > 1 and _epoch_of(self.path, lines[-1]) > epoch:
            lines.pop()
        file.truncate(sum(map(len, lines)))
        return next(csv.reader([lines[0].decode("utf-8", "replace")])) if lines else []

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        names = ["epoch", *(name for name in record if name != "epoch")]
        if not self._names:
            self._names = names
            self._write(names)
        elif self._appending and set(names) != set(self._names):
            expected, got = ", ".join(self._names), ", ".join(names)
            raise ValueError(f"CSVLogger: expected a record of {expected} to append to {self.path}, got {got}")
        self._appending = False
        self._write([record.get(name, "") for name in self._names])

    def _write(self, row: list[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        assert self._file is not None
        self._file.write(text.getvalue().encode())

    def on_train_end(self, trainer: Any) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _epoch_of(path: str, line: bytes) -> int:
    """The number at the beginning of a row."""
    text = line.split(b",", 1)[0].decode("utf-8", "replace")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"CSVLogger: expected rows that begin with an epoch in {path}, got {text!r}") from None


class TensorBoard(Callback):
    """Hand the numbers of every epoch to a writer of TensorBoard.

    Parameters
    ----------
    writer : object
        Anything with `add_scalar(tag, value, step)`, such as the `SummaryWriter` of PyTorch or of tensorboardX. It is
        flushed after every epoch if it has `flush`, and yours to close.
    prefix : str
        What the tags begin with, before the name of the number.
    histograms : int
        After how many epochs each the parameters are handed to `add_histogram(tag, values, step)`; 0 is never.

    Raises
    ------
    TypeError
        The writer has no such method.
    ValueError
        `histograms` is negative.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastnn.callbacks import TensorBoard
    >>> board = TensorBoard(SimpleNamespace(add_scalar=print))
    >>> board.on_epoch_end(None, {"epoch": 3, "loss": 0.5, "val_loss": 0.7})
    loss 0.5 3
    val_loss 0.7 3
    """

    def __init__(self, writer: Any, prefix: str = "", histograms: int = 0) -> None:
        self.histograms = integer("TensorBoard", "histograms", histograms, low=0)
        for method in ("add_scalar", *(["add_histogram"] if histograms else [])):
            if not callable(getattr(writer, method, None)):
                raise TypeError(f"TensorBoard: expected a writer with {method}, got {type(writer).__name__}")
        self.writer, self.prefix = writer, prefix

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        epoch = int(record["epoch"])
        for name, value in record.items():
            if name != "epoch":
                self.writer.add_scalar(self.prefix + name, value, epoch)
        if self.histograms and epoch % self.histograms == 0:
            for name, array in trainer.model.named_parameters():
                self.writer.add_histogram(self.prefix + name, array, epoch)
        if callable(getattr(self.writer, "flush", None)):
            self.writer.flush()

"""The training loop as an object: fit, evaluate, predict, and the history of what happened."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import positive_int
from .data import batches
from .optim.lr_scheduler import ReduceLROnPlateau
from .program import Inference, Step
from .program.explicit import count_hits, train_epoch
from .random import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .nn import Criterion, Module
    from .optim import Optimizer

Record = dict[str, float]


class History:
    """What `Trainer.fit` returns: one number an epoch of each quantity.

    Attributes
    ----------
    history : dict of str to list of float
        `loss` and `accuracy` over the training batches as they were trained on, `val_loss` and `val_accuracy` after
        the epoch, `lr`, and the `seconds` that the epoch's training took, validation excluded. What there was none of
        (accuracies without class targets, `val_...` without validation data) is absent.

    Examples
    --------
    >>> from fastnn import History
    >>> history = History()
    >>> history.append({"loss": 0.5})
    >>> history.history
    {'loss': [0.5]}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}

    def append(self, record: Record) -> None:
        """Add the numbers of one epoch."""
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)

    def __len__(self) -> int:
        return max(map(len, self.history.values()), default=0)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self)} epochs{'; last: ' if last else ''}{last})"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the losses and, where there are any, the accuracies over the epochs.

        Parameters
        ----------
        path : str or path, optional
            The picture to write; its ending (.png, .svg, .pdf) says which kind. Without it the figure is pyplot's,
            for `matplotlib.pyplot.show()`.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from matplotlib import pyplot, ticker
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                f"History.plot: expected matplotlib, got {error}: pip install 'fastnn[plot]' installs it"
            ) from None
        panels = [name for name in ("loss", "accuracy") if name in self.history]
        size = (5.0 * max(len(panels), 1), 3.5)
        figure: Figure = (Figure if path is not None else pyplot.figure)(figsize=size, layout="constrained")
        for place, name in enumerate(panels, 1):
            axes = figure.add_subplot(1, len(panels), place)
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                if values := self.history.get(key):
                    axes.plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) < 30 else None)
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend()
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


class Trainer:
    """The training loop with progress, validation and history.

    An epoch is one native call (see `fastnn.compile`) where every part has a compiled form; else, with a layer of your
    own for instance, the explicit loop runs, to the same results.

    Parameters
    ----------
    model : fastnn.nn.Module
        What is trained, in place.
    criterion : fastnn.nn.Criterion
        The loss.
    optimizer : fastnn.optim.Optimizer
        The optimiser of the model's parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Trainer, nn, optim
    >>> X = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    >>> y = (X[:, 0] > X[:, 1]).astype(np.int64)
    >>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Tanh(), nn.Linear(8, 2, rng=1))
    >>> trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.05))
    >>> history = trainer.fit(X, y, epochs=10, rng=0, progress=False)
    >>> len(history), trainer.evaluate(X, y)["accuracy"] > 0.9
    (10, True)
    """

    def __init__(self, model: Module, criterion: Criterion, optimizer: Optimizer) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer

    def fit(
        self,
        X: Any,
        Y: Any,
        epochs: int,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callable[[Record], object]] = (),
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        progress: bool = True,
        schedule: Any = None,
        drop_last: bool = False,
    ) -> History:
        """Train for a number of passes over the data.

        Parameters
        ----------
        X : array-like, shape (N, ...)
            Samples, of a floating dtype for most layers.
        Y : array-like, shape (N, ...)
            Targets as the criterion takes them.
        epochs : int
            Passes over the data.
        batch_size : int
            Rows of a step.
        validation_data : (X, Y), optional
            Rows to evaluate on after each epoch.
        callbacks : iterable of callables
            Each is called at the end of every epoch with the epoch's record, a dict as in `History.history` plus the
            number of the `epoch` from 1.
        shuffle : bool
            Whether each epoch takes the rows in a new random order.
        rng : None, int or numpy.random.Generator
            Where the order comes from.
        progress : bool
            Whether to show progress on the standard error stream: a bar of tqdm where that is a terminal and tqdm is
            installed (`pip install 'fastnn[cli]'`), else a line an epoch.
        schedule : scheduler of fastnn.optim.lr_scheduler, optional
            Its `step` is called after each epoch; that of `ReduceLROnPlateau` with the validation loss, if there is
            one, else with the training loss.
        drop_last : bool
            Whether each epoch leaves out a last batch of fewer rows. `BatchNorm1d` needs it where that batch would
            have one row.

        Returns
        -------
        History
            The numbers of every epoch.

        Notes
        -----
        The loss of an epoch is the mean over its batches, weighted by their rows (the sum, if that is the criterion's
        reduction). The model trains in training mode, and has its mode back afterwards, after an exception too.
        """
        epochs = positive_int("Trainer.fit", "epochs", epochs)
        loader = batches(X, Y, batch_size, shuffle, generator(rng), drop_last)
        if len(loader) == 0:
            raise ValueError(f"Trainer.fit: expected at least one batch to train on, got {len(loader.X)} rows")
        history, callbacks = History(), list(callbacks)
        train = self._compiled()
        with _mode(self.model, training=True), _progress(progress, epochs, len(loader)) as (on_steps, on_epoch):
            for epoch in range(1, epochs + 1):
                record = {"epoch": epoch, **self._epoch(train, loader, on_steps)}
                if validation_data is not None:
                    record |= {f"val_{name}": value for name, value in self.evaluate(*validation_data).items()}
                if isinstance(schedule, ReduceLROnPlateau):
                    schedule.step(record.get("val_loss", record["loss"]))
                elif schedule is not None:
                    schedule.step()
                history.append({name: value for name, value in record.items() if name != "epoch"})
                on_epoch(record)
                for callback in callbacks:
                    callback(record)
        return history

    def _epoch(self, train: Callable[..., Any], loader: Any, on_steps: Callable[[int], object]) -> Record:
        """One pass over the batches: mean loss, accuracy of class targets, learning rate, seconds."""
        start, rate = time.perf_counter(), float(self.optimizer.lr)
        losses, hits, counted = train(loader, on_steps)
        loss = losses.sum()
        if getattr(self.criterion, "reduction", "mean") != "sum":
            rows = np.minimum(loader.batch_size, len(loader.X) - loader.batch_size * np.arange(len(losses)))
            loss = losses @ rows / rows.sum()
        record = {"loss": float(loss)}
        if counted:
            record["accuracy"] = hits / counted
        return {**record, "lr": rate, "seconds": time.perf_counter() - start}

    def _compiled(self) -> Callable[..., Any]:
        """What trains on the batches of a loader: a program, or the explicit loop where a part has no compiled form."""
        parts = self.model, self.criterion, self.optimizer
        try:
            return Step(*parts).run_epoch
        except TypeError:
            return partial(train_epoch, *parts)

    def evaluate(self, X: Any, Y: Any, batch_size: int = 1024) -> Record:
        """Loss and, for class targets, accuracy in evaluation mode.

        Parameters
        ----------
        X, Y : array-like, shape (N, ...)
            Samples and targets, at least one row.
        batch_size : int
            Rows that are computed together.

        Returns
        -------
        dict
            `loss`, the criterion of all rows at once, and `accuracy`, the share of the rows whose highest score is at
            their class, where the targets are classes.
        """
        output, target = self.predict(X, batch_size), np.asarray(Y)
        if len(output) != len(target):
            raise ValueError(
                f"Trainer.evaluate: expected X and Y of one length, got {len(output)} and {len(target)} rows"
            )
        if len(output) == 0:
            raise ValueError("Trainer.evaluate: expected at least one row, got none")
        result = {"loss": float(self.criterion.forward(output, target))}
        hits, counted = count_hits(self.criterion, output, target)
        return {**result, "accuracy": hits / counted} if counted else result

    def predict(self, X: Any, batch_size: int = 1024) -> np.ndarray:
        """The model's output at X in evaluation mode, computed in batches.

        Parameters
        ----------
        X : array-like, shape (N, ...)
            Samples.
        batch_size : int
            Rows that are computed together.

        Returns
        -------
        numpy.ndarray, shape (N, ...)
            The output.
        """
        loader = batches(X, batch_size=batch_size)
        parts = [loader.X[start : start + batch_size] for start in range(0, len(loader.X), batch_size)] or [loader.X]
        try:
            compute: Callable[[Any], Any] = Inference(self.model)
        except TypeError:
            compute = self.model.forward
        with _mode(self.model, training=False):
            outputs = [compute(part) for part in parts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


@contextlib.contextmanager
def _mode(model: Module, training: bool) -> Iterator[None]:
    """Switch the mode of the model and all below it, and give each its own mode back afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextlib.contextmanager
def _progress(
    show: bool, epochs: int, steps: int
) -> Iterator[tuple[Callable[[int], object], Callable[[Record], object]]]:
    """What to call now and then with the number of steps since, and after each epoch with its record."""
    if not show:
        yield (lambda steps: None), (lambda record: None)
        return
    make_bar: Any = None
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            make_bar = importlib.import_module("tqdm").tqdm
    if make_bar is None:
        yield (lambda steps: None), lambda record: print(_line(record, epochs), file=sys.stderr, flush=True)
        return
    with make_bar(total=epochs * steps, unit="step", file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar.update, lambda record: bar.set_postfix_str(_line(record, epochs))


def _line(record: Record, epochs: int) -> str:
    """The record of an epoch as one line."""
    forms = {"loss": ".4g", "accuracy": ".4f", "val_loss": ".4g", "val_accuracy": ".4f"}
    values = (f"  {name} {record[name]:{form}}" for name, form in forms.items() if name in record)
    return f"epoch {record['epoch']}/{epochs}{''.join(values)}  {record['seconds']:.2f} s"

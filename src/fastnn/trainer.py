"""The training loop as an object: fit, evaluate, predict."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .arguments import flag, positive_int
from .callbacks import Callback, CallbackList
from .checkpoint.files import Part, restore, write
from .checkpoint.parts import optional, parts_of, several
from .data import batches
from .history import History
from .interrupts import Interrupts
from .optim.lr_scheduler import ReduceLROnPlateau
from .passes import Pass
from .program import Inference
from .program.explicit import count_hits
from .progress import shown
from .random import generator
from .serialization import PathLike

if TYPE_CHECKING:
    from .nn import Criterion, Module
    from .optim import Optimizer

Record = dict[str, float]
Metric = Callable[[np.ndarray, np.ndarray], float]
TAKEN = "epoch", "loss", "lr", "seconds"  # names in a record that no metric may have


class _Training(NamedTuple):
    """What a call of `fit` brings that a checkpoint keeps."""

    schedule: Any
    rng: np.random.Generator
    callbacks: list[Callback]


class Trainer:
    """The training loop with progress, validation, metrics, callbacks and history.

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
    metrics : mapping of str to function, optional
        Functions of targets and outputs, in this order, both arrays of all rows, that return a number, by name: those
        of `fastnn.metrics`, or your own. `evaluate` adds them to its result, and `fit` to the record of an epoch.

    Attributes
    ----------
    history : History
        The epochs of the last `fit`, while it runs too.
    epoch : int
        The epoch of `fit` that runs or ran last, from 1; 0 before the first.
    stop_training : bool
        True ends the training after the epoch, or the batch where a callback sets it there.

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

    _training: _Training | None = None  # the last call of `fit`

    def __init__(
        self, model: Module, criterion: Criterion, optimizer: Optimizer, metrics: Mapping[str, Metric] | None = None
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.metrics = _checked(metrics or {})
        self.history = History()
        self.epoch = 0
        self.stop_training = False

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: without the generator, the schedule and the callbacks of the last `fit`."""
        return {name: value for name, value in vars(self).items() if name != "_training"}

    def fit(
        self,
        X: Any,
        Y: Any,
        epochs: int,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback | Callable[[Record], object]] = (),
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        progress: bool = True,
        schedule: Any = None,
        drop_last: bool = False,
        train_metrics: bool = False,
        resume: PathLike | None = None,
        sample_weight: Any = None,
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
        callbacks : iterable of fastnn.callbacks.Callback or callable
            Their hooks are called. A plain callable is called at the end of every epoch with the epoch's record, a dict
            as in `History.history` plus the number of the `epoch` from 1.
        shuffle : bool
            Whether each epoch takes the rows in a new random order.
        rng : None, int or numpy.random.Generator
            Where the order comes from.
        progress : bool
            Whether to show progress on the standard error stream: a bar of tqdm where that is a terminal and tqdm is
            installed (`pip install 'fastnn[cli]'`), else a line an epoch.
        schedule : scheduler of fastnn.optim.lr_scheduler, optional
            Its `step` is called after each epoch; that of `ReduceLROnPlateau` with the validation loss, if there is
            one, else with the training loss. `fastnn.callbacks.LRScheduler` does more.
        drop_last : bool
            Whether each epoch leaves out a last batch of fewer rows. `BatchNorm1d` needs it where that batch would
            have one row.
        train_metrics : bool
            Whether to evaluate the metrics on X and Y too after each epoch, which computes all outputs once more.
        resume : str or path, optional
            A checkpoint to go on from, which `save_checkpoint` or `fastnn.callbacks.ModelCheckpoint` has written. With
            the same arguments as before, `epochs` among them, the training ends as if it had never been interrupted,
            bit for bit. Callbacks take their own state back, by class; one that the file does not know starts anew.
        sample_weight : array-like, shape (N,), optional
            How much each row of X counts in the loss. Accuracies, metrics and validation have no weights.

        Returns
        -------
        History
            The numbers of every epoch, those before the checkpoint included.

        Raises
        ------
        TypeError, ValueError, IndexError
            An argument is of the wrong type or out of range, the data do not fit the model, or the checkpoint is
            damaged or does not fit; what hooks raise.
        KeyboardInterrupt
            After the step that was running when Ctrl-C came. All steps until then are done, `history` has the whole
            epochs, and the callbacks have ended as always.

        Notes
        -----
        The loss of an epoch is the mean over its batches, weighted by their rows or the weights of these (the sum, if
        that is the criterion's reduction). The model trains in training mode and has its mode back afterwards, after
        an exception too.
        """
        epochs = positive_int("Trainer.fit", "epochs", epochs)
        train_metrics = flag("Trainer.fit", "train_metrics", train_metrics)
        loader = batches(X, Y, batch_size, shuffle, generator(rng), drop_last, sample_weight=sample_weight)
        if len(loader) == 0:
            raise ValueError(f"Trainer.fit: expected at least one batch to train on, got {len(loader.X)} rows")
        if validation_data is not None:
            _check_pair(validation_data)
        hooks = CallbackList("Trainer.fit", callbacks)
        self._begin(_Training(schedule, loader.rng, hooks.callbacks), resume)
        interrupts = Interrupts()
        train = Pass(self, loader, hooks, interrupts)
        bar = shown(progress, epochs, train.rows, self.epoch)
        training = _mode(self.model, training=True)
        with interrupts.caught(), training, bar as (on_rows, on_epoch), hooks.training(self):
            while self.epoch < epochs and not self.stop_training:
                self.epoch += 1
                hooks.on_epoch_begin(self, self.epoch)
                record = {"epoch": self.epoch, **train(on_rows)}
                if train_metrics:
                    record |= self._measured(self.predict(X), np.asarray(Y))
                if validation_data is not None:
                    record |= {f"val_{name}": value for name, value in self.evaluate(*validation_data).items()}
                if isinstance(schedule, ReduceLROnPlateau):
                    schedule.step(record.get("val_loss", record["loss"]))
                elif schedule is not None:
                    schedule.step()
                self.history.append({name: value for name, value in record.items() if name != "epoch"})
                on_epoch(record)
                hooks.on_epoch_end(self, record)
        return self.history

    def save_checkpoint(self, path: PathLike) -> None:
        """Write the training as it is after its last whole epoch to a file, for `fit(..., resume=path)`.

        The file has the model, the optimiser, the schedule, the random state, the history and the state of the
        callbacks of the last `fit`, and is written as by `fastnn.save_checkpoint`. Where Ctrl-C ended that within an
        epoch, the model is as it is now, and the epoch is trained from its beginning once more.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        training = self._training or _Training(None, generator(), [])
        write(path, {name: part.state() for name, part in self._parts(training).items()})

    def _begin(self, training: _Training, resume: PathLike | None) -> None:
        """Start at the first epoch, or take everything from a checkpoint and start after its last."""
        if resume is None:
            self.history, self.epoch = History(), 0
        else:
            restore(resume, self._parts(training))
        self._training, self.stop_training = training, False

    def _parts(self, training: _Training) -> dict[str, Part]:
        """What a checkpoint of the training has."""
        return {
            **parts_of(self.model, self.optimizer, None, training.rng),
            "schedule": optional("schedule", training.schedule),
            "callbacks": several(training.callbacks),
            "extra": Part(self._state, self._load_state),
        }

    def _state(self) -> dict[str, Any]:
        return {"epoch": len(self.history), "history": self.history.history}

    def _load_state(self, state: Any) -> None:
        history = History.of(state["history"])
        if len(history) != state["epoch"]:
            raise ValueError(f"expected a history of {state['epoch']} epochs, got {len(history)}")
        self.history, self.epoch = history, len(history)

    def evaluate(self, X: Any, Y: Any, batch_size: int = 1024) -> Record:
        """Loss, accuracy for class targets, and the metrics, in evaluation mode.

        Parameters
        ----------
        X, Y : array-like, shape (N, ...)
            Samples and targets, at least one row.
        batch_size : int
            Rows that are computed together.

        Returns
        -------
        dict
            `loss`, the criterion of all rows at once; `accuracy`, the share of the rows whose highest score is at
            their class, where the targets are classes; every metric by its name, which may be "accuracy" itself.
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
        return {**result, **({"accuracy": hits / counted} if counted else {}), **self._measured(output, target)}

    def _measured(self, output: np.ndarray, target: np.ndarray) -> Record:
        """The metrics at these outputs."""
        found = {name: metric(target, output) for name, metric in self.metrics.items()}
        for name, value in found.items():
            if np.ndim(value) != 0:
                raise TypeError(f"Trainer: expected the metric {name!r} to be a number, got shape {np.shape(value)}")
        return {name: float(value) for name, value in found.items()}

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


def _check_pair(validation_data: Any) -> None:
    """Raise before the training what validation would raise after the first epoch."""
    if not isinstance(validation_data, Sequence) or len(validation_data) != 2:
        size = f" of {len(validation_data)}" if isinstance(validation_data, Sequence) else ""
        got = f"{type(validation_data).__name__}{size}"
        raise TypeError(f"Trainer.fit: expected validation_data as a pair (X, Y), got {got}")
    if len(batches(*validation_data)) == 0:
        raise ValueError("Trainer.fit: expected at least one row of validation_data, got none")


def _checked(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Functions by names that the record does not have for something else."""
    if not isinstance(metrics, Mapping):
        raise TypeError(f"Trainer: expected metrics as a mapping of names to functions, got {type(metrics).__name__}")
    for name, metric in metrics.items():
        if not isinstance(name, str) or name in TAKEN:
            raise ValueError(f"Trainer: expected another name for a metric than {', '.join(TAKEN)}, got {name!r}")
        if not callable(metric):
            raise TypeError(f"Trainer: expected the metric {name!r} as a function, got {type(metric).__name__}")
    return dict(metrics)

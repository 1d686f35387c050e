"""A training as one safetensors file: model, optimiser, schedule, random state, and what else belongs to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn import Module
from ..serialization import PathLike
from .files import restore, write
from .parts import parts_of

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(
    path: PathLike,
    *,
    model: Module | None = None,
    optimizer: Any = None,
    schedule: Any = None,
    rng: np.random.Generator | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of a training to one file, from which `load_checkpoint` lets it go on bit for bit.

    Parameters
    ----------
    path : str or path
        The file. It is written beside, brought to the disk and then put in place: a program that is killed at any
        moment leaves the earlier file or the new one, whole.
    model : fastnn.nn.Module, optional
        Its parameters, its buffers, and the random state of its layers. Those may be your own.
    optimizer : fastnn.optim.Optimizer, optional
        Its hyper-parameters and the state of every parameter.
    schedule : scheduler of fastnn.optim.lr_scheduler, optional
        Or anything with `state_dict` and `load_state_dict`.
    rng : numpy.random.Generator, optional
        That which shuffles, for one. The generator of `fastnn.manual_seed` is kept always.
    extra : mapping, optional
        What else: names to None, bools, numbers, strings and arrays, and lists and dicts of them.

    Raises
    ------
    TypeError
        There is something else in `extra`, or in what a `state_dict` gives.
    OSError
        If the file cannot be written.

    Notes
    -----
    `fastnn.Trainer` writes its checkpoints by `fastnn.callbacks.ModelCheckpoint(path, save="checkpoint")` and reads
    them by `fit(..., resume=path)`. What a killed program has left of an unfinished file, a hidden file in the same
    folder, is removed by the next checkpoint there that comes an hour later or more.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn import nn, optim
    >>> rng = np.random.default_rng(0)
    >>> model = nn.Linear(2, 1, rng=rng)
    >>> optimizer = optim.Adam(model, lr=0.1)
    >>> fastnn.save_checkpoint("run.ckpt", model=model, optimizer=optimizer, rng=rng, extra={"epoch": 3})
    >>> optimizer.lr, next_number = 0.5, rng.random()
    >>> fastnn.load_checkpoint("run.ckpt", model=model, optimizer=optimizer, rng=rng)
    {'epoch': 3}
    >>> optimizer.lr, bool(rng.random() == next_number)
    (0.1, True)
    """
    parts = parts_of(model, optimizer, schedule, rng)
    write(path, {**{name: part.state() for name, part in parts.items()}, "extra": dict(extra or {})})


def load_checkpoint(
    path: PathLike,
    *,
    model: Module | None = None,
    optimizer: Any = None,
    schedule: Any = None,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Give objects the state that `save_checkpoint`, or a `Trainer`, has saved.

    Parameters
    ----------
    path : str or path
        The file.
    model, optimizer, schedule, rng : optional
        Made as those that were saved. What is left out stays unread. The generator of `fastnn.manual_seed` is set if
        the optimiser or `rng` is given: if the training is to go on.

    Returns
    -------
    dict
        `extra`, with lists for tuples; of a `Trainer` the `epoch`s that are done and the `history`.

    Raises
    ------
    ValueError
        The file is damaged, is no checkpoint, has not all that is asked for, or does not fit the objects. They are as
        before then.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> fastnn.save_checkpoint("best.ckpt", model=nn.Linear(2, 1), extra={"loss": 0.25})
    >>> fastnn.load_checkpoint("best.ckpt", model=nn.Linear(2, 1))
    {'loss': 0.25}
    """
    parts = parts_of(model, optimizer, schedule, rng)
    if optimizer is None and rng is None:
        del parts["default_rng"]
    extra = restore(path, parts).get("extra", {})
    if not isinstance(extra, dict):
        raise ValueError(f"{os.fspath(path)}: expected extra as an object, got {type(extra).__name__}")
    return extra

"""A training as one safetensors file: model, optimiser, schedule, random state, and what else belongs to it.

The parts are trees of plain values and arrays. The arrays are the file's tensors, named by their place in the tree
("optimizer/state/0/exp_avg"); the rest is JSON in its metadata, where {"__tensor__": name} stands for an array.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import time
from typing import Any, NamedTuple

import numpy as np

from . import random
from .arguments import integer
from .nn import Module
from .nn.module import _walk
from .serialization import PathLike, load_tensors, save_tensors

METADATA = "fastnn.checkpoint"
TENSOR = "__tensor__"
VERSION = 1
OLD = 3600.0  # seconds, after which what a killed program has left of an unfinished file is removed
WRONG = ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError


class Part(NamedTuple):
    """What a checkpoint keeps of one object: how its state is taken, and how it is given back."""

    state: Callable[[], Any]
    load: Callable[[Any], object]


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


def write(path: PathLike, states: Mapping[str, Any]) -> None:
    """Write the states of parts to a file."""
    tensors: dict[str, np.ndarray] = {}
    tree = {name: _packed(name, state, tensors) for name, state in states.items()}
    text = json.dumps({"version": VERSION, "parts": tree}, separators=(",", ":"))
    _sweep(os.path.dirname(os.path.realpath(path)))
    save_tensors(tensors, path, {METADATA: text})


def restore(path: PathLike, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Give the parts their states from a file, all of them or, after an error, none; the states by name."""
    name, states = os.fspath(path), _read(path)
    if missing := [part for part in parts if part not in states]:
        raise ValueError(f"{name}: expected a checkpoint with {', '.join(missing)}, got one with {', '.join(states)}")
    before: list[tuple[Part, Any]] = []
    try:
        for key, part in parts.items():
            before.append((part, part.state()))
            part.load(states[key])
    except BaseException as error:
        for part, state in reversed(before):
            part.load(state)
        if isinstance(error, WRONG):
            got = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{name}: expected a checkpoint that fits, got for {key}: {got}") from error
        raise
    return states


def _read(path: PathLike) -> dict[str, Any]:
    """The states of the parts in a file."""
    tensors, metadata = load_tensors(path)
    name = os.fspath(path)
    if METADATA not in metadata:
        raise ValueError(f"{name}: expected a checkpoint of fastnn, got a file without {METADATA!r}")
    try:
        content = json.loads(metadata[METADATA])
        if content["version"] != VERSION:
            raise ValueError(f"version {VERSION} is read here, this is {content['version']!r}")
        states = {str(part): _unpacked(tree, tensors) for part, tree in content["parts"].items()}
        if tensors:
            raise ValueError(f"no part has the tensor {next(iter(tensors))!r}")
    except WRONG as error:
        raise ValueError(f"{name}: expected a checkpoint of fastnn: {error}") from None
    return states


def _packed(where: str, tree: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The tree as JSON has it, its arrays moved to `tensors`."""
    if isinstance(tree, np.ndarray):
        while where in tensors:
            where += "'"
        tensors[where] = tree
        return {TENSOR: where}
    if isinstance(tree, Mapping):
        for key in tree:
            if not isinstance(key, str) or key == TENSOR:
                raise TypeError(f"save_checkpoint: expected names as strings in {where}, got {key!r}")
        return {key: _packed(f"{where}/{key}", value, tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_packed(f"{where}/{index}", value, tensors) for index, value in enumerate(tree)]
    if isinstance(tree, np.generic):
        tree = tree.item()
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(f"save_checkpoint: expected {where} of plain values and arrays, got {type(tree).__name__}")


def _unpacked(tree: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The tree that was packed; each array is taken out of `tensors`."""
    if isinstance(tree, dict):
        if tree.keys() == {TENSOR}:
            return tensors.pop(tree[TENSOR])
        return {key: _unpacked(value, tensors) for key, value in tree.items()}
    return [_unpacked(value, tensors) for value in tree] if isinstance(tree, list) else tree


def _sweep(folder: str) -> None:
    """Remove what killed programs have left of unfinished files."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            unfinished = entry.name.startswith(".fastnn-") and entry.name.endswith(".tmp")
            if unfinished and time() - entry.stat().st_mtime > OLD:
                os.unlink(entry.path)


def parts_of(model: Module | None, optimizer: Any, schedule: Any, rng: np.random.Generator | None) -> dict[str, Part]:
    """The parts of a checkpoint for the objects that there are."""
    parts = {"default_rng": _generator(random.generator())}
    if model is not None:
        parts["model"] = Part(model.state_dict, model.load_state_dict)
        parts["layers"] = Part(lambda: _streams(model), lambda state: _load_streams(model, state))
    if optimizer is not None:
        parts["optimizer"] = Part(
            lambda: _renamed(optimizer.state_dict(), str), lambda state: optimizer.load_state_dict(_renamed(state, int))
        )
    if schedule is not None:
        parts["schedule"] = Part(schedule.state_dict, lambda state: load_alike(schedule, state))
    if rng is not None:
        parts["rng"] = _generator(rng)
    return parts


def _generator(rng: np.random.Generator) -> Part:
    return Part(lambda: rng.bit_generator.state, lambda state: setattr(rng.bit_generator, "state", state))


def _renamed(state_dict: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """An optimiser's state_dict with the numbers of its parameters as strings, or the other way round."""
    return {**state_dict, "state": {kind(number): entry for number, entry in state_dict["state"].items()}}


def load_alike(owner: Any, state: Any) -> None:
    """`owner.load_state_dict(state)`, if `state` is built as that which it gives now."""
    _check_alike(type(owner).__name__, owner.state_dict(), state)
    owner.load_state_dict(state)


def _check_alike(where: str, now: Any, then: Any) -> None:
    """Raise unless `then` has the names and the kinds of values of `now`; None may stand for anything."""
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        if now.keys() != then.keys():
            expected, got = (", ".join(map(str, keys)) or "nothing" for keys in (now, then))
            raise ValueError(f"expected {where} of {expected}, got {got}")
        for name, value in now.items():
            _check_alike(f"{where}/{name}", value, then[name])
    elif now is not None and then is not None and _kind(now) != _kind(then):
        raise TypeError(f"expected {where} as {_kind(now)}, got {_kind(then)}")


def _kind(value: Any) -> str:
    """What a value is in a file."""
    kinds: Sequence[tuple[Any, str]] = (
        (bool, "a bool"),
        ((int, float, np.number), "a number"),
        (str, "a string"),
        ((list, tuple), "a list"),
        (Mapping, "an object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def _random_layers(model: Module) -> Iterator[tuple[str, Module, Iterable[str]]]:
    """The layers with random state: path, layer, and the names of its numbers and generators."""
    for path, module in _walk(model):
        generators = [name for name, value in vars(module).items() if isinstance(value, np.random.Generator)]
        if names := [*module.random_names, *generators]:
            yield path, module, names


def _streams(model: Module) -> dict[str, dict[str, Any]]:
    """The random state of the layers, by path and name."""
    found: dict[str, dict[str, Any]] = {}
    for path, module, names in _random_layers(model):
        values = {name: getattr(module, name) for name in names}
        found[path] = {
            name: value.bit_generator.state if isinstance(value, np.random.Generator) else value
            for name, value in values.items()
        }
    return found


def _load_streams(model: Module, state: Any) -> None:
    now = _streams(model)
    _check_alike("the random state of the layers", now, state)
    for path, module, names in _random_layers(model):
        for name in names:
            value = getattr(module, name)
            if isinstance(value, np.random.Generator):
                value.bit_generator.state = state[path][name]
            else:
                setattr(module, name, integer(path + name, "random state", state[path][name], low=0))

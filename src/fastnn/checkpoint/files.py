"""The file of a checkpoint: parts that are trees of plain values and arrays.

The arrays are the tensors of a safetensors file, named by their place in the tree ("optimizer/state/0/exp_avg"); the
rest is JSON in its metadata, where {"__tensor__": name} stands for an array.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import time
from typing import Any, NamedTuple

import numpy as np

from ..serialization import PathLike, load_tensors, save_tensors

METADATA = "fastnn.checkpoint"
TENSOR = "__tensor__"
VERSION = 1
OLD = 3600.0  # seconds, after which what a killed program has left of an unfinished file is removed
WRONG = ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError


class Part(NamedTuple):
    """What a checkpoint keeps of one object: how its state is taken, and how it is given back."""

    state: Callable[[], Any]
    load: Callable[[Any], object]


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

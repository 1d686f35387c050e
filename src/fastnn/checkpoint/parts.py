"""What a checkpoint keeps of each object of a training, and how it gives that back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import random
from ..arguments import integer
from ..nn import Module
from ..nn.module import _walk
from .files import Part


def parts_of(model: Module | None, optimizer: Any, schedule: Any, rng: np.random.Generator | None) -> dict[str, Part]:
    """The parts of a checkpoint for the objects that there are."""
    parts = {"default_rng": _generator(random.generator())}
    if model is not None:
        parts["model"] = Part(model.state_dict, model.load_state_dict)
        parts["layers"] = Part(lambda: _streams(model), lambda state: _load_streams(model, state))
    if optimizer is not None:
        parts["optimizer"] = Part(lambda: _optimizer_state(optimizer), lambda state: _load_optimizer(optimizer, state))
    if schedule is not None:
        parts["schedule"] = Part(schedule.state_dict, lambda state: load_alike(schedule, state))
    if rng is not None:
        parts["rng"] = _generator(rng)
    return parts


def optional(name: str, owner: Any) -> Part:
    """The part of an object that may be None, then and now alike."""

    def load(state: Any) -> None:
        if (state is None) != (owner is None):
            expected, got = ("one" if value is not None else "none" for value in (owner, state))
            raise ValueError(f"expected {expected}, got {got} in the file")
        if owner is not None:
            load_alike(owner, state)

    return Part(lambda: None if owner is None else owner.state_dict(), load)


def several(owners: Sequence[Any]) -> Part:
    """The part of a list of objects, each of which takes the state of the next one of its class."""

    def load(states: Any) -> None:
        left = [(str(name), state) for name, state in states]
        for owner in owners:
            name = type(owner).__name__
            found = next((entry for entry in left if entry[0] == name), None)
            if found is not None:
                left.remove(found)
                owner.load_state_dict(found[1])

    return Part(lambda: [(type(owner).__name__, owner.state_dict()) for owner in owners], load)


def _generator(rng: np.random.Generator) -> Part:
    return Part(lambda: rng.bit_generator.state, lambda state: setattr(rng.bit_generator, "state", state))


def _optimizer_state(optimizer: Any) -> dict[str, Any]:
    """An optimiser's state_dict with the numbers of its parameters as strings, and its options."""
    state = optimizer.state_dict()
    numbered = {str(number): entry for number, entry in state["state"].items()}
    return {**state, "state": numbered, "options": {name: getattr(optimizer, name) for name in _options(optimizer)}}


def _load_optimizer(optimizer: Any, state: Mapping[str, Any]) -> None:
    numbered = {int(number): entry for number, entry in state["state"].items()}
    optimizer.load_state_dict({"state": numbered, "hyperparameters": state["hyperparameters"]})
    options = {name: getattr(optimizer, name) for name in _options(optimizer)}
    _check_alike("options", options, state["options"])
    for name in options:
        setattr(optimizer, name, state["options"][name])


def _options(optimizer: Any) -> Sequence[str]:
    """The names of what an optimiser depends on besides its hyper-parameters."""
    return getattr(optimizer, "options", ())


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
                number = integer(path + name, "random state", state[path][name], low=0)
                if number >= 1 << 64:
                    raise ValueError(f"{path}{name}: expected random state of 64 bits, got {number}")
                setattr(module, name, number)

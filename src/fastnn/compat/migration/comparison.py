"""Whether a class or an optimiser of a user's computes what the one of the same name in a dialect computes.

Both go through the steps of trials.py. Parameters that were drawn in another way are given to the dialect's layer
before the other steps, so that each step is judged by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .trials import (
    LATE,
    MEAN,
    MODES,
    RATE_OF_DROPOUT,
    ROWS,
    TOLERANCE,
    Trial,
    Words,
    largest_difference,
    numbers,
    steps_of,
    taken,
    tried,
)

FAR_FROM_MEAN = 0.03  # of 20,000 elements, six times the standard deviation


class Outcome(NamedTuple):
    """What was found for one name: lines about differences, remarks, and why it was not compared to its end."""

    different: list[str]
    notes: list[str]
    skipped: str | None


def compare(name: str, mine: Any, theirs: Any, dialect: str) -> Outcome:
    """Run the user's version and the dialect's, and tell where their values differ."""
    if name in ("Module", "Criterion"):
        return Outcome([], [], "nothing to compute")
    words = Words(
        dialect,
        _common(mine, theirs, "getParameters", "get_parameters", "parameters"),
        _common(mine, theirs, "getGradParameters", "get_grad_params", "grad_parameters"),
        _common(mine, theirs, "zeroGradParameters", "zero_grad_params", "zero_grad"),
        _common(theirs, theirs, "evaluate", "eval"),
    )
    steps = steps_of(name, mine, words)
    if steps is None:
        return Outcome([], [], "no comparison for it")
    own = tried(steps(mine, {}))
    other = tried(steps(theirs, own.values))
    notes = [*_of_masks(own.values, other.values, mine), *_of_modes(own.values, other.values, dialect)]
    different = _unlike_steps(own.values, other, dialect)
    if not different and LATE in own.values and LATE in other.values:
        line = _unlike(LATE, own.values[LATE], other.values[LATE], dialect)
        notes += [line] if line is not None else []
    return Outcome(different, notes, own.failure)


def _common(mine: Any, theirs: Any, *names: str) -> str:
    return next((name for name in names if hasattr(mine, name) and hasattr(theirs, name)), "")


def _of_masks(mine: dict[str, Any], theirs: dict[str, Any], dropout: Any) -> Iterator[str]:
    """Take a mask of the user's that was drawn in another way, but rightly, for the dialect's."""
    if MEAN not in mine or MEAN not in theirs or mine["forward"].shape != ROWS:
        return
    p = (taken(dropout, (RATE_OF_DROPOUT,)) or (0.5,))[0]
    x, dy = numbers(1), numbers(2)
    factors = mine["forward"] / x
    is_right = np.minimum(abs(factors), abs(factors - 1 / (1 - p))).max() < TOLERANCE
    if largest_difference(mine["forward"], theirs["forward"]) and is_right and abs(mine[MEAN] - 1) < FAR_FROM_MEAN:
        theirs.update({"forward": x * factors, "backward": dy * factors})
        yield "draws its mask in another way: the same seed gives other zeros"


def _of_modes(mine: dict[str, Any], theirs: dict[str, Any], dialect: str) -> Iterator[str]:
    if mine.get(MODES) != theirs.get(MODES) and MODES in mine:
        yield (
            f"{MODES} {mine[MODES]} here, {theirs.get(MODES)} in {dialect}: "
            "Sequential.propagate_modes = False keeps it as it was"
        )


def _unlike_steps(mine: Mapping[str, Any], other: Trial, dialect: str) -> list[str]:
    """What differs, each thing at its first step alone."""
    lines: list[str] = []
    seen: set[str] = set()
    for label, value in mine.items():
        stem = re.split(r" after |\d", label)[0]
        if label in (MEAN, MODES, LATE) or stem in seen:
            continue
        if label not in other.values and other.failure is not None:
            return [*lines, f"{other.failure} in {dialect}"]
        if label not in other.values:
            continue
        line = _unlike(label, value, other.values[label], dialect)
        if line is not None:
            lines.append(line)
            seen.add(stem)
    return lines


def _unlike(label: str, mine: Any, theirs: Any, dialect: str) -> str | None:
    if isinstance(theirs, str) or mine is None or theirs is None:
        is_parameter = label in ("W", "b", "gamma", "beta")
        if isinstance(theirs, str) and mine is not None and mine != theirs:
            return f"{label} {mine} here, {theirs} in {dialect}"
        return f"has no {label}" if is_parameter and mine is None and theirs is not None else None
    if np.squeeze(mine).shape != np.squeeze(theirs).shape:
        is_turned = mine.shape == theirs.shape[::-1]
        if not (is_turned and label.startswith("grad")):
            return f"{label} has shape {mine.shape} here, {theirs.shape} in {dialect}"
        mine = mine.T
    mine, theirs = np.squeeze(mine), np.squeeze(theirs)
    largest = largest_difference(mine, theirs)
    if largest is None:
        return None
    return f"{label} differs (largest difference {largest:.2g}{_factor(mine, theirs, dialect)})"


def _factor(mine: np.ndarray, theirs: np.ndarray, dialect: str) -> str:
    """The factor between two arrays, if there is one."""
    place = np.argmax(np.abs(theirs)) if theirs.size > 1 else None
    if place is None or not theirs.flat[place]:
        return ""
    factor = float(mine.flat[place] / theirs.flat[place])
    return "" if not factor or largest_difference(mine, factor * theirs) else f"; {factor:.4g} times that of {dialect}"

"""Small validators of constructor arguments, shared by layers, criterions, optimisers and schedulers.

Each takes the display name of the caller and the name of the argument, returns the value as a plain Python object, and
raises one line otherwise: `TypeError` for the wrong type, `ValueError` for a value out of range.
"""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .checks import FLOATS


def integer(where: str, name: str, value: Any, low: int | None = None) -> int:
    """`value` as an int, at least `low`; a bool is not one."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{where}: expected {name} as an integer, got {_shown(value)}")
    if low is not None and value < low:
        raise ValueError(f"{where}: expected {name} >= {low}, got {value}")
    return int(value)


def positive_int(where: str, name: str, value: Any) -> int:
    """`value` as an int, at least 1."""
    return integer(where, name, value, low=1)


def integers(where: str, name: str, value: Any, count: int, low: int | None = None) -> tuple[int, ...]:
    """`value` as `count` ints, each at least `low`; one int stands for all of them."""
    if isinstance(value, numbers.Integral):
        return (integer(where, name, value, low),) * count
    if not isinstance(value, (tuple, list)) or len(value) != count:
        raise TypeError(f"{where}: expected {name} as an integer or {count} of them, got {_shown(value)}")
    return tuple(integer(where, name, number, low) for number in value)


def number(
    where: str,
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """`value` as a finite float with low <= value <= high and above < value < below, where they are given."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{where}: expected {name} as a real number, got {_shown(value)}")
    try:
        real = float(value)
    except OverflowError:  # an int of 400 digits, say
        real = math.inf
    if not math.isfinite(real):
        raise ValueError(f"{where}: expected a finite {name}, got {value}")
    if (
        (low is not None and real < low)
        or (high is not None and real > high)
        or (above is not None and real <= above)
        or (below is not None and real >= below)
    ):
        limits = ((">=", low), (">", above), ("<=", high), ("<", below))
        text = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
        raise ValueError(f"{where}: expected {name} {text}, got {value}")
    return real


def flag(where: str, name: str, value: Any) -> bool:
    """`value` as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: expected {name} as True or False, got {_shown(value)}")
    return bool(value)


def choice(where: str, name: str, value: Any, options: Sequence[str]) -> str:
    """`value`, one of the given words."""
    if not isinstance(value, str) or value not in options:
        words = " or ".join(repr(option) for option in options)
        raise ValueError(f"{where}: expected {name} {words}, got {value!r}")
    return value


def float_dtype(where: str, dtype: Any) -> np.dtype[Any]:
    """`dtype` as np.dtype, float32 or float64."""
    checked = np.dtype(object)
    if not isinstance(dtype, str) or dtype.lstrip("<>=|").isalnum():  # NumPy parses other texts as Python
        with contextlib.suppress(TypeError, ValueError):
            checked = np.dtype(dtype)
    if dtype is None or checked not in FLOATS:
        raise TypeError(f"{where}: expected dtype float32 or float64, got {dtype!r}")
    return checked


def _shown(value: Any) -> str:
    """A plain value as it is written, another one by its type."""
    return repr(value) if isinstance(value, (numbers.Number, str, type(None))) else type(value).__name__

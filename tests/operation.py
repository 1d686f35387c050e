"""What the registry knows of one operation of the back end; `operations_*.py` hold the rows, `cases.py` joins them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

ORACLE_ULPS = 4  # what the float64 oracle may lose of `oracle_scale` itself


@dataclass(frozen=True)
class Operation:
    """One operation with one kind of arguments, and how exact it must be.

    The bound on element i of an output is `ulps * eps * scale_i`, eps that of the dtype, against the reference in
    float64 on the same inputs. `scale` is the sum of the absolute values of the terms that are added up, so that
    cancellation is allowed for and nothing else is.
    """

    name: str  # of the function of the back end
    make: Callable[..., dict[str, Any]]  # (rng, dtype, rows, cols) -> arguments by name, in the order of the signature
    scale: Callable[..., Any]  # (arguments, outputs), both in float64 -> the natural size of each output
    ulps: float | Callable[[int, int], float]  # of `scale`; or a function of rows and cols
    variant: str = ""
    sequential: bool = False  # runs on one thread, or has so little to do that none is woken for a thousand rows
    inplace: tuple[str, ...] = ()  # the arguments that are written
    batched: tuple[str, ...] = ()  # those whose first axis is the batch, where the others are no rows and columns
    oracle_scale: Callable[..., Any] | None = None  # where the reference's formula cancels and the kernel's does not

    @property
    def id(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name

    def bounds(self, arguments, outputs, dtype, rows, cols):
        """How far each output may be from the oracle's `outputs`, everything in float64."""
        info = np.finfo(dtype)
        ulps = self.ulps(rows, cols) if callable(self.ulps) else self.ulps
        bounds = [ulps * info.eps * scale + info.smallest_subnormal for scale in self.scale(arguments, outputs)]
        if self.oracle_scale:
            lost = self.oracle_scale(arguments, outputs)
            bounds = [b + ORACLE_ULPS * np.finfo(float).eps * s for b, s in zip(bounds, lost, strict=True)]
        return bounds


def size_of(array):
    """|array|, 0 where it is absent."""
    return 0.0 if array is None else np.abs(array)


def the_outputs(arguments, outputs):
    """The natural size of an output that no terms of either sign are added up to: its own."""
    return [np.abs(output) for output in outputs]


def walk(rows, cols):
    """The ulps of a sum over rows: a random walk of sqrt(rows) roundings of eps / 2, and a few more operations."""
    return 5 + sqrt(rows) / 2

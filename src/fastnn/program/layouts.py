"""How a batch lies in memory: row by row or, between layers of planes, in lanes (csrc/window.h)."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import backend
from .recorder import ELEMENTS_PER_NS, Place, Recorder, Unsuited, Value


def plane_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of planes; a sequence is a plane of height 1."""
    if len(shape) not in (2, 3):
        raise Unsuited
    return (1, shape[1]) if len(shape) == 2 else (shape[1], shape[2])


def lane_count(dtype: Any) -> int:
    """The rows of a block in lanes."""
    count: int = backend.ops.panel_width(dtype) // 2
    return count


class Layouts(Recorder):
    """The part of a tape that brings values from one form into the other."""

    def in_lanes(self, input: Value) -> Value:
        """The value in lanes."""
        return input if input.lanes or self.few else self._moved(input, "to_lanes", "from_lanes", True)

    def planes(self, input: Value, axes: int) -> Value:
        """A value (channels, ...) of so many axes besides, in lanes."""
        if len(input.shape) != axes + 1:
            raise Unsuited
        return self.in_lanes(input)

    def in_rows(self, input: Value) -> Value:
        """The value row by row."""
        return self._moved(input, "from_lanes", "to_lanes", False) if input.lanes else input

    def _moved(self, input: Value, forward: str, backward: str, lanes: bool) -> Value:
        numbers = input.shape[0], prod(plane_size(input.shape))
        output = self._result(input, input.shape, lanes=lanes)
        self._emit(forward, input.place, output.place, numbers=numbers)
        self.ns += input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._take(input.size)
            self._emit(backward, dy, dx, numbers=numbers)
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

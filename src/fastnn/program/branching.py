"""Values that several branches read: their sums and their concatenations, and the way back through each branch.

A value with several readers is never written over; the gradients that come back from them are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod

from .layouts import Layouts
from .recorder import ELEMENTS_PER_NS, Back, Place, Unsuited, Value

Branch = Callable[[Value], Value]
Steps = list[tuple[bool, Back]]  # back, first one last; whether each leads anywhere


class Branching(Layouts):
    """The part of a tape where the computation is no chain."""

    def add(self, input: Value, branches: list[Branch]) -> Value:
        """The sum of what the branches make of the input."""
        outputs, backs = self._branched(input, branches)
        if any(output.shape != outputs[0].shape for output in outputs):
            raise Unsuited
        if any(output.lanes for output in outputs):
            outputs = self._alike(outputs, backs, self.in_lanes)
        total = self._sum(outputs)

        def back(dy: Place) -> Place | None:
            self._share(dy, len(outputs))
            return self._gathered(input, [self._way_back(input, dy, steps) for steps in reversed(backs)])

        self._back.append((total.trained, back))
        return total

    def _sum(self, values: list[Value]) -> Value:
        """Their sum, in the memory of one of them that nobody needs any more, if there is one."""
        if len(values) == 1:
            return values[0]
        size, trained = values[0].size, any(value.trained for value in values)
        place = next((value.place for value in values if value.spare), None) or self._new(size)
        self._add(place, [value.place for value in values], size, values[0].lanes)
        self._read(values, place)
        return Value(place, values[0].shape, trained, True, values[0].lanes)

    def _new(self, size: int) -> Place:
        """Memory of a value: in training its own, since the way back may need it."""
        return Place(self._bytes(size)) if self.training else self._take(size)

    def _read(self, values: list[Value], result: Place) -> None:
        """Values that were read; in inference their memory is free, but for what the result is in."""
        for value in values:
            if not self.training and value.place is not result:
                self._give_back(value.place)

    def _add(self, to: Place, places: list[Place], size: int, lanes: bool) -> None:
        """The sum of several places, one of which may be where it goes."""
        first, *others = sorted(places, key=lambda place: place is not to)
        for other in others:
            self._emit("add", first, other, to, numbers=(size, lanes))
            first = to
        self.ns += len(others) * size / ELEMENTS_PER_NS

    def concat(self, input: Value, branches: list[Branch], dim: int) -> Value:
        """What the branches make of the input, side by side along an axis, but not along that of the rows."""
        outputs, backs = self._branched(input, branches)
        outputs = self._alike(outputs, backs, self.in_rows)
        shapes = [output.shape for output in outputs]
        axes = len(shapes[0])
        axis = (dim + axes + 1 if dim < 0 else dim) - 1
        others = {(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}
        if not 0 <= axis < axes or len(others) > 1:
            raise Unsuited
        shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
        pieces, widths = prod(shape[:axis]), [prod(shape[axis:]) for shape in shapes]
        total, begins = sum(widths), accumulate(widths, initial=0)
        parts = list(zip(outputs, widths, begins, backs, strict=False))
        result = Value(self._new(prod(shape)), shape, any(output.trained for output in outputs), True)
        for output, width, begin, _ in parts:
            numbers = pieces, width, width, 0, total, begin
            self._emit("copy_columns", output.place, result.place, numbers=numbers)
        self._read(outputs, result.place)
        self.ns += result.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place | None:
            gradients = []
            for output, width, begin, steps in reversed(parts):
                if output.trained:
                    part = self._take(output.size)
                    numbers = pieces, width, total, begin, width, 0
                    self._emit("copy_columns", dy, part, numbers=numbers)
                    gradients.append(self._way_back(input, part, steps))
            self._give_back(dy)
            return self._gathered(input, gradients)

        self._back.append((result.trained, back))
        return result

    def _branched(self, input: Value, branches: list[Branch]) -> tuple[list[Value], list[Steps]]:
        """The output of each branch, and its steps back."""
        if not branches:
            raise Unsuited
        if len(branches) > 1:
            input = input._replace(spare=False)
            if not self.training:
                self._share(input.place, len(branches))
        outputs, backs, before = [], [], self._back
        for branch in branches:
            self._back = []
            outputs.append(branch(input))
            backs.append(self._back)
        self._back = before
        return outputs, backs

    def _alike(self, outputs: list[Value], backs: list[Steps], bring: Branch) -> list[Value]:
        """The outputs of branches in one form, which is the last step of each."""
        before, brought = self._back, []
        for output, steps in zip(outputs, backs, strict=True):
            self._back = steps
            brought.append(bring(output))
        self._back = before
        return brought

    def _way_back(self, input: Value, dy: Place, steps: Steps) -> Place | None:
        """The gradient of one branch by its input, None where nobody needs that."""
        dx = self._go_back(dy, steps)
        if dx is None or input.trained:
            return dx
        self._give_back(dx)
        return None

    def _gathered(self, input: Value, gradients: list[Place | None]) -> Place | None:
        """The sum of the gradients by the input."""
        places = [place for place in gradients if place is not None]
        if len(places) < 2:
            return places[0] if places else None
        own = next((place for place in places if id(place) not in self._readers), None)
        to = self._take(input.size) if own is None else own
        self._add(to, places, input.size, input.lanes)
        for place in places:
            if place is not to:
                self._give_back(place)
        return to

    def _instead(self, dx: Place, dy: Place) -> Place:
        """dx, which takes the place of dy; that has been read."""
        if dx is not dy:
            self._give_back(dy)
        return dx

    def _go_back(self, dy: Place | None, backs: Steps | None = None) -> Place | None:
        """The gradient by what went into the first of these steps, all steps by default; None if it ends before."""
        for trained, back in reversed(self._back if backs is None else backs):
            if dy is None:
                break
            if not trained:
                self._give_back(dy)
                return None
            dy = back(dy)
        return dy

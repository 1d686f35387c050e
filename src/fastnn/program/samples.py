"""Norms of every sample by itself: what a tape writes for them."""

from __future__ import annotations

from math import prod
from typing import Any

from .layouts import lane_count
from .planes import Planes
from .recorder import ELEMENTS_PER_NS, Place, Unsuited, Value

BLOCK = 16  # samples whose gradients by a parameter are summed first: ROW_STEP of csrc/team.h


class Samples(Planes):
    """The part of a tape that knows of norms of samples."""

    def row_norm(self, input: Value, shape: tuple[int, ...], weight: Any, bias: Any, centred: bool,
                 eps: float) -> Value:  # fmt: skip
        """The last axes, of this shape, over the root of their mean square, `centred`: over the standard deviation."""
        outer = len(input.shape) - len(shape)
        if outer < 0 or input.shape[outer:] != shape:
            raise Unsuited
        per = prod(input.shape[:outer])
        numbers = 1, prod(shape), 1, per, centred
        return self._norm(self.in_rows(input), "sample_norm", numbers, (weight, bias), shape, (per, BLOCK), eps)

    def group_norm(self, input: Value, groups: int, channels: int, weight: Any, bias: Any, eps: float) -> Value:
        """Groups of the channels, which are the first axis of a row, each over its standard deviation."""
        if len(input.shape) not in (1, 2, 3) or input.shape[0] != channels or groups < 1 or channels % groups:
            raise Unsuited
        shape, arrays, length = (channels,), (weight, bias), prod(input.shape[1:])
        if input.lanes:
            numbers: tuple[int, ...] = groups, channels, length
            return self._norm(input, "group_norm_planes", numbers, arrays, shape, (1, lane_count(self.dtype)), eps)
        numbers = groups, channels // groups * length, length, 1, True
        return self._norm(input, "sample_norm", numbers, arrays, shape, (1, BLOCK), eps)

    def _norm(self, input: Value, name: str, numbers: tuple[int, ...], arrays: tuple[Any, Any], shape: tuple[int, ...],
              blocks: tuple[int, int], eps: float) -> Value:  # fmt: skip
        """A norm with weight and bias of a shape; `blocks`: samples of a row, and whose gradients are summed first."""
        if 0 in input.shape:
            raise Unsuited
        weight, bias = (self.array(array, shape, self.training) for array in arrays)
        output = self._result(input, input.shape, self._use(weight, bias), lanes=input.lanes)
        self._emit(f"{name}_forward", input.place, weight, bias, output.place, numbers=numbers, scalars=(eps,))
        self.ns += (4 if self.training else 1) * input.size / ELEMENTS_PER_NS
        cols = prod(shape)

        def back(dy: Place) -> Place | None:
            dx, slopes = self._over(dy, input.size), self._sums(cols, *blocks)
            levels = None if bias is None else self._sums(cols, *blocks)
            self._emit(f"{name}_backward", input.place, weight, dy, dx, slopes, levels, numbers=numbers, scalars=(eps,))
            for array, sums in ((weight, slopes), (bias, levels)):
                if sums is None:
                    continue
                if array is not None:
                    self._gradient(array, "column_sums", (sums,), (cols, *blocks))
                self._give_back(sums)
            dx = self._instead(dx, dy)
            if input.trained:
                return dx
            self._give_back(dx)
            return None

        self._back.append((output.trained, back))
        return output

    def _sums(self, cols: int, per: int, block: int) -> Place:
        """Memory for the gradients by a parameter of `cols` elements, a row for every block of the samples."""
        place = self._take(-(-per * cols // block))
        place.fixed = max(place.fixed, self._bytes(cols))
        return place

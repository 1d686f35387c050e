"""Norms of every sample by itself: what a tape writes for them."""

from __future__ import annotations

from math import prod
from typing import Any

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
        return self._norm(input, shape, weight, bias, (1, prod(shape), 1, prod(input.shape[:outer]), centred), eps)

    def group_norm(self, input: Value, groups: int, channels: int, weight: Any, bias: Any, eps: float) -> Value:
        """Groups of the channels, which are the first axis of a row, each over its standard deviation."""
        if len(input.shape) not in (1, 2, 3) or input.shape[0] != channels or groups < 1 or channels % groups:
            raise Unsuited
        length = prod(input.shape[1:])
        return self._norm(input, (channels,), weight, bias, (groups, channels // groups * length, length, 1, True), eps)

    def _norm(self, input: Value, shape: tuple[int, ...], weight: Any, bias: Any, numbers: tuple[int, ...],
              eps: float) -> Value:  # fmt: skip
        """Samples of groups of elements, of which some share one of weight and bias, as `sample_norm_forward` says."""
        if 0 in input.shape:
            raise Unsuited
        input = self.in_rows(input)
        weight, bias = (self.array(array, shape, self.training) for array in (weight, bias))
        output = self._result(input, input.shape, self._use(weight, bias))
        self._emit("sample_norm_forward", input.place, weight, bias, output.place, numbers=numbers, scalars=(eps,))
        self.ns += (4 if self.training else 1) * input.size / ELEMENTS_PER_NS
        cols, per = prod(shape), numbers[3]

        def back(dy: Place) -> Place | None:
            dx, slopes = self._over(dy, input.size), self._sums(cols, per)
            levels = None if bias is None else self._sums(cols, per)
            self._emit("sample_norm_backward", input.place, weight, dy, dx, slopes, levels, numbers=numbers,
                       scalars=(eps,))  # fmt: skip
            for array, sums in ((weight, slopes), (bias, levels)):
                if sums is None:
                    continue
                if array is not None:
                    self._gradient(array, "column_sums", (sums,), (cols, per, BLOCK))
                self._give_back(sums)
            dx = self._instead(dx, dy)
            if input.trained:
                return dx
            self._give_back(dx)
            return None

        self._back.append((output.trained, back))
        return output

    def _sums(self, cols: int, per: int) -> Place:
        """Memory for the gradients by a parameter of `cols` elements, a row for every BLOCK samples."""
        place = self._take(-(-per * cols // BLOCK))
        place.fixed = max(place.fixed, self._bytes(cols))
        return place

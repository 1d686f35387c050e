"""Rows of a table by their numbers: what a tape writes for `Embedding`, which reads a batch of integers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .recorder import ELEMENTS_PER_NS, INPUT, Place, Unsuited, Value
from .samples import Samples


class Tables(Samples):
    """The part of a tape that knows of integers: they are the rows that go in, and only tables read them."""

    def embedding(self, input: Value, weight: Any, padding_idx: Any) -> Value:
        """The rows of the weight that the input numbers; row `padding_idx` gets no gradient."""
        padding = -1 if padding_idx is None else padding_idx
        if not self.integers or input.place is not INPUT or not prod(input.shape):
            raise Unsuited
        if not isinstance(weight, np.ndarray) or weight.ndim != 2 or not weight.size or type(padding) is not int:
            raise Unsuited
        if padding >= len(weight):
            raise Unsuited
        table = self.array(weight, weight.shape, self.training)
        assert table is not None
        (rows, cols), count = weight.shape, prod(input.shape)
        self.table_rows = min(self.table_rows or rows, rows)
        output = self._result(input, (*input.shape, cols), self._use(table))
        self._emit("embedding_forward", input.place, table, output.place, numbers=(cols, count))
        self.ns += (3 if self.training else 1) * output.size / ELEMENTS_PER_NS

        def back(dy: Place) -> None:
            sums, more = self._sum_of(table)
            own = Place(fixed=self._bytes(table.size)) if sums is None else None
            numbers = cols, count, rows, max(padding, -1), self._number(table), more
            self._emit("embedding_backward", input.place, dy, own, sums, numbers=numbers)
            self._used(table)
            self._give_back(dy)

        self._back.append((output.trained, back))
        return output

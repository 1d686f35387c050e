"""`Inference`: the output of a model in evaluation mode as one native call."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..nn import Module
from .build import check, inference_program, integers
from .explicit import evaluating
from .freezing import frozen
from .recorder import Unsuited

Array = np.ndarray
MOST_PROGRAMS = 16  # that are kept: for other shapes and dtypes, and for calls at the same time
BLOCK_BYTES = 1 << 19  # of the widest layer's output for a block of rows, which then stays in cache
LEAST_BLOCK = 64  # rows


class Inference:
    """What `fastnn.compile(model)` returns: call it for the output of the model, in evaluation mode.

    Any number of threads may call it at the same time.
    """

    def __init__(self, model: Module, freeze: bool = False) -> None:
        check(model)
        self.model, self.freeze = frozen(model) if freeze else model, freeze
        self._programs: list[tuple[Any, int]] = []  # with the rows of a block
        self._native = backend.ops

    def __call__(self, x: Any) -> Array:
        """The output at x.

        Parameters
        ----------
        x : ndarray, shape (N, ...)
            Samples.

        Returns
        -------
        ndarray, shape (N, ...)
            The output, yours.

        Raises
        ------
        TypeError, ValueError
            As the layers raise them.
        """
        output = self._served(x) if backend.ops is self._native else None
        return self._other(x) if output is None else output

    def _served(self, x: Any) -> Array | None:
        """The output by a program that is there, fits, and is not busy."""
        for program, block in self._programs:
            result: Any = program.infer(x, block)
            if result is not None and result is not self._native.BUSY:
                return result
        return None

    def _other(self, x: Any) -> Array:
        """The output where no program fits, or all are busy."""
        if self._native is not backend.ops:
            self._programs, self._native = [], backend.ops
        if backend.backend() == "native" and type(x) is np.ndarray and x.ndim and len(x):
            plain = integers(x)
            if plain is not x and (output := self._served(plain)) is not None:
                return output
            try:
                program, whole = inference_program(self.model, plain, self.freeze)
            except Unsuited:
                pass
            else:
                block = 0 if whole else program.block(BLOCK_BYTES, LEAST_BLOCK)
                result = program.infer(plain, block)
                if result is not None:
                    self._programs = [(program, block), *self._programs][:MOST_PROGRAMS]
                    return result
        return evaluating(self.model).forward(x)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies hold the model; their programs are built anew when they are called."""
        return type(self), (self.model, self.freeze)

    def __repr__(self) -> str:
        return f"compile({self.model!r}{', freeze=True' if self.freeze else ''})"

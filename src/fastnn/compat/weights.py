"""W and b of a layer, their gradients and their initial values, in the spelling of `snake` (see naming.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .module import Module


def uniform(n: int, size: Any) -> np.ndarray:
    """Initial weights: uniform in (-1/sqrt(n), 1/sqrt(n)), from NumPy's global generator."""
    bound = 1.0 / np.sqrt(n)
    return np.random.uniform(-bound, bound, size)  # noqa: NPY002


class Weighted(Module):
    """A layer with W and b: base class of `Linear` and `Conv2d`."""

    _accumulate = False  # whether gradients add up in place, or come as new arrays
    _biased = True

    def _draw(self, n_in: int, n_out: int, size: tuple[int, ...]) -> None:
        """W of this size and b, in this order, and gradients of zeros."""
        self.W = uniform(n_in, size)
        self.gradW = np.zeros_like(self.W)
        if self._biased:
            self.b = uniform(n_in, n_out)
            self.gradb = np.zeros_like(self.b)

    def zero_grad_params(self) -> None:
        if self._accumulate:
            self.gradW.fill(0)
            if self._biased:
                self.gradb.fill(0)
            return
        self.gradW = np.zeros(self.gradW.shape, self.gradW.dtype)  # what was handed out is not written again
        if self._biased:
            self.gradb = np.zeros(self.gradb.shape, self.gradb.dtype)

    def get_parameters(self) -> list[Any]:
        return [self.W, self.b] if self._biased else [self.W]

    def get_grad_params(self) -> list[Any]:
        return [self.gradW, self.gradb] if self._biased else [self.gradW]

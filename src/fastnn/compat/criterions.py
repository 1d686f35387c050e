"""The criterions of every dialect, in the spelling of `snake` (see naming.py).

A loss is the sum over the batch divided by its length N, and a NumPy scalar; targets are of the input's shape (for
classes: one-hot rows) and of any real dtype. The loss and its gradient have the common dtype of input and target.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .module import EXPECTED, Told


class Criterion(Told):
    """Base class of the losses: `forward(input, target)` gives the loss, `backward(input, target)` its gradient.

    A criterion of your own overrides the hooks `update_output(input, target)` and `update_grad_input(input, target)`.

    Attributes
    ----------
    output, grad_input
        What the last forward and backward gave; None at first.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> class Total(Criterion):
    ...     def update_output(self, input, target):
    ...         self.output = np.sum(input)
    ...         return self.output
    >>> float(Total().update_output(np.ones(3), None))
    3.0
    """

    output: Any = None
    grad_input: Any = None

    def __init__(self) -> None:
        self.output = None
        self.grad_input = None

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        before = self.output
        output = self.update_output(input, target)
        if output is None:
            return self.output
        if self.output is before:
            self.output = output
        return output

    def __call__(self, input: Any, target: Any) -> Any:
        return self.forward(input, target)

    def backward(self, input: Any, target: Any) -> Any:
        """The gradient of the loss by `input`."""
        before = self.grad_input
        grad_input = self.update_grad_input(input, target)
        if grad_input is None:
            return self.grad_input
        if self.grad_input is before:
            self.grad_input = grad_input
        return grad_input

    def update_output(self, input: Any, target: Any) -> Any:
        """Hook: compute, store as `output` and return the loss."""

    def update_grad_input(self, input: Any, target: Any) -> Any:
        """Hook: compute, store as `grad_input` and return the gradient by `input`."""

    def __repr__(self) -> str:
        return type(self).__name__


class _Elementwise(Criterion):
    """A loss that is a sum over elements; `_operation` is its name in the back end, `EPS` its constant there."""

    _operation: str
    EPS = 0.0

    def update_output(self, input: Any, target: Any) -> Any:
        x, t = self._array("input", input), self._array("target", target)
        try:
            total = backend.ops.loss_forward(self._operation, x, t, self.EPS)
        except EXPECTED as error:
            raise self._told(error) from None
        self.output = _scalar(total, x, t)
        return self.output

    def update_grad_input(self, input: Any, target: Any) -> Any:
        x, t = self._array("input", input), self._array("target", target)
        try:
            self.grad_input = backend.ops.loss_backward(
                self._operation, x, t, 1 / max(len(x), 1), self._backward_constant
            )
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input

    @property
    def _backward_constant(self) -> float:
        return self.EPS


class MSECriterion(_Elementwise):
    """Squared error: sum((x - t)^2) / N, N the length of the batch alone; its gradient is 2 (x - t) / N.

    Raises
    ------
    ValueError, TypeError
        The target has not the shape of the input; an array is not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> float(MSECriterion().forward(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]])))
    5.0
    """

    _operation = "MSELoss"


class NLLCriterionUnstable(_Elementwise):
    """Negative log-likelihood of probabilities: -sum(t log(clip(x, EPS, 1 - EPS))) / N.

    Its gradient is -(t / clip(x)) / N.

    Attributes
    ----------
    EPS : float
        1e-15; of the class, or of an instance that has its own.

    Raises
    ------
    ValueError, TypeError
        The target has not the shape of the input; an array is not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> float(NLLCriterionUnstable().forward(np.array([[0.5, 0.5]]), np.array([[1, 0]])).round(4))
    0.6931
    """

    _operation = "ProbabilityNLL"
    EPS = 1e-15


class NLLCriterion(Criterion):
    """Negative log-likelihood of log-probabilities, such as LogSoftMax gives: -sum(t x) / N; its gradient is -t / N.

    Raises
    ------
    ValueError, TypeError
        The arrays are not rows of one shape (N, C); an array is not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> float(NLLCriterion().forward(np.log([[0.5, 0.5]]), np.array([[1, 0]])).round(4))
    0.6931
    """

    def update_output(self, input: Any, target: Any) -> Any:
        x, t = self._rows(input, target)
        try:
            total, _ = backend.ops.nll_forward(x, t)
        except EXPECTED as error:
            raise self._told(error) from None
        self.output = _scalar(total, x, t)
        return self.output

    def update_grad_input(self, input: Any, target: Any) -> Any:
        x, t = self._rows(input, target)
        try:
            self.grad_input = backend.ops.nll_backward(x, t, 1 / max(len(x), 1))
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input

    def _rows(self, input: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
        """Both as arrays, of their common dtype; the target in rows."""
        x, t = self._array("input", input), self._array("target", target)
        if t.ndim != 2:
            raise ValueError(f"{type(self).__name__}: expected target of one-hot rows (N, C), got shape {t.shape}")
        if x.dtype != t.dtype and x.dtype.kind in "fiub" and t.dtype.kind in "fiub":
            x = x.astype(np.result_type(x, t, np.float32), copy=False)
        return x, t


def _scalar(total: float, input: np.ndarray, target: np.ndarray) -> np.floating[Any]:
    """total / N as a NumPy scalar of the common dtype; NaN for an empty batch, as in NumPy."""
    value = total / len(input) if len(input) else np.nan
    if input.dtype != np.float64 and np.result_type(input, target) == np.float32:
        return np.float32(value)
    return np.float64(value)

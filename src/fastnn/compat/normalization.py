"""The layers that differ in training and evaluation, `BatchNormalization` and `Dropout`, in the spelling of `snake`.

See naming.py for the spelling. Masks come from NumPy's global generator, as `np.random.seed` sets it.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .. import backend
from ..arguments import number
from .module import EXPECTED, Module


class BatchNormalization(Module):
    """Every column to mean 0 and variance 1 over the batch: (x - mean) / sqrt(variance + EPS), without parameters.

    In training, moving = moving alpha + batch (1 - alpha) for the mean and the biased variance, the first batch taken
    whole; in evaluation the moving ones are used.

    Parameters
    ----------
    alpha : float
        Share of the old moving statistics, in [0, 1].

    Attributes
    ----------
    EPS : float
        1e-3; of the class, or of an instance that has its own.
    moving_mean, moving_variance : ndarray (n,) or None
        None before the first batch; every batch gives new arrays.

    Raises
    ------
    ValueError, TypeError
        The input is not of real numbers, or has not the length of the moving statistics; evaluation before training.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = BatchNormalization()
    >>> layer.forward(np.array([[1.0], [3.0]])).round(3)
    array([[-1.],
           [ 1.]])
    >>> layer.moving_mean, layer.moving_variance
    (array([2.]), array([1.]))
    """

    EPS = 1e-3
    _exact_evaluation = False  # whether the gradient in evaluation is that of the moving statistics, or the batch's
    _words: ClassVar[dict[str, str]] = {"mean": "moving_mean", "var": "moving_variance"}
    _before: Any = None  # the moving statistics before the last forward, if it changed them

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        self.alpha = number("BatchNormalization", "alpha", alpha, low=0, high=1)
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def update_output(self, input: Any) -> Any:
        self._before = None
        x, shape = self._rows(input)
        try:
            if self.training:
                output, mean, variance = backend.ops.batch_norm_forward(x, None, None, self.EPS)
            else:
                output = backend.ops.batch_norm_inference(x, *self._moving(), None, None, self.EPS)
        except EXPECTED as error:
            raise self._told(error) from None
        if self.training and len(x):
            self._track(mean.reshape(shape[1:]), variance.reshape(shape[1:]))
        self.output = output if shape == output.shape else output.reshape(shape)
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        x, shape = self._rows(input)
        dy, _ = self._rows(grad_output, "grad_output")
        try:
            if self.training or not self._exact_evaluation:
                grad_input = backend.ops.batch_norm_backward(x, None, dy, self.EPS)[0]
            else:
                scale = 1 / np.sqrt(self._moving()[1] + self.EPS)
                grad_input = backend.ops.channel_scale_forward(dy, scale, None)
        except EXPECTED as error:
            raise self._told(error) from None
        self.grad_input = grad_input if shape == grad_input.shape else grad_input.reshape(shape)
        return self.grad_input

    def _rows(self, input: Any, name: str = "input") -> tuple[np.ndarray, tuple[int, ...]]:
        """The array as (N, n), whatever axes a sample has, and its own shape."""
        x = self._array(name, input)
        return x if x.ndim == 2 else x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def _moving(self) -> tuple[np.ndarray, np.ndarray]:
        if self.moving_mean is None or self.moving_variance is None:
            raise ValueError(": expected a forward in training before evaluation, got no moving statistics")
        return np.ravel(self.moving_mean), np.ravel(self.moving_variance)

    def _track(self, mean: np.ndarray, variance: np.ndarray) -> None:
        self._before = self.moving_mean, self.moving_variance
        if self.moving_mean is not None:
            mean = self.moving_mean * self.alpha + mean * (1 - self.alpha)
        if self.moving_variance is not None:
            variance = self.moving_variance * self.alpha + variance * (1 - self.alpha)
        self.moving_mean, self.moving_variance = mean, variance

    def _undo(self) -> None:
        """Take back what the last forward changed for good."""
        if self._before is not None:
            self.moving_mean, self.moving_variance = self._before
            self._before = None


class Dropout(Module):
    """In training, zero each element with probability p and divide the rest by 1 - p; in evaluation pass the input on.

    Parameters
    ----------
    p : float
        Probability of zeroing, in [0, 1].

    Attributes
    ----------
    keep_float32 : bool
        Class attribute: whether float32 stays float32 (True), or becomes float64, as a product with integers does in
        NumPy.
    mask : ndarray of int64
        0 where the last forward in training zeroed, else 1: what `np.random.binomial(1, 1 - p, shape)` gives.

    Raises
    ------
    ValueError, TypeError
        p is outside [0, 1]; the input is not of real numbers; backward in training without a forward of the same shape.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> np.random.seed(1)
    >>> Dropout(0.5).forward(np.ones((1, 4)))
    array([[0., 2., 0., 0.]])
    """

    keep_float32 = True
    _first_mask: Any = ()  # before the first forward; a tuple stands for an empty list

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = number("Dropout", "p", p, low=0, high=1)
        self.mask: Any = list(self._first_mask) if self._first_mask is not None else None

    def update_output(self, input: Any) -> Any:
        if not self.training:
            self.output = input
            return input
        x = self._array("input", input)
        stream = np.random.get_bit_generator()  # type: ignore[attr-defined]
        mask = backend.ops.bernoulli_mask(stream, x.size, 1 - self.p).reshape(x.shape)
        self.output = self._masked("input", x, mask)
        self.mask = mask
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        if not self.training:
            self.grad_input = grad_output
            return grad_output
        dy = self._array("grad_output", grad_output)
        if np.shape(self.mask) != dy.shape:
            expected = f"expected grad_output of the shape of the last forward in training, {np.shape(self.mask)}"
            raise self._told(ValueError(f": {expected}, got {dy.shape}"))
        self.grad_input = self._masked("grad_output", dy, self.mask)
        return self.grad_input

    def _masked(self, name: str, array: np.ndarray, mask: Any) -> Any:
        """array mask / (1 - p)."""
        scale = 1 / (1 - self.p) if self.p < 1 else np.inf
        if array.dtype == np.float32 and not self.keep_float32:
            array = array.astype(np.float64)
        if np.asarray(mask).dtype.kind == "f":  # one that a program drew itself
            return array * (np.asarray(mask) * scale)
        try:
            return backend.ops.masked_scale(array, mask, scale)
        except EXPECTED as error:
            raise self._told(error, input=name) from None

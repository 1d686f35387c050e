"""The layers of images (N, C, H, W) of every dialect, `Conv2d` and `MaxPool2d`, in the spelling of `snake`.

See naming.py for the spelling. As in weights.py, initial values come from NumPy's global generator; as in linear.py,
arrays are taken as NumPy would, and `backward` starts from the input that it is given.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import backend
from ..arguments import positive_int
from ..checks import floatings
from .module import EXPECTED, Module
from .weights import Weighted


class Conv2d(Weighted):
    """Every image through a square kernel, with zeros around it, so that its height and width stay.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int
        Height and width of the kernel, odd.

    Attributes
    ----------
    W, gradW : ndarray (out_channels, in_channels, kernel_size, kernel_size)
        W is uniform in (-1/sqrt(in_channels), 1/sqrt(in_channels)) at first, drawn from NumPy's global generator, and b
        after it. As everywhere the kernel is not flipped: this is the cross-correlation.
    b, gradb : ndarray (out_channels,)

    Raises
    ------
    ValueError, TypeError
        The kernel is even; the input is not of shape (N, in_channels, H, W), or not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = Conv2d(3, 8, 5)
    >>> layer.forward(np.ones((2, 3, 6, 7))).shape
    (2, 8, 6, 7)
    """

    _words: ClassVar[dict[str, str]] = {
        "weight": "W",
        "bias": "b",
        "grad_weight": "gradW",
        "grad_bias": "gradb",
    }

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.in_channels = positive_int("Conv2d", "in_channels", in_channels)
        self.out_channels = positive_int("Conv2d", "out_channels", out_channels)
        self.kernel_size = positive_int("Conv2d", "kernel_size", kernel_size)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"Conv2d: expected an odd kernel_size, got {kernel_size}")
        size = self.out_channels, self.in_channels, self.kernel_size, self.kernel_size
        self._draw(self.in_channels, self.out_channels, size)

    def update_output(self, input: Any) -> Any:
        try:
            self.output = backend.ops.conv_forward(input, self.W, self.b, *self._geometry())
        except EXPECTED as error:
            raise self._told(error) from None
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        x, n_in = self._array("input", input), np.shape(self.W)[1]
        if x.ndim != 4 or x.shape[1] != n_in:
            raise self._told(ValueError(f": expected input of shape (N, {n_in}, H, W), got {x.shape}"))
        try:
            self.grad_input = backend.ops.conv_backward_input(grad_output, self.W, x.shape[2:], *self._geometry())
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input

    def update_grad_params(self, input: Any, grad_output: Any) -> None:
        try:
            if self._accumulate:
                gradW, gradb = self.gradW, self.gradb
            else:
                input, grad_output = floatings("Conv2d", input=input, grad_output=grad_output)
                gradW, gradb = np.zeros(np.shape(self.W), input.dtype), np.zeros(np.shape(self.b), input.dtype)
            backend.ops.conv_backward_params(input, grad_output, gradW, gradb, *self._geometry())
        except EXPECTED as error:
            raise self._told(error) from None
        self.gradW, self.gradb = gradW, gradb

    def _geometry(self) -> Any:
        """Stride, padding that keeps the size, dilation and groups as the back end takes them."""
        padding = tuple(((size - 1) // 2, size // 2) for size in np.shape(self.W)[2:])
        return (1, 1), padding, (1, 1), 1

    def _told(self, error: Exception, **words: str) -> Exception:
        got = "(out_channels, in_channels / groups, height, width)"
        shape = "(out_channels, in_channels, kernel_size, kernel_size)"
        return super()._told(type(error)(str(error).replace(got, shape)), **words)

    def __repr__(self) -> str:
        n_out, n_in = np.shape(self.W)[:2]
        return f"{type(self).__name__} {n_in} -> {n_out}"


class MaxPool2d(Module):
    """The largest element of each square of every channel; the squares lie side by side.

    Parameters
    ----------
    kernel_size : int
        Height and width of a square, and how far it is to the next.

    Attributes
    ----------
    max_indices : ndarray of int64 (N, C, H / kernel_size, W / kernel_size), or None before the first forward
        Where in its square the largest element of the last input is, counted row by row from 0; the first one where
        there are several. Computed when it is asked for, so the input must not have been changed in place.

    Raises
    ------
    ValueError, TypeError
        The input is not of shape (N, C, H, W), `kernel_size` does not divide its height and width, or it is not of
        real numbers.

    Notes
    -----
    The gradient of a square goes to its largest element, the first one where there are several.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = MaxPool2d(2)
    >>> layer.forward(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> layer.max_indices.tolist()
    [[[[3, 3], [3, 3]]]]
    """

    _pooled: Any = None  # the last input, and None once its indices are known
    _indices: Any = None

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = positive_int("MaxPool2d", "kernel_size", kernel_size)

    @property
    def max_indices(self) -> Any:
        """Where in its square the largest element of the last input is."""
        if self._pooled is not None:
            x, k = self._pooled, self.kernel_size
            squares = x.reshape(*x.shape[:2], x.shape[2] // k, k, x.shape[3] // k, k).swapaxes(3, 4)
            self.max_indices = squares.reshape(*squares.shape[:4], k * k).argmax(axis=-1)
        return self._indices

    @max_indices.setter
    def max_indices(self, indices: Any) -> None:
        self._indices, self._pooled = indices, None

    def update_output(self, input: Any) -> Any:
        x = self._images(input)
        try:
            self.output = backend.ops.max_pool_forward(x, *self._geometry())
        except EXPECTED as error:
            raise self._told(error) from None
        self._pooled = x
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        x = self._images(input)
        try:
            self.grad_input = backend.ops.max_pool_backward(x, grad_output, *self._geometry())
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input

    def _images(self, input: Any) -> np.ndarray:
        """The input as an array that can be cut into squares."""
        x, k = self._array("input", input), self.kernel_size
        if x.ndim != 4 or x.shape[2] % k or x.shape[3] % k:
            wanted = f"expected input of shape (N, C, H, W) with multiples of {k} for H and W"
            raise self._told(ValueError(f": {wanted}, got {x.shape}"))
        return x

    def _geometry(self) -> Any:
        """Kernel, stride, padding and dilation as the back end takes them."""
        square = self.kernel_size, self.kernel_size
        return square, square, ((0, 0), (0, 0)), (1, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}, kern {self.kernel_size}, stride {self.kernel_size}"

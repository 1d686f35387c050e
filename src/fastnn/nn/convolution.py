"""Convolutions of sequences and images: `Conv1d`, `Conv2d`.

Channels come second: (N, C, L) and (N, C, H, W). The back end knows images alone; a sequence is one of height 1. As in
every such library the kernel is not flipped, so it is the cross-correlation. Sums are in the common dtype of input and
parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..checks import shape, window_counts
from .kernel import Sizes, _Convolution
from .module import Array


class Conv2d(_Convolution):
    """A convolution of images: y[n, o] is the sum over the channels c of w[o, c] slid over x[n, c], plus b[o].

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and of the output, at least 1.
    kernel_size, stride, dilation : int or (int, int)
        Size of the kernel, steps between its places, and steps between its elements: down and across, at least 1.
    padding : int, (int, int), "valid" or "same"
        Zeros on either side, down and across. "valid" is none; "same" gives an output of the size of the input, for
        stride 1, with one more at the lower or right side where the number is odd.
    groups : int
        Output channels see only the input channels of their own group; it divides both numbers of channels.
    bias : bool
        Whether there is a b.
    dtype : dtype
        Of the parameters, float32 or float64.
    rng : numpy.random.Generator, int or None
        Source of the initial values: uniform in +-1 / sqrt(in_channels / groups * kernel), first w, then b.

    Attributes
    ----------
    weight, grad_weight : ndarray (out_channels, in_channels / groups, kh, kw)
    bias, grad_bias : ndarray (out_channels,) or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, not of shape
        (N, in_channels, H, W), or smaller than the kernel.

    Notes
    -----
    The output is (N, out_channels, OH, OW), OH = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1. Names and
    initial values are PyTorch's.

    Precision: sums over channels and kernel are in one order in the dtype. A kernel of 3 x 3 and stride 1, with 8
    channels and more on both sides, goes by Winograd's filtering F(2 x 2, 3 x 3) (Lavin and Gray, 2015), with half the
    products: its outputs are as accurate; an element of the weight's gradient is accurate beside the largest of its
    3 x 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.Conv2d(1, 1, 2, bias=False)
    >>> layer.weight[...] = [[1, 0], [0, -1]]
    >>> layer.forward(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3))
    array([[[[-4., -4.],
             [-4., -4.]]]], dtype=float32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self._set_up(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = self._padding(padding)
        self._draw((self.out_channels, self.in_channels // self.groups, *self.kernel_size), bias, dtype, rng)

    def _geometry(self) -> Any:
        """stride, padding, dilation and groups as the back end takes them."""
        return self.stride, self._ends(), self.dilation, self.groups

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "weight", "bias", *self.config_names)
        return tape.convolution(input, self.weight, self.bias, *self._geometry())

    def update_output(self, input: Array) -> Array:
        return backend.ops.conv_forward(input, self.weight, self.bias, *self._geometry())

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        size = np.shape(input)[2:]
        return backend.ops.conv_backward_input(grad_output, self.weight, size, *self._geometry())

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        grad_bias = None if self.bias is None else self.grad_bias
        backend.ops.conv_backward_params(input, grad_output, self.grad_weight, grad_bias, *self._geometry())

    def macs(self, shape: tuple[int, ...]) -> int:
        stride, padding, dilation, _ = self._geometry()
        counts = window_counts("Conv2d", shape[1:], self.weight.shape[2:], stride, padding, dilation)
        return self.weight.size * counts[0] * counts[1]


class Conv1d(_Convolution):
    """A convolution of sequences: y[n, o] is the sum over the channels c of w[o, c] slid over x[n, c], plus b[o].

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and of the output, at least 1.
    kernel_size, stride, dilation, groups, bias, dtype, rng
        As in `Conv2d`, along one axis.
    padding : int, "valid" or "same"
        Zeros at either end.

    Attributes
    ----------
    weight, grad_weight : ndarray (out_channels, in_channels / groups, kernel_size)
    bias, grad_bias : ndarray (out_channels,) or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, not of shape
        (N, in_channels, L), or shorter than the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.Conv1d(1, 1, 2, bias=False)
    >>> layer.weight[...] = [-1, 1]
    >>> layer.forward(np.array([[[1, 4, 9]]], np.float32))
    array([[[3., 5.]]], dtype=float32)
    """

    _axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self._set_up(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = self._padding(padding)
        self._draw((self.out_channels, self.in_channels // self.groups, *self.kernel_size), bias, dtype, rng)

    def _geometry(self) -> Any:
        """As of images of height 1."""
        return (1, *self.stride), ((0, 0), *self._ends()), (1, *self.dilation), self.groups

    def _length(self, length: int) -> int:
        """That of the output."""
        ((before, behind),), (kernel,) = self._ends(), self.weight.shape[2:]
        room = length + before + behind - self.dilation[0] * (kernel - 1) - 1
        if min(room, length - 1) < 0:
            raise ValueError(f"Conv1d: expected input of length from {max(length - room, 1)}, got {length}")
        return room // self.stride[0] + 1

    def _image(self, input: Array) -> Array:
        """The input with a height of 1."""
        input = np.asarray(input)
        shape("Conv1d", "input", input, ("N", self.in_channels, "L"))
        self._length(input.shape[2])
        return input[:, :, None]

    def _gradient(self, input: Array, grad_output: Array) -> Array:
        """The gradient of the output with a height of 1."""
        grad_output = np.asarray(grad_output)
        expected = len(input), self.out_channels, self._length(input.shape[3])
        shape("Conv1d", "grad_output", grad_output, expected)
        return grad_output[:, :, None]

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "weight", "bias", *self.config_names)
        return tape.convolution(input, self.weight, self.bias, *self._geometry())

    def update_output(self, input: Array) -> Array:
        output = backend.ops.conv_forward(self._image(input), self.weight[:, :, None], self.bias, *self._geometry())
        return output[:, :, 0]

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        image = self._image(input)
        grad_output = self._gradient(image, grad_output)
        weight, size = self.weight[:, :, None], image.shape[2:]
        return backend.ops.conv_backward_input(grad_output, weight, size, *self._geometry())[:, :, 0]

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        image, grad_bias = self._image(input), None if self.bias is None else self.grad_bias
        backend.ops.conv_backward_params(
            image, self._gradient(image, grad_output), self.grad_weight[:, :, None], grad_bias, *self._geometry()
        )

    def macs(self, shape: tuple[int, ...]) -> int:
        return self.weight.size * self._length(shape[1])

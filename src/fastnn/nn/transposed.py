"""The transposed convolution, `ConvTranspose2d`: the operations of a convolution, each in the place of another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import integers
from ..checks import floatings, shape
from .kernel import Sizes, _Convolution
from .module import Array


class ConvTranspose2d(_Convolution):
    """The transpose of a convolution: every pixel is spread over a kernel's places, so that images grow.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and of the output, at least 1.
    kernel_size, stride, dilation : int or (int, int)
        Of the convolution that this is the transpose of: down and across, at least 1.
    padding : int or (int, int)
        By how much the output is cut on either side.
    output_padding : int or (int, int)
        By how much more the output is longer at its lower and right side, less than the stride.
    groups, bias, dtype, rng
        As in `Conv2d`; the initial values are uniform in +-1 / sqrt(out_channels / groups * kernel).

    Attributes
    ----------
    weight, grad_weight : ndarray (in_channels, out_channels / groups, kh, kw)
    bias, grad_bias : ndarray (out_channels,) or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating or not of shape
        (N, in_channels, H, W), or nothing is left of the output.

    Notes
    -----
    The output is (N, out_channels, OH, OW), OH = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding +
    1. Names and initial values are PyTorch's, which also takes an output_padding from the stride up to the dilation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False)
    >>> layer.weight[...] = [[1, 2], [3, 4]]
    >>> layer.forward(np.array([[[[1, 10]]]], np.float32))
    array([[[[ 1.,  2., 10., 20.],
             [ 3.,  4., 30., 40.]]]], dtype=float32)
    """

    config_names = (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "bias"),
        "dilation",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self._set_up(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = integers("ConvTranspose2d", "padding", padding, 2, low=0)
        self.output_padding = integers("ConvTranspose2d", "output_padding", output_padding, 2, low=0)
        if any(more >= step for more, step in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(
                f"ConvTranspose2d: expected output_padding less than stride {self.stride}, got {self.output_padding}"
            )
        self._draw((self.in_channels, self.out_channels // self.groups, *self.kernel_size), bias, dtype, rng)

    def _geometry(self) -> Any:
        return self.stride, self._ends(), self.dilation, self.groups

    def _arrays(self, input: Array, grad_output: Array | None = None) -> tuple[Array, Any, tuple[int, int]]:
        """The input and the gradient, checked, and the size of the output."""
        arrays = floatings("ConvTranspose2d", ("grad_output",), input=input, grad_output=grad_output)
        shape("ConvTranspose2d", "input", arrays[0], ("N", self.in_channels, "H", "W"))
        numbers = zip(arrays[0].shape[2:], self._ends(), self.weight.shape[2:], self.stride, self.dilation,
                      self.output_padding, strict=True)  # fmt: skip
        height, width = ((n - 1) * s - sum(p) + d * (k - 1) + more + 1 for n, p, k, s, d, more in numbers)
        if 0 in arrays[0].shape[2:] or min(height, width) < 1:
            raise ValueError(
                f"ConvTranspose2d: expected an input with an output of at least one pixel, got {arrays[0].shape}"
            )
        if arrays[1] is not None:
            shape("ConvTranspose2d", "grad_output", arrays[1], (len(arrays[0]), self.out_channels, height, width))
        return arrays[0], arrays[1], (height, width)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "weight", "bias", *self.config_names)
        return tape.transposed_convolution(input, self.weight, self.bias, self.output_padding, *self._geometry())

    def update_output(self, input: Array) -> Array:
        input, _, size = self._arrays(input)
        stride, padding, dilation, groups = self._geometry()
        return backend.ops.conv_backward_input(input, self.weight, size, stride, padding, dilation, groups, self.bias)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        _, grad_output, _ = self._arrays(input, grad_output)
        return backend.ops.conv_forward(grad_output, self.weight, None, *self._geometry())

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        input, grad_output, _ = self._arrays(input, grad_output)
        backend.ops.conv_backward_params(grad_output, input, self.grad_weight, None, *self._geometry())
        if self.bias is not None:
            self.grad_bias += grad_output.sum(axis=(0, 2, 3))

    def macs(self, shape: tuple[int, ...]) -> int:
        return self.weight.size * math.prod(shape[1:])

"""Pooling: one number for each window of each channel: `MaxPool1d`, `MaxPool2d`, `AvgPool2d`, `AdaptiveAvgPool2d`.

No layer keeps anything between the calls: `backward` finds the largest elements again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..arguments import flag, integer, integers
from ..checks import floatings, shape
from .module import Array, Module

Sizes = int | tuple[int, ...]


def _sizes(where: str, name: str, value: Any, axes: int, low: int) -> Sizes:
    """An argument as it was given, an integer or one for each axis, so that it is printed as it was given."""
    checked = integers(where, name, value, axes, low)
    return checked[0] if np.ndim(value) == 0 else checked


def _each(value: Sizes, axes: int = 2) -> Any:
    """One integer for each axis."""
    return (value,) * axes if isinstance(value, int) else value


def _ends(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> tuple[int, int]:
    """Padding before and behind an axis; with `ceil_mode` so much behind that every element is in a window.

    But for windows that would begin behind the last element and the padding in front of it.
    """
    span = dilation * (kernel - 1) + 1
    count = -((span - size - 2 * padding) // stride) + 1
    if not ceil_mode or count < 1:  # without a window the back end raises
        return padding, padding
    if (count - 1) * stride >= size + padding:
        count -= 1
    return padding, max((count - 1) * stride + span - size - padding, 0)


class _Pool(Module):
    """What the layers with windows of one size share."""

    _axes = 2
    kernel_size: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes = 1
    ceil_mode: bool

    def _set_up(self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> None:
        where, axes = type(self).__name__, self._axes
        self.kernel_size = _sizes(where, "kernel_size", kernel_size, axes, 1)
        self.stride = self.kernel_size if stride is None else _sizes(where, "stride", stride, axes, 1)
        self.padding = _sizes(where, "padding", padding, axes, 0)
        if "dilation" in self.config_names:
            self.dilation = _sizes(where, "dilation", dilation, axes, 1)
        self.ceil_mode = flag(where, "ceil_mode", ceil_mode)
        numbers = (_each(value, axes) for value in (self.kernel_size, self.padding))
        for kernel, padding in zip(*numbers, strict=True):
            if 2 * padding > kernel:
                raise ValueError(f"{where}: expected padding of at most half of a window, got {self.padding}")

    def _padded(self, size: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding before and behind each axis of an image of this size."""
        numbers = (_each(value, len(size)) for value in (self.kernel_size, self.stride, self.padding, self.dilation))
        return tuple(_ends(n, k, s, p, d, self.ceil_mode) for n, k, s, p, d in zip(size, *numbers, strict=True))


class MaxPool2d(_Pool):
    """The largest element of each window of each channel.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Size of a window, down and across.
    stride : int or (int, int), optional
        Steps between windows; by default they lie side by side.
    padding : int or (int, int)
        On either side of the image, of elements less than any number; at most half of a window.
    dilation : int or (int, int)
        Steps between the elements of a window.
    ceil_mode : bool
        Whether windows may reach beyond the lower and right side, so that none of the elements is left out.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, not of shape (N, C, H, W),
        or smaller than a window.

    Notes
    -----
    NaN is larger than any number. The gradient goes to the first of equal elements, row by row.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MaxPool2d(2).forward(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]], dtype=float32)
    """

    config_names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self._set_up(kernel_size, stride, padding, dilation, ceil_mode)

    def _geometry(self, input: Array) -> Any:
        """kernel, stride, padding and dilation as the back end takes them."""
        shape("MaxPool2d", "input", input, ("N", "C", "H", "W"))
        return _each(self.kernel_size), _each(self.stride), self._padded(input.shape[2:]), _each(self.dilation)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        input = tape.planes(input, 2)
        kernel, stride, dilation = map(_each, (self.kernel_size, self.stride, self.dilation))
        return tape.max_pool(input, kernel, stride, self._padded(input.shape[1:]), dilation)

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        return backend.ops.max_pool_forward(input, *self._geometry(input))

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input = np.asarray(input)
        return backend.ops.max_pool_backward(input, grad_output, *self._geometry(input))


class MaxPool1d(_Pool):
    """The largest element of each window of each channel of a sequence.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int
        As in `MaxPool2d`, along one axis.
    ceil_mode : bool
        Whether the last window may reach beyond the end.

    Raises
    ------
    TypeError, ValueError
        As in `MaxPool2d`; the input is of shape (N, C, L).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MaxPool1d(2).forward(np.array([[[1, 4, 9, 16]]], np.float32))
    array([[[ 4., 16.]]], dtype=float32)
    """

    _axes = 1
    config_names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self._set_up(kernel_size, stride, padding, dilation, ceil_mode)

    def _geometry(self, input: Array) -> Any:
        """As of images of height 1."""
        shape("MaxPool1d", "input", input, ("N", "C", "L"))
        (kernel,), (stride,), (dilation,) = (_each(v, 1) for v in (self.kernel_size, self.stride, self.dilation))
        (ends,) = self._padded(input.shape[2:])
        least = dilation * (kernel - 1) + 1 - sum(ends)
        if input.shape[2] < max(least, 1):
            raise ValueError(f"MaxPool1d: expected input of length from {max(least, 1)}, got {input.shape[2]}")
        return (1, kernel), (1, stride), ((0, 0), ends), (1, dilation)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        input = tape.planes(input, 1)
        (kernel,), (stride,), (dilation,) = (_each(v, 1) for v in (self.kernel_size, self.stride, self.dilation))
        padding = (0, 0), *self._padded(input.shape[1:])
        return tape.max_pool(input, (1, kernel), (1, stride), padding, (1, dilation))

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        geometry = self._geometry(input)
        return backend.ops.max_pool_forward(input[:, :, None], *geometry)[:, :, 0]

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input, grad_output = np.asarray(input), np.asarray(grad_output)
        kernel, stride, padding, dilation = self._geometry(input)
        room = input.shape[2] + sum(padding[1]) - dilation[1] * (kernel[1] - 1) - 1
        shape("MaxPool1d", "grad_output", grad_output, (*input.shape[:2], room // stride[1] + 1))
        dy = grad_output[:, :, None]
        return backend.ops.max_pool_backward(input[:, :, None], dy, kernel, stride, padding, dilation)[:, :, 0]


class AvgPool2d(_Pool):
    """The mean of each window of each channel.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Size of a window, down and across.
    stride : int or (int, int), optional
        Steps between windows; by default they lie side by side.
    padding : int or (int, int)
        Zeros on either side of the image, at most half of a window.
    ceil_mode : bool
        Whether windows may reach beyond the lower and right side; what lies there never counts.
    count_include_pad : bool
        Whether the zeros of the padding count in a mean.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, not of shape (N, C, H, W),
        or smaller than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AvgPool2d(2).forward(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]], dtype=float32)
    """

    config_names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_up(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = flag("AvgPool2d", "count_include_pad", count_include_pad)

    def _plan(self, size: tuple[int, ...]) -> tuple[Any, Any, bool]:
        """Zeros to put around an image first, the padding of the operation, and whether that counts.

        A window beyond the padding is divided by what it has inside of it. So, if the padding counts, it becomes a part
        of the image, and what lies beyond the padding.
        """
        ends = self._padded(size)
        if not self.count_include_pad or all(behind <= before for before, behind in ends):
            return None, ends, self.count_include_pad
        border = ((0, 0), (0, 0), *((before, min(before, behind)) for before, behind in ends))
        return border, tuple((0, max(behind - before, 0)) for before, behind in ends), False

    def update_output(self, input: Array) -> Array:
        (input,) = floatings("AvgPool2d", input=input)
        shape("AvgPool2d", "input", input, ("N", "C", "H", "W"))
        border, padding, included = self._plan(input.shape[2:])
        if border:
            input = np.pad(input, border)
        return backend.ops.avg_pool_forward(input, _each(self.kernel_size), _each(self.stride), padding, included)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input, grad_output = floatings("AvgPool2d", input=input, grad_output=grad_output)
        shape("AvgPool2d", "input", input, ("N", "C", "H", "W"))
        shape("AvgPool2d", "grad_output", grad_output, (*input.shape[:2], "OH", "OW"))
        size = input.shape[2:]
        border, padding, included = self._plan(size)
        if not border:
            return self._spread(grad_output, size, padding, included)
        (top, bottom), (left, right) = border[2:]
        dx = self._spread(grad_output, (size[0] + top + bottom, size[1] + left + right), padding, included)
        return dx[:, :, top : top + size[0], left : left + size[1]].copy()

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        input = tape.planes(input, 2)
        border, padding, included = self._plan(input.shape[1:])
        both = border is not None
        return tape.avg_pool(input, _each(self.kernel_size), _each(self.stride), padding, included, both)

    def _spread(self, grad_output: Array, size: Any, padding: Any, included: bool) -> Array:
        kernel, stride = _each(self.kernel_size), _each(self.stride)
        return backend.ops.avg_pool_backward(grad_output, size, kernel, stride, padding, included)


class AdaptiveAvgPool2d(Module):
    """Means of windows that cover the image evenly, so that the output has a given size.

    Parameters
    ----------
    output_size : int, None or a pair of them
        Height and width of the output; None is that of the input.

    Raises
    ------
    TypeError, ValueError
        `output_size` is neither of that, or less than 1; in use: the input is not floating, not of shape (N, C, H, W),
        or empty but for the batch.

    Notes
    -----
    Window i reaches from floor(i H / OH) to ceil((i + 1) H / OH), as in PyTorch, where windows can overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AdaptiveAvgPool2d(1).forward(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    array([[[[7.5]]]], dtype=float32)
    """

    config_names = ("output_size",)

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        where, name = "AdaptiveAvgPool2d", "output_size"
        self.output_size: Any = output_size
        if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
            self.output_size = tuple(None if n is None else integer(where, name, n, low=1) for n in output_size)
        elif output_size is not None:
            self.output_size = integers(where, name, output_size, 2, low=1)[0]

    def _out_size(self, input: Array) -> Any:
        shape("AdaptiveAvgPool2d", "input", input, ("N", "C", "H", "W"))
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        return tuple(size if n is None else n for n, size in zip(wanted, input.shape[2:], strict=True))

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        input = tape.planes(input, 2)
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        out = tuple(size if n is None else n for n, size in zip(wanted, input.shape[1:], strict=True))
        return tape.adaptive_avg_pool(input, out)

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        return backend.ops.adaptive_avg_pool_forward(input, self._out_size(input))

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input, grad_output = floatings("AdaptiveAvgPool2d", input=input, grad_output=grad_output)
        shape("AdaptiveAvgPool2d", "grad_output", grad_output, (*input.shape[:2], *self._out_size(input)))
        return backend.ops.adaptive_avg_pool_backward(grad_output, input.shape[2:])

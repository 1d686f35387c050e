"""Layers that change the size of images: `ZeroPad2d`, `Upsample`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..arguments import choice, integers
from ..checks import floatings, images, shape
from .module import Array, Module


class ZeroPad2d(Module):
    """Zeros around an image: (N, C, H, W) -> (N, C, H + top + bottom, W + left + right).

    Parameters
    ----------
    padding : int or (int, int, int, int)
        (left, right, top, bottom); negative ones cut off.

    Raises
    ------
    TypeError, ValueError
        `padding` is neither; in use: the input is not floating or not of shape (N, C, H, W), or nothing is left of it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ZeroPad2d((1, 0, 0, 1)).forward(np.ones((1, 1, 1, 2), np.float32))
    array([[[[0., 1., 1.],
             [0., 0., 0.]]]], dtype=float32)
    """

    config_names = ("padding",)

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        self.padding = integers("ZeroPad2d", "padding", padding, 4)

    def extra_repr(self) -> str:
        """As PyTorch's."""
        return str(self.padding)

    def _places(self, size: tuple[int, ...]) -> tuple[Any, Any, list[int]]:
        """What of an image of this size stays, where it comes to lie, and the size of the output."""
        left, right, top, bottom = self.padding
        ends = list(zip(size, (top, left), (bottom, right), strict=True))
        out_size = [n + before + behind for n, before, behind in ends]
        if min(out_size) < 1:
            raise ValueError(f"ZeroPad2d: expected input of which a pixel is left, got {size[0]} x {size[1]} pixels")
        kept = tuple(slice(max(-before, 0), n + min(behind, 0)) for n, before, behind in ends)
        there = tuple(
            slice(max(before, 0), out - max(behind, 0)) for (_, before, behind), out in zip(ends, out_size, strict=True)
        )
        return (..., *kept), (..., *there), out_size

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        left, right, top, bottom = self.padding
        return tape.pad(tape.planes(input, 2), ((top, bottom), (left, right)))

    def update_output(self, input: Array) -> Array:
        (input,) = images("ZeroPad2d", input=input)
        kept, there, out_size = self._places(input.shape[2:])
        output = np.zeros((*input.shape[:2], *out_size), input.dtype)
        output[there] = input[kept]
        return output

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input, grad_output = floatings("ZeroPad2d", input=input, grad_output=grad_output)
        shape("ZeroPad2d", "input", input, ("N", "C", "H", "W"))
        kept, there, out_size = self._places(input.shape[2:])
        shape("ZeroPad2d", "grad_output", grad_output, (*input.shape[:2], *out_size))
        grad_input = np.zeros(input.shape, grad_output.dtype)
        grad_input[kept] = grad_output[there]
        return grad_input


class Upsample(Module):
    """Every element repeated a whole number of times, in sequences (N, C, L) and images (N, C, H, W).

    Parameters
    ----------
    size : int or (int, int), optional
        Size of the output, a multiple of that of the input.
    scale_factor : number or (number, number), optional
        How many times as large the output is; whole numbers from 1. Either this or `size` is given.
    mode : {"nearest"}

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, not of one of the shapes,
        or `size` is no multiple of its size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Upsample(scale_factor=2).forward(np.array([[[[1, 2]]]], np.float32))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]], dtype=float32)
    """

    config_names = ("size", "scale_factor", "mode")

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: expected either size or scale_factor, got " + ("both", "neither")[size is None])
        self.size: Any = None if size is None else _one_or_two("size", size)
        self.scale_factor: Any = None
        if scale_factor is not None:
            whole = _one_or_two("scale_factor", _whole(scale_factor))
            self.scale_factor = float(whole) if isinstance(whole, int) else tuple(map(float, whole))
        self.mode = choice("Upsample", "mode", mode, ("nearest",))

    def extra_repr(self) -> str:
        """As PyTorch's."""
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"

    def _scales(self, sizes: tuple[int, ...]) -> Any:
        """How often an element is repeated along each axis of a sequence or image, checked to be one."""
        axes = len(sizes) - 2
        wanted: Any = self.size if self.scale_factor is None else self.scale_factor
        numbers = wanted if isinstance(wanted, tuple) else (wanted,) * axes
        if axes not in (1, 2) or len(numbers) != axes or 0 in sizes[2:]:
            raise ValueError(f"Upsample: expected input of shape (N, C, L) or (N, C, H, W), got {sizes}")
        if self.scale_factor is not None:
            return tuple(int(n) for n in numbers)
        if any(out % n for out, n in zip(numbers, sizes[2:], strict=True)):
            raise ValueError(f"Upsample: expected input of a size that divides {self.size}, got {sizes}")
        return tuple(out // n for out, n in zip(numbers, sizes[2:], strict=True))

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        return tape.upsample(tape.in_lanes(input), self._scales)

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        scales = self._scales(input.shape)
        if len(scales) == 1:
            return backend.ops.upsample_forward(input[:, :, None], (1, *scales))[:, :, 0]
        return backend.ops.upsample_forward(input, scales)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        sizes, grad_output = np.shape(input), np.asarray(grad_output)
        scales = self._scales(sizes)
        expected = *sizes[:2], *(n * scale for n, scale in zip(sizes[2:], scales, strict=True))
        shape("Upsample", "grad_output", grad_output, expected)
        if len(scales) == 1:
            return backend.ops.upsample_backward(grad_output[:, :, None], (1, *scales))[:, :, 0]
        return backend.ops.upsample_backward(grad_output, scales)


def _one_or_two(name: str, value: Any) -> int | tuple[int, ...]:
    """One integer from 1, or two of them."""
    count = len(value) if isinstance(value, (tuple, list)) and len(value) == 1 else 2
    checked = integers("Upsample", name, value, count, low=1)
    return checked if isinstance(value, (tuple, list)) else checked[0]


def _whole(value: Any) -> Any:
    """Whole floats as integers, others as they are."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_whole, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value

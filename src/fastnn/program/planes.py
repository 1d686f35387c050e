"""Layers of planes, which lie in lanes: convolutions, pooling, padding, dropout of channels."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..checks import window_counts
from .branching import Branching
from .layouts import plane_size
from .recorder import ELEMENTS_PER_NS, MACS_PER_NS, Array, Place, Unsuited, Value

Pair = tuple[int, int]


class Planes(Branching):
    """The part of a tape that knows of planes."""

    def _window(self, input: Value, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair], dilation: Pair,
                outputs: int, groups: int) -> tuple[int, tuple[int, ...]]:  # fmt: skip
        """The number of a window that slides over the input, and the shape of a row of the output."""
        size = plane_size(input.shape)
        try:
            out = window_counts("compile", size, kernel, stride, padding, dilation)
        except (TypeError, ValueError):
            raise Unsuited from None
        pad = padding[0][0], padding[1][0]
        window = self._slides((input.shape[0], *size), (outputs, *out), kernel, stride, dilation, pad, groups)
        return window, (outputs, *out) if len(input.shape) == 3 else (outputs, out[1])

    def _slides(self, planes: tuple[int, ...], out: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair,
                pad: Pair, groups: int) -> int:  # fmt: skip
        """The number of a window over planes (channels, height, width) whose output is `out`."""
        self.windows.append(tuple(map(int, (*planes, *out, *kernel, *stride, *dilation, *pad, groups))))
        return len(self.windows) - 1

    def convolution(self, input: Value, weight: Any, bias: Any, stride: Pair, padding: tuple[Pair, Pair],
                    dilation: Pair, groups: int) -> Value:  # fmt: skip
        """A convolution of planes, or of sequences."""
        if not isinstance(weight, np.ndarray) or weight.ndim != len(input.shape) + 1:
            raise Unsuited
        outs, ins = weight.shape[:2]
        if input.shape[0] != ins * groups or outs % groups or weight.size == 0:
            raise Unsuited
        weight, bias = self.array(weight, weight.shape, self.training), self.array(bias, (outs,), self.training)
        input = self.in_lanes(input)
        kernel = weight.shape[2:] if len(input.shape) == 3 else (1, weight.shape[2])
        window, shape = self._window(input, kernel, stride, padding, dilation, outs, groups)
        output = self._result(input, shape, self._use(weight, bias), lanes=input.lanes)
        name = "conv_forward" if input.lanes else "conv_rows"
        self._emit(name, input.place, weight, bias, output.place, numbers=(window, 0))
        self.ns += weight.size * prod(shape[1:]) / MACS_PER_NS * (3 if self.training else 1)

        def back(dy: Place) -> Place | None:
            dx = self._take(input.size) if input.trained else None
            if dx is not None:
                self._emit("conv_backward_input", dy, weight, None, dx, numbers=(window, 0))
            self._gradient(weight, "conv_backward_params", (input.place, dy), (window,))
            if bias is not None:
                self._gradient(bias, "plane_sums", (dy,), (outs, prod(shape[1:])))
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

    def transposed_convolution(self, input: Value, weight: Any, bias: Any, output_padding: Pair, stride: Pair,
                               padding: tuple[Pair, Pair], dilation: Pair, groups: int) -> Value:  # fmt: skip
        """The way back of a convolution whose output is the input; the convolution is the way back of this."""
        if not isinstance(weight, np.ndarray) or weight.ndim != 4 or len(input.shape) != 3 or weight.size == 0:
            raise Unsuited
        outs, kernel = weight.shape[1] * groups, weight.shape[2:]
        if input.shape[0] != weight.shape[0] or weight.shape[0] % groups or 0 in input.shape:
            raise Unsuited
        numbers = zip(input.shape[1:], padding, kernel, stride, dilation, output_padding, strict=True)
        height, width = ((n - 1) * s - sum(p) + d * (k - 1) + more + 1 for n, p, k, s, d, more in numbers)
        try:
            fits = window_counts("compile", (height, width), kernel, stride, padding, dilation) == input.shape[1:]
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise Unsuited
        weight, bias = self.array(weight, weight.shape, self.training), self.array(bias, (outs,), self.training)
        input = self.in_lanes(input)
        shape, pad = (outs, height, width), (padding[0][0], padding[1][0])
        window = self._slides(shape, input.shape, kernel, stride, dilation, pad, groups)
        output = self._result(input, shape, self._use(weight, bias), lanes=input.lanes)
        name = "conv_backward_input" if input.lanes else "conv_back_rows"
        self._emit(name, input.place, weight, bias, output.place, numbers=(window, 0))
        self.ns += weight.size * prod(input.shape[1:]) / MACS_PER_NS * (3 if self.training else 1)

        def back(dy: Place) -> Place | None:
            dx = self._take(input.size) if input.trained else None
            if dx is not None:
                self._emit("conv_forward", dy, weight, None, dx, numbers=(window, 0))
            self._gradient(weight, "conv_backward_params", (dy, input.place), (window,))
            if bias is not None:
                self._gradient(bias, "plane_sums", (dy,), (outs, height * width))
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

    def _gradient(self, array: Array, name: str, operands: tuple[Place, ...], numbers: tuple[int, ...]) -> None:
        """The gradient by a parameter, used at once or added to others."""
        place, more = self._sum_of(array)
        self.scratch = max(self.scratch, self._bytes(array.size))
        self._emit(name, *operands, place, numbers=(*numbers, self._number(array), more))
        self._used(array)

    def max_pool(self, input: Value, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair], dilation: Pair) -> Value:
        """The largest element of each window of planes in lanes."""
        window, shape = self._window(input, kernel, stride, padding, dilation, input.shape[0], 1)

        def back(dy: Place, dx: Place) -> None:
            self._emit("max_pool_backward", input.place, dy, dx, numbers=(window,))

        return self._pooled(input, shape, "max_pool_forward", (window,), back)

    def avg_pool(self, input: Value, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair], pad_counts: bool,
                 both: bool) -> Value:  # fmt: skip
        """The mean of each window of planes in lanes; `both`: part of what lies around them counts."""
        if both:
            raise Unsuited
        window, shape = self._window(input, kernel, stride, padding, (1, 1), input.shape[0], 1)
        return self._means(input, shape, (window, pad_counts))

    def adaptive_avg_pool(self, input: Value, out: Pair) -> Value:
        """Means of windows that cover planes in lanes evenly: such a window has a kernel of size 0."""
        if 0 in input.shape:
            raise Unsuited
        planes, shape = (input.shape[0], *plane_size(input.shape)), (input.shape[0], *out)
        window = self._slides(planes, shape, (0, 0), (1, 1), (1, 1), (0, 0), 1)
        return self._means(input, shape, (window, 0))

    def _means(self, input: Value, shape: tuple[int, ...], numbers: tuple[int, ...]) -> Value:
        def back(dy: Place, dx: Place) -> None:
            self._emit("avg_pool_backward", dy, dx, numbers=numbers)

        return self._pooled(input, shape, "avg_pool_forward", numbers, back)

    def pad(self, input: Value, ends: tuple[Pair, Pair]) -> Value:
        """Planes with zeros before and behind either axis; where a number is negative, so much is cut off."""
        down, across = plane_size(input.shape)
        (top, bottom), (left, right) = ends
        out = down + top + bottom, across + left + right
        if min(out) < 1:
            raise Unsuited
        return self._copied(input, out, (1, 1), "pad", (top, left))

    def upsample(self, input: Value, repeats: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Value:
        """Planes whose positions are repeated as often as `repeats` says of the shape of a batch."""
        try:
            down, across = (1, *repeats((1, *input.shape)))[-2:]
        except ValueError:
            raise Unsuited from None
        height, width = plane_size(input.shape)
        return self._copied(input, (height * down, width * across), (down, across), "upsample", ())

    def _copied(self, input: Value, out: Pair, kernel: Pair, name: str, numbers: tuple[int, ...]) -> Value:
        """What has one instruction for the way forward and one for the way back, which reads the gradient alone."""
        if 0 in input.shape:
            raise Unsuited
        planes = input.shape[0], *plane_size(input.shape)
        window = self._slides(planes, (planes[0], *out), kernel, kernel, (1, 1), (0, 0), 1)
        shape = (planes[0], *out) if len(input.shape) == 3 else (planes[0], out[1])
        numbers = (window, *numbers, input.lanes)
        output = self._result(input, shape, lanes=input.lanes)
        self._emit(f"{name}_forward", input.place, output.place, numbers=numbers)
        self.ns += (input.size + output.size) / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._take(input.size)
            self._emit(f"{name}_backward", dy, dx, numbers=numbers)
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

    def dropout_planes(self, input: Value, module: Any, p: float) -> Value:
        """Dropout of whole planes by a layer with `key` and `step`; the identity where it does not train."""
        if len(input.shape) != 3:
            raise Unsuited
        if not (self.training and module.training):
            return input
        channels, numbers = input.shape[0], (input.shape[0], prod(input.shape[1:]))
        factors = Place(self._bytes(channels))
        self._emit("channel_mask", factors, numbers=(channels, self.mask(module), round(65536 * p)),
                   scalars=(1 / (1 - p),))  # fmt: skip
        input = self.in_lanes(input)
        output = self._result(input, input.shape, lanes=True)
        self._emit("scale_planes", input.place, factors, output.place, numbers=numbers)
        self.ns += input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._over(dy, input.size)
            self._emit("scale_planes", dy, factors, dx, numbers=numbers)
            return self._instead(dx, dy)

        self._back.append((output.trained, back))
        return output

    def _pooled(self, input: Value, shape: tuple[int, ...], name: str, numbers: tuple[int, ...],
                way_back: Callable[[Place, Place], None]) -> Value:  # fmt: skip
        output = self._result(input, shape, lanes=input.lanes)
        if not input.lanes:
            name, numbers = "pool_rows", (*(*numbers, 0)[:2], name == "avg_pool_forward")
        self._emit(name, input.place, output.place, numbers=numbers)
        self.ns += 2 * input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._take(input.size)
            way_back(dy, dx)
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

"""What layers with a kernel that slides share: arguments, initial values, printing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import choice, flag, float_dtype, integers, positive_int
from ..random import generator
from .module import Array, Module

Sizes = int | tuple[int, ...]


class _Convolution(Module):
    """A layer with a weight of one kernel for each pair of channels; `_axes` is how many axes the kernel has."""

    param_names = ("weight", "bias")
    config_names: tuple[str, ...] = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
    )
    _axes = 2
    kernel_size: tuple[int, ...]
    padding: str | tuple[int, ...]

    def _set_up(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes, dilation: Sizes, groups: int
    ) -> None:
        where, axes = type(self).__name__, self._axes
        self.in_channels = positive_int(where, "in_channels", in_channels)
        self.out_channels = positive_int(where, "out_channels", out_channels)
        self.kernel_size = integers(where, "kernel_size", kernel_size, axes, low=1)
        self.stride = integers(where, "stride", stride, axes, low=1)
        self.dilation = integers(where, "dilation", dilation, axes, low=1)
        self.groups = positive_int(where, "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"{where}: expected groups that divide in_channels and out_channels, "
                f"got {groups} for {in_channels} and {out_channels}"
            )

    def _draw(self, size: tuple[int, ...], bias: bool, dtype: Any, rng: np.random.Generator | int | None) -> None:
        """The parameters: the weight of this size, then the bias, uniform in +-1 / sqrt(fan in)."""
        where = type(self).__name__
        has_bias, dtype, rng = flag(where, "bias", bias), float_dtype(where, dtype), generator(rng)
        bound = 1 / math.sqrt(math.prod(size[1:]))
        self.weight: Array = backend.aligned(rng.uniform(-bound, bound, size).astype(dtype))
        self.grad_weight: Array = backend.aligned(np.zeros_like(self.weight))
        self.bias: Array | None = rng.uniform(-bound, bound, self.out_channels).astype(dtype) if has_bias else None
        self.grad_bias: Array | None = None if self.bias is None else np.zeros_like(self.bias)

    def _padding(self, padding: Any) -> str | tuple[int, ...]:
        """The argument of a convolution: numbers, "valid" (none), or "same" (the output has the input's size)."""
        where = type(self).__name__
        if not isinstance(padding, str):
            return integers(where, "padding", padding, self._axes, low=0)
        if choice(where, "padding", padding, ("same", "valid")) == "same" and set(self.stride) != {1}:
            raise ValueError(f"{where}: expected stride 1 with padding 'same', got {self.stride}")
        return padding

    def _ends(self) -> tuple[tuple[int, int], ...]:
        """The padding before and behind each axis; an odd one of "same" is behind."""
        if isinstance(self.padding, tuple):
            return tuple((n, n) for n in self.padding)
        if self.padding == "valid":
            return ((0, 0),) * self._axes
        totals = [d * (k - 1) for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)

    def extra_repr(self) -> str:
        """As PyTorch's: what has its default value is left out."""
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        defaults = {"padding": zeros, "output_padding": zeros, "dilation": ones, "groups": 1, "bias": True}
        parts = [str(self.in_channels), str(self.out_channels)]
        for name in ("kernel_size", "stride", *defaults):
            if name in self.config_names and (value := self._argument(name)) != defaults.get(name):
                parts.append(f"{name}={value!r}")
        return ", ".join(parts)

"""Normalisation of every sample by itself, whatever the batch: `LayerNorm`, `RMSNorm`, `GroupNorm`.

Training and evaluation are the same, and there are no statistics to keep. The variance takes two passes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import flag, float_dtype, integers, number, positive_int
from ..checks import floatings, same_shape, shape
from .joint import _JointGradients
from .module import Array


def _normalized_shape(where: str, value: Any) -> tuple[int, ...]:
    count = len(value) if isinstance(value, (tuple, list)) else 1
    if count == 0:
        raise ValueError(f"{where}: expected normalized_shape with at least one axis, got {value}")
    return integers(where, "normalized_shape", value, count, low=1)


class _Rows(_JointGradients):
    """A layer that normalises the last axes, which have the shape `normalized_shape`, as rows of the back end."""

    _macs = 2  # for the sum of squares, and to scale
    normalized_shape: tuple[int, ...]

    def _rows(self, name: str, array: Array) -> Array:
        """The array as (rows, cols)."""
        array, last = np.asarray(array), self.normalized_shape
        if array.ndim < len(last) or array.shape[array.ndim - len(last) :] != last:
            expected = ", ".join(["...", *map(str, last)])
            raise ValueError(f"{type(self).__name__}: expected {name} of shape ({expected}), got {array.shape}")
        return array.reshape(math.prod(array.shape[: array.ndim - len(last)]), math.prod(last))

    def _pair(self, input: Array, grad_output: Array) -> tuple[Array, Array]:
        """Input and gradient as rows."""
        input, grad_output = np.asarray(input), np.asarray(grad_output)
        rows = self._rows("input", input)
        same_shape(type(self).__name__, "grad_output", grad_output, input)
        return rows, grad_output.reshape(rows.shape)

    def _vector(self, array: Array | None) -> Array | None:
        return None if array is None else array.reshape(-1)


class LayerNorm(_Rows):
    """Normalise the last axes of every sample: y = (x - mean) / sqrt(var + eps) w + b.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last axes of the input, over which mean and biased variance are taken.
    eps : float
        At least 0.
    elementwise_affine : bool
        Whether there is a weight (ones at first) and, with `bias`, a bias (zeros).
    bias : bool
        Whether there is a b.
    dtype : dtype
        Of the parameters, float32 or float64.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray of shape normalized_shape, or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating, or its last axes have
        another shape.

    Notes
    -----
    Ba, Kiros and Hinton, "Layer normalization", 2016; names are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LayerNorm(2, eps=0.0).forward(np.array([[1.0, 3.0]], np.float32))
    array([[-1.,  1.]], dtype=float32)
    """

    config_names = ("normalized_shape", "eps", "elementwise_affine", "bias")

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        self.normalized_shape = _normalized_shape("LayerNorm", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, low=0)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        has_bias, dtype = flag("LayerNorm", "bias", bias), float_dtype("LayerNorm", dtype)
        if self.elementwise_affine:
            self.weight, self.grad_weight = (
                np.ones(self.normalized_shape, dtype),
                np.zeros(self.normalized_shape, dtype),
            )
        if self.elementwise_affine and has_bias:
            self.bias = np.zeros(self.normalized_shape, dtype)
            self.grad_bias = np.zeros_like(self.bias)

    def extra_repr(self) -> str:
        """As PyTorch's."""
        names = ("eps", "elementwise_affine", "bias")
        return ", ".join([str(self.normalized_shape), *(f"{name}={self._argument(name)!r}" for name in names)])

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "normalized_shape", "eps", *self.param_names)
        return tape.row_norm(input, self.normalized_shape, self.weight, self.bias, True, self.eps)

    def update_output(self, input: Array) -> Array:
        rows = self._rows("input", input)
        output = backend.ops.layer_norm_forward(rows, self._vector(self.weight), self._vector(self.bias), self.eps)
        return output.reshape(np.shape(input))

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, Array, Array]:
        rows, dy = self._pair(input, grad_output)
        dx, dw, db = backend.ops.layer_norm_backward(rows, self._vector(self.weight), dy, self.eps)
        return dx.reshape(np.shape(input)), dw.reshape(self.normalized_shape), db.reshape(self.normalized_shape)


class RMSNorm(_Rows):
    """Divide the last axes of every sample by the root of their mean square: y = x / sqrt(mean(x^2) + eps) w.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last axes of the input, over which the mean is taken.
    eps : float or None
        At least 0; None is the eps of the dtype that is computed in.
    elementwise_affine : bool
        Whether there is a weight (ones at first).
    dtype : dtype
        Of the parameters, float32 or float64.

    Attributes
    ----------
    weight, grad_weight : ndarray of shape normalized_shape, or None

    Raises
    ------
    TypeError, ValueError
        As in `LayerNorm`.

    Notes
    -----
    Zhang and Sennrich, "Root mean square layer normalization", 2019; names are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.RMSNorm(2, eps=0.0).forward(np.array([[1.0, 7.0]], np.float32))
    array([[0.2, 1.4]], dtype=float32)
    """

    param_names = ("weight",)
    config_names = ("normalized_shape", "eps", "elementwise_affine")

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        self.normalized_shape = _normalized_shape("RMSNorm", normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps, low=0)
        self.elementwise_affine = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        dtype = float_dtype("RMSNorm", dtype)
        if self.elementwise_affine:
            self.weight, self.grad_weight = (
                np.ones(self.normalized_shape, dtype),
                np.zeros(self.normalized_shape, dtype),
            )

    def extra_repr(self) -> str:
        """As PyTorch's."""
        return f"{self.normalized_shape}, eps={self.eps!r}, elementwise_affine={self.elementwise_affine}"

    def _eps(self, input: Array, weight: Array | None) -> float:
        if self.eps is not None:
            return self.eps
        dtype = floatings("RMSNorm", ("weight",), input=input, weight=weight)[0].dtype
        return float(np.finfo(dtype).eps)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "normalized_shape", "eps", *self.param_names)
        eps = float(np.finfo(tape.dtype).eps) if self.eps is None else self.eps
        return tape.row_norm(input, self.normalized_shape, self.weight, None, False, eps)

    def update_output(self, input: Array) -> Array:
        rows, weight = self._rows("input", input), self._vector(self.weight)
        return backend.ops.rms_norm_forward(rows, weight, self._eps(rows, weight)).reshape(np.shape(input))

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, ...]:
        (rows, dy), weight = self._pair(input, grad_output), self._vector(self.weight)
        dx, dw = backend.ops.rms_norm_backward(rows, weight, dy, self._eps(rows, weight))
        return dx.reshape(np.shape(input)), dw.reshape(self.normalized_shape)


class GroupNorm(_JointGradients):
    """Normalise groups of channels of every sample: y = (x - mean) / sqrt(var + eps) w + b.

    Parameters
    ----------
    num_groups : int
        Number of groups; it divides num_channels.
    num_channels : int
        Number of channels C; the input is (N, C), (N, C, L) or (N, C, H, W).
    eps : float
        At least 0.
    affine : bool
        Whether there are a weight (ones at first) and a bias (zeros), one number of each a channel.
    dtype : dtype
        Of the parameters, float32 or float64.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray (C,) or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not floating or has another shape.

    Notes
    -----
    Wu and He, "Group normalization", 2018; names are PyTorch's. With one group for each channel it is instance
    normalisation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.GroupNorm(2, 4, eps=0.0).forward(np.array([[1.0, 3.0, 10.0, 30.0]], np.float32))
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    config_names = ("num_groups", "num_channels", "eps", "affine")
    _macs = 2  # for the sum of squares, and to scale

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32
    ) -> None:
        self.num_groups = positive_int("GroupNorm", "num_groups", num_groups)
        self.num_channels = positive_int("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: expected num_groups to divide num_channels {num_channels}, got {num_groups}")
        self.eps = number("GroupNorm", "eps", eps, low=0)
        self.affine = flag("GroupNorm", "affine", affine)
        dtype = float_dtype("GroupNorm", dtype)
        if self.affine:
            self.weight, self.bias = np.ones(num_channels, dtype), np.zeros(num_channels, dtype)
            self.grad_weight, self.grad_bias = np.zeros_like(self.weight), np.zeros_like(self.bias)

    def extra_repr(self) -> str:
        """As PyTorch's."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps!r}, affine={self.affine}"

    def _channels(self, array: Array) -> Array:
        """(N, C, ...) as (N, C, L)."""
        array = np.asarray(array)
        if array.ndim not in (2, 3, 4) or array.shape[1] != self.num_channels:
            expected = " or ".join(f"(N, {self.num_channels}{axes})" for axes in ("", ", L", ", H, W"))
            raise ValueError(f"GroupNorm: expected input of shape {expected}, got {array.shape}")
        return array.reshape(*array.shape[:2], math.prod(array.shape[2:]))

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "num_groups", "num_channels", "eps", *self.param_names)
        return tape.group_norm(input, self.num_groups, self.num_channels, self.weight, self.bias, self.eps)

    def update_output(self, input: Array) -> Array:
        x = self._channels(input)
        output = backend.ops.group_norm_forward(x, self.weight, self.bias, self.num_groups, self.eps)
        return output.reshape(np.shape(input))

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, Array, Array]:
        x, grad_output = self._channels(input), np.asarray(grad_output)
        shape("GroupNorm", "grad_output", grad_output, np.shape(input))
        dy = grad_output.reshape(x.shape)
        dx, dw, db = backend.ops.group_norm_backward(x, self.weight, dy, self.num_groups, self.eps)
        return dx.reshape(np.shape(input)), dw, db

"""Linear maps, and the layers that only pass or reshape: `Linear`, `Flatten`, `Unflatten`, `Identity`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import flag, float_dtype, integer, integers, positive_int
from ..checks import same_shape
from ..random import generator
from .module import Array, Module


class Linear(Module):
    """An affine map of every row: y = x W^T + b.

    Parameters
    ----------
    in_features, out_features : int
        Length of a row of the input and of the output, at least 1.
    bias : bool
        Whether there is a b.
    dtype : dtype
        Of the parameters, float32 or float64.
    rng : numpy.random.Generator, int or None
        Source of the initial weights: uniform in (-1/sqrt(in_features), 1/sqrt(in_features)), first W, then b.

    Attributes
    ----------
    weight, grad_weight : ndarray (out_features, in_features)
        Stored as the transposed view of a C-contiguous (in_features, out_features) array, which is the fast layout; any
        other array may be assigned.
    bias, grad_bias : ndarray (out_features,) or None

    Raises
    ------
    TypeError, ValueError
        A size is not an integer, or is less than 1. In use: the input is not floating, or not of shape
        (N, in_features).

    Notes
    -----
    Sums are accumulated in the dtype of the arrays. Initial values follow PyTorch's `Linear`; gradients accumulate as
    in Torch7's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.Linear(3, 2)
    >>> layer.weight[...] = [[1, 0, 0], [0, 1, 1]]
    >>> layer.bias[...] = 0.5
    >>> layer.forward(np.array([[1, 2, 3]], np.float32))
    array([[1.5, 5.5]], dtype=float32)
    """

    param_names = ("weight", "bias")
    config_names = ("in_features", "out_features", "bias")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.in_features = positive_int("Linear", "in_features", in_features)
        self.out_features = positive_int("Linear", "out_features", out_features)
        has_bias, dtype, rng = flag("Linear", "bias", bias), float_dtype("Linear", dtype), generator(rng)
        bound = 1 / math.sqrt(self.in_features)
        size = self.out_features, self.in_features
        self.weight: Array = backend.aligned(np.asfortranarray(rng.uniform(-bound, bound, size), dtype))
        self.grad_weight: Array = backend.aligned(np.zeros_like(self.weight))
        self.bias: Array | None = rng.uniform(-bound, bound, size[0]).astype(dtype) if has_bias else None
        self.grad_bias: Array | None = None if self.bias is None else np.zeros_like(self.bias)

    def update_output(self, input: Array) -> Array:
        return backend.ops.linear_forward(input, self.weight, self.bias)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        return backend.ops.linear_backward_input(grad_output, self.weight)

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        grad_bias = None if self.bias is None else self.grad_bias
        backend.ops.linear_backward_params(input, grad_output, self.grad_weight, grad_bias)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "weight", "bias")
        return tape.linear(input, self.weight, self.bias)

    def macs(self, shape: tuple[int, ...]) -> int:
        return self.in_features * self.out_features


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one: (N, C, H, W) -> (N, C H W).

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to join; negative ones count from the end.

    Raises
    ------
    TypeError, ValueError
        An axis is not an integer; in use: the input has no such axes, or they are in the wrong order.

    Notes
    -----
    The output is a view of the input where NumPy can give one. Any dtype. Follows PyTorch's `Flatten`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Flatten().forward(np.zeros((8, 3, 4, 4))).shape
    (8, 48)
    """

    config_names = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = integer("Flatten", "start_dim", start_dim)
        self.end_dim = integer("Flatten", "end_dim", end_dim)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        ends = [dim + len(shape) if dim < 0 else dim for dim in (self.start_dim, self.end_dim)]
        if not 0 <= ends[0] <= ends[1] < len(shape):
            raise ValueError(f"Flatten: expected input with axes {self.start_dim} to {self.end_dim}, got shape {shape}")
        return (*shape[: ends[0]], math.prod(shape[ends[0] : ends[1] + 1]), *shape[ends[1] + 1 :])

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        return input.reshape(self._shape(input.shape))

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        shape, grad_output = np.shape(input), np.asarray(grad_output)
        if grad_output.shape != self._shape(shape):
            raise ValueError(f"Flatten: expected grad_output of shape {self._shape(shape)}, got {grad_output.shape}")
        return grad_output.reshape(shape)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "start_dim", "end_dim")
        return tape.reshape(input, lambda shape: self._shape(shape))


class Unflatten(Module):
    """Split an axis into several: (N, C H W) -> (N, C, H, W), so that rows become images.

    Parameters
    ----------
    dim : int
        The axis to split; a negative one counts from the end.
    unflattened_size : sequence of int
        Sizes of the axes that take its place; one of them may be -1, which stands for what is left.

    Raises
    ------
    TypeError, ValueError
        An argument is not of these; in use: the input has no such axis, or the sizes do not multiply to its size.

    Notes
    -----
    The output is a view of the input where NumPy can give one. Any dtype. Follows PyTorch's `Unflatten`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Unflatten(1, (1, 28, 28)).forward(np.zeros((8, 784))).shape
    (8, 1, 28, 28)
    """

    config_names = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        self.dim = integer("Unflatten", "dim", dim)
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"Unflatten: expected unflattened_size as a tuple, got {type(unflattened_size).__name__}")
        sizes = integers("Unflatten", "unflattened_size", unflattened_size, len(unflattened_size))
        if not sizes or any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(f"Unflatten: expected unflattened_size of sizes from 1, at most one -1, got {sizes}")
        self.unflattened_size = sizes

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        dim, sizes = self.dim + len(shape) if self.dim < 0 else self.dim, self.unflattened_size
        if not 0 <= dim < len(shape):
            raise ValueError(f"Unflatten: expected input with an axis {self.dim}, got shape {shape}")
        known = math.prod(size for size in sizes if size != -1)
        if shape[dim] % known or (-1 not in sizes and shape[dim] != known):
            raise ValueError(f"Unflatten: expected input of which axis {self.dim} makes {sizes}, got shape {shape}")
        return (*shape[:dim], *(shape[dim] // known if size == -1 else size for size in sizes), *shape[dim + 1 :])

    def update_output(self, input: Array) -> Array:
        input = np.asarray(input)
        return input.reshape(self._shape(input.shape))

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        shape, grad_output = np.shape(input), np.asarray(grad_output)
        if grad_output.shape != self._shape(shape):
            raise ValueError(f"Unflatten: expected grad_output of shape {self._shape(shape)}, got {grad_output.shape}")
        return grad_output.reshape(shape)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "dim", "unflattened_size")
        return tape.reshape(input, lambda shape: self._shape(shape))


class Identity(Module):
    """The identity: the output is the input itself.

    Raises
    ------
    ValueError
        `grad_output` has not the shape of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> x = np.zeros((2, 3))
    >>> nn.Identity().forward(x) is x
    True
    """

    def update_output(self, input: Array) -> Array:
        return input

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        same_shape("Identity", "grad_output", np.asarray(grad_output), np.asarray(input))
        return grad_output

    def lower(self, tape: Any, input: Any) -> Any:
        return input

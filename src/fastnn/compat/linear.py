"""The layers with parameters of every dialect, `Linear` and `Scaling`, in the spelling of `snake` (see naming.py).

Arrays are taken as NumPy would: lists, integers and any layout, with NumPy's promotion, so that float64 weights make
the result float64. `backward` starts from the input that it is given. Initial values come from NumPy's global
generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import backend
from ..arguments import positive_int
from .module import EXPECTED, Module
from .weights import Weighted, uniform


class Linear(Weighted):
    """Every row through an affine map: x W + b, or x W^T + b where W is (out, in).

    Parameters
    ----------
    n_in, n_out : int
        Length of a row of the input and of the output.

    Attributes
    ----------
    W, gradW : ndarray
        W is uniform in (-1/sqrt(n_in), 1/sqrt(n_in)) at first, drawn from NumPy's global generator, and b after it.
    b, gradb : ndarray (n_out,)

    Raises
    ------
    ValueError, TypeError
        The input is not of shape (N, n_in) or (n_in,), or not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = Linear(3, 2)
    >>> layer.forward(np.ones((4, 3))).shape
    (4, 2)
    """

    _transposed = True  # whether W is (in, out), not (out, in)
    _words: ClassVar[dict[str, str]] = {
        "weight": "W",
        "bias": "b",
        "grad_weight": "gradW",
        "grad_bias": "gradb",
        "in_features": "n_in",
        "out_features": "n_out",
    }

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        n_in, n_out = positive_int("Linear", "n_in", n_in), positive_int("Linear", "n_out", n_out)
        self._draw(n_in, n_out, (n_in, n_out) if self._transposed else (n_out, n_in))

    def update_output(self, input: Any) -> Any:
        W = np.asarray(self.W).T if self._transposed else self.W
        b = self.b if self._biased else None
        try:
            self.output = backend.ops.linear_forward(input, W, b)
        except EXPECTED as error:
            self.output = self._of_one_row(error, backend.ops.linear_forward, (input,), W, b)[0]
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        W = np.asarray(self.W).T if self._transposed else self.W
        try:
            self.grad_input = backend.ops.linear_backward_input(grad_output, W)
        except EXPECTED as error:
            self.grad_input = self._of_one_row(error, backend.ops.linear_backward_input, (grad_output,), W)[0]
        return self.grad_input

    def update_grad_params(self, input: Any, grad_output: Any) -> None:
        if self._accumulate:
            gradW = self.gradW.T if self._transposed else self.gradW
            arguments = gradW, self.gradb if self._biased else None
            try:
                backend.ops.linear_backward_params(input, grad_output, *arguments)
            except EXPECTED as error:
                self._of_one_row(error, backend.ops.linear_backward_params, (input, grad_output), *arguments)
            return
        try:
            gradW, gradb = backend.ops.linear_gradients(input, grad_output, self._transposed)
        except EXPECTED as error:
            gradW, gradb = self._of_one_row(error, backend.ops.linear_gradients, (input, grad_output), self._transposed)
        if gradW.shape != np.shape(self.W):
            raise self._misfit(input, grad_output)
        self.gradW = gradW
        if self._biased:
            self.gradb = gradb

    def _of_one_row(self, error: Exception, operation: Callable[..., Any], rows: tuple[Any, ...], *others: Any) -> Any:
        """The operation on vectors, each as the only row of a matrix; raises the error where there is another one."""
        try:
            vectors = [np.asarray(row) for row in rows]
        except ValueError:  # rows of unequal length
            raise self._told(error) from None
        if any(vector.ndim != 1 for vector in vectors):
            raise self._told(error) from None
        try:
            return operation(*(vector[None] for vector in vectors), *others)
        except EXPECTED as error:
            raise self._told(error) from None

    def _misfit(self, input: Any, grad_output: Any) -> Exception:
        """What is wrong with arrays that do not fit W."""
        n_in, n_out = np.shape(self.W)[:: 1 if self._transposed else -1]
        if np.shape(input)[-1] != n_in:
            return self._told(ValueError(f": expected input of shape (N, {n_in}), got {np.shape(input)}"))
        return self._told(ValueError(f": expected grad_output of shape (N, {n_out}), got {np.shape(grad_output)}"))

    def _told(self, error: Exception, **words: str) -> Exception:
        shape = "(n_in, n_out)" if self._transposed else "(n_out, n_in)"
        return super()._told(type(error)(str(error).replace("(out_features, in_features)", shape)), **words)

    def __repr__(self) -> str:
        n_in, n_out = np.shape(self.W) if self._transposed else np.shape(self.W)[::-1]
        return f"{type(self).__name__} {n_in} -> {n_out}"


class Scaling(Module):
    """Scale and shift every column: x gamma + beta.

    Parameters
    ----------
    n_out : int
        Length of a row.

    Attributes
    ----------
    gamma, beta : ndarray
        Uniform in (-1/sqrt(n_out), 1/sqrt(n_out)) at first, drawn from NumPy's global generator in this order.
    gradGamma, gradBeta : ndarray (n_out,)
        New arrays at every backward.

    Raises
    ------
    ValueError, TypeError
        The rows of the input have not the length n_out, or are not of real numbers.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = Scaling(2)
    >>> layer.gamma, layer.beta = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    >>> layer.forward(np.ones((1, 2)))
    array([[2., 4.]])
    """

    _row = True  # whether gamma and beta are (1, n_out), or (n_out,)
    _words: ClassVar[dict[str, str]] = {"weight": "gamma", "bias": "beta", "C": "n_out"}

    def __init__(self, n_out: int) -> None:
        super().__init__()
        n_out = positive_int(type(self).__name__, "n_out", n_out)
        shape = (1, n_out) if self._row else (n_out,)
        self.gamma = uniform(n_out, shape)
        self.beta = uniform(n_out, shape)
        self.gradGamma = np.zeros_like(self.gamma)
        self.gradBeta = np.zeros_like(self.beta)

    def update_output(self, input: Any) -> Any:
        x, shape = self._rows(input)
        try:
            output = backend.ops.channel_scale_forward(x, np.ravel(self.gamma), np.ravel(self.beta))
        except EXPECTED as error:
            raise self._told(error) from None
        self.output = output if shape == output.shape else output.reshape(shape)
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        dy, shape = self._rows(grad_output, "grad_output")
        try:
            grad_input = backend.ops.channel_scale_forward(dy, np.ravel(self.gamma), None)
        except EXPECTED as error:
            raise self._told(error, input="grad_output") from None
        self.grad_input = grad_input if shape == grad_input.shape else grad_input.reshape(shape)
        return self.grad_input

    def update_grad_params(self, input: Any, grad_output: Any) -> None:
        self._all_gradients(input, grad_output, None)

    def backward(self, input: Any, grad_output: Any) -> Any:
        hooks, gamma = (type(self).update_grad_input, type(self).update_grad_params), np.ravel(self.gamma)
        own = hooks == (__class__.update_grad_input, __class__.update_grad_params)  # type: ignore[name-defined]
        if not own or gamma.dtype != getattr(input, "dtype", None):  # whose sums have not the dtype of gamma
            return super().backward(input, grad_output)
        self.grad_input = self._all_gradients(input, grad_output, gamma)
        return self.grad_input

    def _all_gradients(self, input: Any, grad_output: Any, gamma: Any) -> Any:
        """The gradient by the input, gamma (n_out,) or None for 1, in one pass with those of the parameters."""
        (x, shape), (dy, _) = self._rows(input), self._rows(grad_output, "grad_output")
        try:
            grad_input, self.gradGamma, self.gradBeta = backend.ops.channel_scale_backward(x, gamma, dy)
        except EXPECTED as error:
            raise self._told(error) from None
        return grad_input if shape == grad_input.shape else grad_input.reshape(shape)

    def _rows(self, input: Any, name: str = "input") -> tuple[np.ndarray, tuple[int, ...]]:
        """The array as (N, n_out), whatever axes come before the last, and its own shape."""
        x = self._array(name, input)
        if x.ndim == 2:
            return x, x.shape
        n_out = np.size(self.gamma)
        if x.shape[-1] != n_out:
            raise self._told(ValueError(f": expected {name} of shape (N, {n_out}), got {x.shape}"))
        return x.reshape(math.prod(x.shape[:-1]), n_out), x.shape

    def zero_grad_params(self) -> None:
        self.gradGamma = np.zeros(self.gradGamma.shape, self.gradGamma.dtype)
        self.gradBeta = np.zeros(self.gradBeta.shape, self.gradBeta.dtype)

    def get_parameters(self) -> list[Any]:
        return [self.gamma, self.beta]

    def get_grad_params(self) -> list[Any]:
        return [self.gradGamma, self.gradBeta]

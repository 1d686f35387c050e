"""The activations of every dialect, and `Flatten`, in the spelling of `snake` (see naming.py).

Arrays are taken as NumPy would, lists and integers too; functions of integers are float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import number
from .module import EXPECTED, Module


class _Rowwise(Module):
    """A function of each row; the operations are names of functions of the back end."""

    _forward: str
    _backward: str  # from the input
    _backward_from_output: str
    _from_output = False  # whether backward starts from the last output, or from the input

    def update_output(self, input: Any) -> Any:
        try:
            self.output = getattr(backend.ops, self._forward)(input)
        except EXPECTED as error:
            raise self._told(error) from None
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        by_output = self._from_output and self.output is not None
        operation = getattr(backend.ops, self._backward_from_output if by_output else self._backward)
        try:
            self.grad_input = operation(self.output if by_output else input, grad_output)
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input


class SoftMax(_Rowwise):
    """Each row to probabilities: exp(x) over the sum of the row.

    Raises
    ------
    ValueError, TypeError
        An array has no axis, is not of real numbers, or `grad_output` has another shape than the output.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> SoftMax().forward(np.log([[1, 3], [4, 1]]))
    array([[0.25, 0.75],
           [0.8 , 0.2 ]])
    """

    _forward, _backward, _backward_from_output = "softmax_forward", "softmax_backward", "softmax_backward_from_output"


class LogSoftMax(_Rowwise):
    """The logarithm of each row's probabilities: x - log(sum(exp(x))).

    Raises
    ------
    ValueError, TypeError
        An array has no axis, is not of real numbers, or `grad_output` has another shape than the output.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> LogSoftMax().forward(np.log([[1, 3], [4, 1]])).round(4)
    array([[-1.3863, -0.2877],
           [-0.2231, -1.6094]])
    """

    _forward, _backward = "log_softmax_forward", "log_softmax_backward"
    _backward_from_output = "log_softmax_backward_from_output"


class _Unary(Module):
    """An elementwise function of the back end: `_operation` is its name there, `_constants` are its two constants."""

    _operation: str
    _constants: Any = (0.0, 0.0)

    def update_output(self, input: Any) -> Any:
        try:
            self.output = backend.ops.unary_forward(self._operation, input, *self._constants)
        except EXPECTED as error:
            raise self._told(error) from None
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        try:
            self.grad_input = backend.ops.unary_backward(self._operation, input, grad_output, *self._constants)
        except EXPECTED as error:
            raise self._told(error) from None
        return self.grad_input


class ReLU(_Unary):
    """max(x, 0); the derivative at 0 is 0.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> ReLU().forward([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    _operation = "ReLU"


class LeakyReLU(_Unary):
    """x for x > 0, else slope x; the derivative at 0 is the slope.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> LeakyReLU(0.5).forward([-1.0, 0.0, 2.0])
    array([-0.5,  0. ,  2. ])
    """

    _operation = "LeakyReLU"

    def __init__(self, slope: float = 0.03) -> None:
        super().__init__()
        self.slope = number("LeakyReLU", "slope", slope)

    @property
    def _constants(self) -> tuple[float, float]:
        return self.slope, 0.0


class ELU(_Unary):
    """x for x > 0, else alpha (exp(x) - 1); the derivative at 0 is alpha.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> ELU().forward([-1.0, 0.0, 2.0]).round(4)
    array([-0.6321,  0.    ,  2.    ])
    """

    _operation = "ELU"

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha)

    @property
    def _constants(self) -> tuple[float, float]:
        return self.alpha, 0.0


class SoftPlus(_Unary):
    """log(1 + exp(x)), in a form that does not overflow; the derivative at 0 is 1/2.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> SoftPlus().forward([-1.0, 0.0, 50.0]).round(4)
    array([ 0.3133,  0.6931, 50.    ])
    """

    _operation = "Softplus"
    _constants = (1.0, math.inf)  # no threshold beyond which the input is taken for the value


class Sigmoid(_Unary):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> Sigmoid().forward([0.0, 1.0]).round(4)
    array([0.5   , 0.7311])
    """

    _operation = "Sigmoid"


class Tanh(_Unary):
    """Hyperbolic tangent.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> Tanh().forward([0.0, 1.0]).round(4)
    array([0.    , 0.7616])
    """

    _operation = "Tanh"


class Flatten(Module):
    """Every sample to one row: (N, C, H, W) -> (N, C H W), as a view where NumPy can give one.

    Raises
    ------
    ValueError
        The input has no axis; `grad_output` has another number of elements than the input.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> Flatten().forward(np.zeros((8, 3, 4, 4))).shape
    (8, 48)
    """

    def update_output(self, input: Any) -> Any:
        x = input if isinstance(input, np.ndarray) and input.ndim else self._array("input", input)
        self.output = x.reshape(len(x), math.prod(x.shape[1:]))
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        shape, dy = np.shape(input), np.asarray(grad_output)
        if dy.size != math.prod(shape):
            raise self._told(ValueError(f": expected grad_output for input of shape {shape}, got {dy.shape}"))
        self.grad_input = dy.reshape(shape)
        return self.grad_input

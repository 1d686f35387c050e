"""Activations: functions applied to every element, and the two softmaxes.

The functions themselves, with their accuracy, live in the back end; a class here names one and holds its constants.
Constants are computed with in the dtype of the input. NaN comes out as NaN. No layer keeps anything between the calls:
`backward` starts from the input that it is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..arguments import choice, integer, number
from .module import Array, Module


class _Unary(Module):
    """An elementwise function of the back end: `operation` is its name there, `constants` are its two constants."""

    operation: str

    @property
    def constants(self) -> tuple[float, float]:
        return 0.0, 0.0

    def update_output(self, input: Array) -> Array:
        return backend.ops.unary_forward(self.operation, input, *self.constants)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        return backend.ops.unary_backward(self.operation, input, grad_output, *self.constants)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        return tape.unary(input, self.operation, self.constants)


class ReLU(_Unary):
    """Rectifier: y = max(x, 0). Any shape; the derivative at 0 is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ReLU().forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    operation = "ReLU"


class LeakyReLU(_Unary):
    """Leaky rectifier: y = x for x > 0, else negative_slope x. Any shape; the derivative at 0 is negative_slope.

    Parameters
    ----------
    negative_slope : float

    Raises
    ------
    TypeError, ValueError
        `negative_slope` is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LeakyReLU(0.5).forward(np.array([-1.0, 0.0, 2.0]))
    array([-0.5,  0. ,  2. ])
    """

    operation = "LeakyReLU"
    config_names = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    @property
    def constants(self) -> tuple[float, float]:
        return self.negative_slope, 0.0


class ELU(_Unary):
    """Exponential linear unit: y = x for x > 0, else alpha (exp(x) - 1). Any shape; the derivative at 0 is alpha.

    Parameters
    ----------
    alpha : float

    Raises
    ------
    TypeError, ValueError
        `alpha` is not a finite number.

    Notes
    -----
    Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ELU().forward(np.array([-np.inf, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """

    operation = "ELU"
    config_names = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha)

    @property
    def constants(self) -> tuple[float, float]:
        return self.alpha, 0.0


class SELU(_Unary):
    """Scaled exponential linear unit: y = scale (x for x > 0, else alpha (exp(x) - 1)). Any shape.

    Notes
    -----
    scale = 1.0507009873554805, alpha = 1.6732632423543772: Klambauer et al., "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.SELU().forward(np.array([0.0, 2.0])).round(4)
    array([0.    , 2.1014])
    """

    operation = "SELU"


class Softplus(_Unary):
    """Smooth rectifier: y = log(1 + exp(beta x)) / beta, and y = x where beta x > threshold. Any shape.

    Parameters
    ----------
    beta : float
        Greater than 0.
    threshold : float

    Raises
    ------
    TypeError, ValueError
        A constant is not a finite number, or beta <= 0.

    Notes
    -----
    Computed as max(x, 0) + log1p(exp(-|x|)), which cannot overflow. The threshold is PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softplus().forward(np.array([-1.0, 0.0, 50.0])).round(4)
    array([ 0.3133,  0.6931, 50.    ])
    """

    operation = "Softplus"
    config_names = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = number("Softplus", "beta", beta, above=0)
        self.threshold = number("Softplus", "threshold", threshold)

    @property
    def constants(self) -> tuple[float, float]:
        return self.beta, self.threshold


class Sigmoid(_Unary):
    """Logistic function: y = 1 / (1 + exp(-x)). Any shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Sigmoid().forward(np.array([-np.inf, 0.0, 1.0])).round(4)
    array([0.    , 0.5   , 0.7311])
    """

    operation = "Sigmoid"


class Tanh(_Unary):
    """Hyperbolic tangent. Any shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Tanh().forward(np.array([-np.inf, 0.0, 1.0])).round(4)
    array([-1.    ,  0.    ,  0.7616])
    """

    operation = "Tanh"


class GELU(_Unary):
    """Gaussian error linear unit: y = x P(Z <= x) for a standard normal Z. Any shape.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" uses erf: y = x (1 + erf(x / sqrt 2)) / 2.
        "tanh" is y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises
    ------
    ValueError
        `approximate` is another word.

    Notes
    -----
    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.GELU().forward(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """

    config_names = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = choice("GELU", "approximate", approximate, ("none", "tanh"))

    @property
    def operation(self) -> str:  # type: ignore[override]
        return "GELU" if self.approximate == "none" else "GELU_tanh"


class SiLU(_Unary):
    """Sigmoid linear unit, also called swish: y = x / (1 + exp(-x)). Any shape.

    Notes
    -----
    Elfwing et al., "Sigmoid-weighted linear units for neural network function approximation", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.SiLU().forward(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """

    operation = "SiLU"


class Mish(_Unary):
    """y = x tanh(softplus(x)). Any shape.

    Notes
    -----
    Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Mish().forward(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """

    operation = "Mish"


class Hardtanh(_Unary):
    """The input clipped to [min_val, max_val]. Any shape; the derivative at both ends is 0.

    Parameters
    ----------
    min_val, max_val : float
        min_val < max_val.

    Raises
    ------
    TypeError, ValueError
        An end is not a finite number, or min_val >= max_val.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Hardtanh().forward(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """

    operation = "Hardtanh"
    config_names = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = number("Hardtanh", "min_val", min_val), number("Hardtanh", "max_val", max_val)
        if self.min_val >= self.max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")

    @property
    def constants(self) -> tuple[float, float]:
        return self.min_val, self.max_val


class _Rowwise(Module):
    """A function of the back end over the last axis, applied along the axis `dim`; `operation` is its name there."""

    operation: str
    config_names = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = integer(type(self).__name__, "dim", dim)

    def update_output(self, input: Array) -> Array:
        return self._along("forward", input)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        return self._along("backward", input, grad_output)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.config_names)
        return tape.softmax(input, self.operation, self.dim)

    def _along(self, direction: str, *arrays: Array) -> Array:
        function = getattr(backend.ops, f"{self.operation}_{direction}")
        ndim = np.ndim(arrays[0])
        if self.dim == -1 or self.dim == ndim - 1:
            return function(*arrays)
        if not -ndim <= self.dim < ndim or np.ndim(arrays[-1]) != ndim:
            raise ValueError(self._complaint(arrays))
        result: Any = function(*(np.moveaxis(np.asarray(array), self.dim, -1) for array in arrays))
        return np.moveaxis(result, -1, self.dim)

    def _complaint(self, arrays: tuple[Array, ...]) -> str:
        shapes = " and ".join(str(np.shape(array)) for array in arrays)
        return f"{type(self).__name__}: expected input with an axis {self.dim}, got {shapes}"


class Softmax(_Rowwise):
    """y_i = exp(x_i) / sum_j exp(x_j) along one axis.

    Parameters
    ----------
    dim : int
        The axis; the last one by default, which is the fastest.

    Raises
    ------
    TypeError, ValueError
        `dim` is not an integer; in use: the input has no such axis.

    Notes
    -----
    The largest x is subtracted first, so nothing overflows. A slice with NaN or +inf, or with -inf alone, is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softmax().forward(np.log([[1.0, 3.0], [4.0, 1.0]]))
    array([[0.25, 0.75],
           [0.8 , 0.2 ]])
    """

    operation = "softmax"


class LogSoftmax(_Rowwise):
    """y_i = x_i - log sum_j exp(x_j) along one axis.

    Parameters
    ----------
    dim : int
        The axis; the last one by default, which is the fastest.

    Raises
    ------
    TypeError, ValueError
        `dim` is not an integer; in use: the input has no such axis.

    Notes
    -----
    The largest x is subtracted first, so nothing overflows. For training, `CrossEntropyLoss` on the scores does this
    and the loss in one pass.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LogSoftmax().forward(np.log([[1.0, 3.0], [4.0, 1.0]])).round(4)
    array([[-1.3863, -0.2877],
           [-0.2231, -1.6094]])
    """

    operation = "log_softmax"

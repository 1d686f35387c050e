"""The layers of every dialect, in the spelling of `snake` (see naming.py); the dialects differ by class attributes.

Arrays are taken as NumPy would: lists, integers and any layout, with NumPy's promotion, so that float64 weights make
the result float64. Everything is computed by the back end in that dtype. `backward` starts from the input that it is
given. Random numbers come from NumPy's global generator, as `np.random.seed` sets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import backend
from ..arguments import number, positive_int
from .module import EXPECTED, Module


def _uniform(n: int, size: Any) -> np.ndarray:
    """Initial weights: uniform in (-1/sqrt(n), 1/sqrt(n))."""
    bound = 1.0 / np.sqrt(n)
    return np.random.uniform(-bound, bound, size)  # noqa: NPY002


class Linear(Module):
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
    _accumulate = False  # whether gradients add up in place, or come as new arrays
    _biased = True
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
        self.W = _uniform(n_in, (n_in, n_out) if self._transposed else (n_out, n_in))
        self.gradW = np.zeros_like(self.W)
        if self._biased:
            self.b = _uniform(n_in, n_out)
            self.gradb = np.zeros_like(self.b)

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

    def zero_grad_params(self) -> None:
        if self._accumulate:
            self.gradW.fill(0)
            if self._biased:
                self.gradb.fill(0)
            return
        self.gradW = np.zeros(self.gradW.shape, self.gradW.dtype)  # what was handed out is not written again
        if self._biased:
            self.gradb = np.zeros(self.gradb.shape, self.gradb.dtype)

    def get_parameters(self) -> list[Any]:
        return [self.W, self.b] if self._biased else [self.W]

    def get_grad_params(self) -> list[Any]:
        return [self.gradW, self.gradb] if self._biased else [self.gradW]

    def __repr__(self) -> str:
        n_in, n_out = np.shape(self.W) if self._transposed else np.shape(self.W)[::-1]
        return f"{type(self).__name__} {n_in} -> {n_out}"


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


class BatchNormalization(Module):
    """Every column to mean 0 and variance 1 over the batch: (x - mean) / sqrt(variance + EPS), without parameters.

    In training, moving = moving alpha + batch (1 - alpha) for the mean and the biased variance, the first batch taken
    whole; in evaluation the moving ones are used.

    Parameters
    ----------
    alpha : float
        Share of the old moving statistics, in [0, 1].

    Attributes
    ----------
    EPS : float
        1e-3; of the class, or of an instance that has its own.
    moving_mean, moving_variance : ndarray (n,) or None
        None before the first batch; every batch gives new arrays.

    Raises
    ------
    ValueError, TypeError
        The input is not of real numbers, or has not the length of the moving statistics; evaluation before training.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> layer = BatchNormalization()
    >>> layer.forward(np.array([[1.0], [3.0]])).round(3)
    array([[-1.],
           [ 1.]])
    >>> layer.moving_mean, layer.moving_variance
    (array([2.]), array([1.]))
    """

    EPS = 1e-3
    _exact_evaluation = False  # whether the gradient in evaluation is that of the moving statistics, or the batch's
    _words: ClassVar[dict[str, str]] = {"mean": "moving_mean", "var": "moving_variance"}
    _before: Any = None  # the moving statistics before the last forward, if it changed them

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        self.alpha = number("BatchNormalization", "alpha", alpha, low=0, high=1)
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def update_output(self, input: Any) -> Any:
        self._before = None
        x, shape = self._rows(input)
        try:
            if self.training:
                output, mean, variance = backend.ops.batch_norm_forward(x, None, None, self.EPS)
            else:
                output = backend.ops.batch_norm_inference(x, *self._moving(), None, None, self.EPS)
        except EXPECTED as error:
            raise self._told(error) from None
        if self.training and len(x):
            self._track(mean.reshape(shape[1:]), variance.reshape(shape[1:]))
        self.output = output if shape == output.shape else output.reshape(shape)
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        x, shape = self._rows(input)
        dy, _ = self._rows(grad_output, "grad_output")
        try:
            if self.training or not self._exact_evaluation:
                grad_input = backend.ops.batch_norm_backward(x, None, dy, self.EPS)[0]
            else:
                scale = 1 / np.sqrt(self._moving()[1] + self.EPS)
                grad_input = backend.ops.channel_scale_forward(dy, scale, None)
        except EXPECTED as error:
            raise self._told(error) from None
        self.grad_input = grad_input if shape == grad_input.shape else grad_input.reshape(shape)
        return self.grad_input

    def _rows(self, input: Any, name: str = "input") -> tuple[np.ndarray, tuple[int, ...]]:
        """The array as (N, n), whatever axes a sample has, and its own shape."""
        x = self._array(name, input)
        return x if x.ndim == 2 else x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def _moving(self) -> tuple[np.ndarray, np.ndarray]:
        if self.moving_mean is None or self.moving_variance is None:
            raise ValueError(": expected a forward in training before evaluation, got no moving statistics")
        return np.ravel(self.moving_mean), np.ravel(self.moving_variance)

    def _track(self, mean: np.ndarray, variance: np.ndarray) -> None:
        self._before = self.moving_mean, self.moving_variance
        if self.moving_mean is not None:
            mean = self.moving_mean * self.alpha + mean * (1 - self.alpha)
        if self.moving_variance is not None:
            variance = self.moving_variance * self.alpha + variance * (1 - self.alpha)
        self.moving_mean, self.moving_variance = mean, variance

    def _undo(self) -> None:
        """Take back what the last forward changed for good."""
        if self._before is not None:
            self.moving_mean, self.moving_variance = self._before
            self._before = None


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
        self.gamma = _uniform(n_out, shape)
        self.beta = _uniform(n_out, shape)
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


class Dropout(Module):
    """In training, zero each element with probability p and divide the rest by 1 - p; in evaluation pass the input on.

    Parameters
    ----------
    p : float
        Probability of zeroing, in [0, 1].

    Attributes
    ----------
    keep_float32 : bool
        Class attribute: whether float32 stays float32 (True), or becomes float64, as a product with integers does in
        NumPy.
    mask : ndarray of int64
        0 where the last forward in training zeroed, else 1: what `np.random.binomial(1, 1 - p, shape)` gives.

    Raises
    ------
    ValueError, TypeError
        p is outside [0, 1]; the input is not of real numbers; backward in training without a forward of the same shape.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> np.random.seed(1)
    >>> Dropout(0.5).forward(np.ones((1, 4)))
    array([[0., 2., 0., 0.]])
    """

    keep_float32 = True
    _first_mask: Any = ()  # before the first forward; a tuple stands for an empty list

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = number("Dropout", "p", p, low=0, high=1)
        self.mask: Any = list(self._first_mask) if self._first_mask is not None else None

    def update_output(self, input: Any) -> Any:
        if not self.training:
            self.output = input
            return input
        x = self._array("input", input)
        stream = np.random.get_bit_generator()  # type: ignore[attr-defined]
        mask = backend.ops.bernoulli_mask(stream, x.size, 1 - self.p).reshape(x.shape)
        self.output = self._masked("input", x, mask)
        self.mask = mask
        return self.output

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        if not self.training:
            self.grad_input = grad_output
            return grad_output
        dy = self._array("grad_output", grad_output)
        if np.shape(self.mask) != dy.shape:
            expected = f"expected grad_output of the shape of the last forward in training, {np.shape(self.mask)}"
            raise self._told(ValueError(f": {expected}, got {dy.shape}"))
        self.grad_input = self._masked("grad_output", dy, self.mask)
        return self.grad_input

    def _masked(self, name: str, array: np.ndarray, mask: Any) -> Any:
        """array mask / (1 - p)."""
        scale = 1 / (1 - self.p) if self.p < 1 else np.inf
        if array.dtype == np.float32 and not self.keep_float32:
            array = array.astype(np.float64)
        try:
            return backend.ops.masked_scale(array, mask, scale)
        except EXPECTED as error:
            raise self._told(error, input=name) from None


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

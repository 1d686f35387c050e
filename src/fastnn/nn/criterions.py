"""Criterions: the loss of a batch as a float, and its gradient by the input.

Sums run in float64 whatever the dtype of the arrays; gradients have the common dtype of the arrays. An empty batch has
loss 0.0 and an empty gradient (PyTorch's mean of nothing is NaN).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import choice, integer, number
from ..checks import floating, row_weights
from .module import Array, Described

REDUCTIONS = ("mean", "sum", "batchmean")


class Criterion(Described):
    """Base class of all losses.

    A criterion of your own implements two hooks, `update_output(input, target)`, which returns a float, and
    `update_grad_input(input, target)`; or it overrides `forward` and `backward` themselves.

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}
        "mean" divides the sum by the number of elements (in class losses: by the total weight of the rows),
        "batchmean" by the number of rows N.

    Attributes
    ----------
    output : float or None
        What `forward` returned last.
    grad_input : ndarray or None
        What `backward` returned last.

    Raises
    ------
    ValueError
        The reduction is another word.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> class Mean(nn.Criterion):
    ...     def update_output(self, input, target):
    ...         return float(input.mean())
    ...     def update_grad_input(self, input, target):
    ...         return np.full_like(input, 1 / input.size)
    >>> Mean().forward(np.array([1.0, 2.0]), None)
    1.5
    """

    output: float | None = None
    grad_input: Array | None = None
    reduction: str = "mean"
    config_names: tuple[str, ...] = ("reduction",)

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = choice(type(self).__name__, "reduction", reduction, REDUCTIONS)

    def forward(self, input: Array, target: Any, sample_weight: Any = None) -> float:
        """The loss, kept as `self.output`.

        With weights (N,) of the samples, that of a row counts so many times, in what the sum is divided by too.
        """
        weights = () if sample_weight is None else (sample_weight,)
        self.output = output = self.update_output(input, target, *weights)
        return output

    def __call__(self, input: Array, target: Any, sample_weight: Any = None) -> float:
        return self.forward(input, target, sample_weight)

    def backward(self, input: Array, target: Any, sample_weight: Any = None) -> Array:
        """The gradient of the loss by `input`, kept as `self.grad_input`."""
        weights = () if sample_weight is None else (sample_weight,)
        self.grad_input = grad_input = self.update_grad_input(input, target, *weights)
        return grad_input

    def update_output(self, input: Array, target: Any, sample_weight: Any = None) -> float:
        """Hook: the loss. Weights are given where the caller of `forward` gave some."""
        raise NotImplementedError(f"{type(self).__name__}: expected update_output or forward in the class, got neither")

    def update_grad_input(self, input: Array, target: Any, sample_weight: Any = None) -> Array:
        """Hook: the gradient of the loss by `input`."""
        raise NotImplementedError(
            f"{type(self).__name__}: expected update_grad_input or backward in the class, got neither"
        )

    def lower(self, tape: Any, input: Any) -> None:
        """Hook: write the loss and the way back on the tape of a program, for `fastnn.compile`."""
        raise TypeError(f"compile: expected a criterion with a compiled form, got {type(self).__name__}")


class _Elementwise(Criterion):
    """A loss that is a sum over elements; `operation` is its name in the back end, `constant` its constant there."""

    operation: str

    @property
    def constant(self) -> float:
        return 0.0

    def update_output(self, input: Array, target: Array, sample_weight: Any = None) -> float:
        weights = _weights(self, input, sample_weight)
        total: float = backend.ops.loss_forward(self.operation, input, target, self.constant, weights)
        divisor = self.divisor(input, weights)
        return total / divisor if divisor else math.nan

    def update_grad_input(self, input: Array, target: Array, sample_weight: Any = None) -> Array:
        weights = _weights(self, input, sample_weight)
        divisor = self.divisor(input, weights)
        scale = 1 / divisor if divisor else 0.0
        return backend.ops.loss_backward(self.operation, input, target, scale, self.constant, weights)

    def lower(self, tape: Any, input: Any) -> None:
        tape.watch(self, *self.config_names)
        tape.elementwise_loss(input, self.operation, self.constant, self.reduction)

    def divisor(self, input: Array, weights: Array | None) -> float:
        """What the reduction divides the sum by; 1 for an empty batch."""
        if self.reduction == "sum" or not np.size(input):
            return 1
        elements = np.size(input) // _rows(input, None) if self.reduction == "mean" else 1
        return _rows(input, weights) * elements


def _weights(criterion: Criterion, input: Any, sample_weight: Any) -> Array | None:
    """The weights of the rows of the input as float64."""
    if sample_weight is None:
        return None
    weights: Array = row_weights(type(criterion).__name__, sample_weight, (np.shape(input) or (1,))[0])
    return weights


def _rows(input: Any, weights: Array | None) -> float:
    """How many rows there are, or the sum of their weights."""
    return (np.shape(input) or (1,))[0] if weights is None else float(weights.sum())


class MSELoss(_Elementwise):
    """Squared error: the reduction of (x - t)^2. Input and target have one shape, any.

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}

    Raises
    ------
    TypeError, ValueError
        An array is not floating, or the shapes differ.

    Notes
    -----
    Torch7's course frameworks divide by the batch size alone: that is "batchmean".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.MSELoss(), np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])
    >>> criterion.forward(x, t), criterion.backward(x, t)
    (2.5, array([[ 1., -2.]]))
    """

    operation = "MSELoss"


class HalfMSELoss(_Elementwise):
    """Half the squared error: the reduction of (x - t)^2 / 2, whose gradient is x - t. One shape, any.

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}

    Raises
    ------
    TypeError, ValueError
        An array is not floating, or the shapes differ.

    Notes
    -----
    The squared error of scikit-learn's networks.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.HalfMSELoss(), np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])
    >>> criterion.forward(x, t), criterion.backward(x, t)
    (1.25, array([[ 0.5, -1. ]]))
    """

    operation = "HalfMSELoss"


class L1Loss(_Elementwise):
    """Absolute error: the reduction of |x - t|, with derivative 0 where x = t. Input and target have one shape, any.

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}

    Raises
    ------
    TypeError, ValueError
        An array is not floating, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.L1Loss(), np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])
    >>> criterion.forward(x, t), criterion.backward(x, t)
    (1.5, array([[ 0.5, -0.5]]))
    """

    operation = "L1Loss"


class HuberLoss(_Elementwise):
    """Huber's loss: (x - t)^2 / 2 where |x - t| <= delta, else delta (|x - t| - delta / 2).

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}
    delta : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        `delta` is not a positive number; in use: an array is not floating, or the shapes differ.

    Notes
    -----
    Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.HuberLoss(), np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])
    >>> criterion.forward(x, t), criterion.backward(x, t)
    (1.0, array([[ 0.5, -0.5]]))
    """

    operation = "HuberLoss"
    config_names = ("reduction", "delta")

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("HuberLoss", "delta", delta, above=0)

    @property
    def constant(self) -> float:
        return self.delta


class BCEWithLogitsLoss(_Elementwise):
    """Binary cross-entropy of sigmoid(x): the reduction of -t log p - (1 - t) log(1 - p), p = sigmoid(x).

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}

    Raises
    ------
    TypeError, ValueError
        An array is not floating, or the shapes differ.

    Notes
    -----
    Targets are floats, usually in [0, 1]. Computed as max(x, 0) - x t + log1p(exp(-|x|)), which cannot overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.BCEWithLogitsLoss(), np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> round(criterion.forward(x, t), 4), criterion.backward(x, t)
    (0.6931, array([[ 0.25, -0.25]]))
    """

    operation = "BCEWithLogitsLoss"


class PoissonNLLLoss(_Elementwise):
    """Negative log-likelihood of counts t whose expectation is exp(x): the reduction of exp(x) - t x.

    Parameters
    ----------
    reduction : {"mean", "sum", "batchmean"}

    Raises
    ------
    TypeError, ValueError
        An array is not floating, or the shapes differ.

    Notes
    -----
    log(t!), which does not depend on x, is left out. PyTorch's with its defaults, log_input=True and full=False.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x, t = nn.PoissonNLLLoss(), np.array([[0.0, 0.0]]), np.array([[0.0, 4.0]])
    >>> criterion.forward(x, t), criterion.backward(x, t)
    (1.0, array([[ 0.5, -1.5]]))
    """

    operation = "PoissonNLLLoss"


class _Classes(Criterion):
    """A loss of rows of class scores; `operation` is its name in the back end."""

    operation: str
    config_names: tuple[str, ...] = ("weight", "ignore_index", "reduction")

    def __init__(self, weight: Any, ignore_index: int, reduction: str) -> None:
        super().__init__(reduction)
        where = type(self).__name__
        self.weight: Array | None = None if weight is None else floating(where, "weight", weight)
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(f"{where}: expected weight of shape (C,), got {self.weight.shape}")
        self.ignore_index = integer(where, "ignore_index", ignore_index)

    def _options(self, input: Array) -> tuple[Any, ...]:
        """What the operations take after their arrays; the weights in the dtype of the input, so that it is kept."""
        weight = self.weight
        if weight is not None and isinstance(input, np.ndarray) and input.dtype.kind == "f":
            weight = weight.astype(input.dtype, copy=False)
        return weight, self.ignore_index

    def update_output(self, input: Array, target: Any, sample_weight: Any = None) -> float:
        forward = getattr(backend.ops, self.operation + "_forward")
        weights = _weights(self, input, sample_weight)
        total, total_weight = forward(input, target, *self._options(input), row_weight=weights)
        if self.reduction == "sum" or len(input) == 0:
            return float(total)
        divisor = total_weight if self.reduction == "mean" else _rows(input, weights)
        return float(total / divisor) if divisor else math.nan

    def update_grad_input(self, input: Array, target: Any, sample_weight: Any = None) -> Array:
        backward = getattr(backend.ops, self.operation + "_backward")
        weight, *others = self._options(input)
        weights = _weights(self, input, sample_weight)
        scale = None if self.reduction == "mean" else 1.0
        if self.reduction == "batchmean":
            rows = _rows(input, weights)
            scale = 1 / rows if rows else 0.0
        return backward(input, target, scale, weight, *others, row_weight=weights)

    def lower(self, tape: Any, input: Any) -> None:
        tape.watch(self, *self.config_names)
        smoothing = getattr(self, "label_smoothing", 0.0)
        tape.class_loss(input, self.operation, self.weight, self.ignore_index, smoothing, self.reduction)


class NLLLoss(_Classes):
    """Negative log-likelihood of log-probabilities: the reduction of -w_t x_t over the rows.

    The input is (N, C). The target is integer labels (N,), or one-hot or probability rows (N, C), for which the loss of
    a row is -sum_c w_c t_c x_c.

    Parameters
    ----------
    weight : array (C,), optional
        Weights of the classes, floating; converted to the dtype of the input.
    ignore_index : int
        Rows with this label do not count.
    reduction : {"mean", "sum", "batchmean"}
        "mean" divides by the sum of the labels' weights (with target rows: by N), "batchmean" by N.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: arrays of the wrong dtype or shape.
    IndexError
        A label is out of range.

    Notes
    -----
    If no row counts, the mean is NaN, as in PyTorch, and the gradient 0. Target rows are an addition to PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x = nn.NLLLoss(), np.log([[0.25, 0.75], [0.5, 0.5]])
    >>> round(criterion.forward(x, [1, 0]), 4)
    0.4904
    >>> criterion.backward(x, [1, 0]) + 0.0
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """

    operation = "nll"

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, ignore_index, reduction)


class CrossEntropyLoss(_Classes):
    """Negative log-likelihood of the softmax of scores: `NLLLoss` of `LogSoftmax`, in one pass.

    The input is (N, C). The target is integer labels (N,), or one-hot or probability rows (N, C).

    Parameters
    ----------
    weight : array (C,), optional
        Weights of the classes, floating; converted to the dtype of the input.
    ignore_index : int
        Rows with this label do not count.
    reduction : {"mean", "sum", "batchmean"}
        "mean" divides by the sum of the labels' weights (with target rows: by N), "batchmean" by N.
    label_smoothing : float
        s in [0, 1]: the target t becomes (1 - s) t + s / C.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: arrays of the wrong dtype or shape.
    IndexError
        A label is out of range.

    Notes
    -----
    If no row counts, the mean is NaN, as in PyTorch, and the gradient 0. Smoothing: Szegedy et al., "Rethinking the
    Inception architecture for computer vision", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> criterion, x = nn.CrossEntropyLoss(), np.log([[1.0, 3.0], [1.0, 1.0]])
    >>> round(criterion.forward(x, [1, 0]), 4)
    0.4904
    >>> criterion.backward(x, [1, 0])
    array([[ 0.125, -0.125],
           [-0.25 ,  0.25 ]])
    """

    operation = "cross_entropy"
    config_names = ("weight", "ignore_index", "reduction", "label_smoothing")

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing, low=0, high=1)

    def _options(self, input: Array) -> tuple[Any, ...]:
        return (*super()._options(input), self.label_smoothing)

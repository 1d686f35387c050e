"""Gradient clipping, as PyTorch's `torch.nn.utils`: in place, on the gradients of a model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..arguments import number
from ..checks import updated
from .module import Array, Module


def clip_grad_norm_(
    model: Module,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place; returns the norm that they had.

    Parameters
    ----------
    model : Module
        Or anything with `grad_parameters()`, a list of live gradient arrays.
    max_norm : float
        At least 0.
    norm_type : float
        p of the p-norm of all elements together, greater than 0; `math.inf` is the largest absolute value.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite, before anything is changed.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range, a gradient is not a writeable floating array, or the norm is
        not finite and `error_if_nonfinite` is set.

    Notes
    -----
    Unlike in PyTorch, where a parameter knows its gradient, the argument is the model: `parameters()` are plain arrays
    here. The norm is accumulated in float64. A norm that is not finite spoils the gradients, as in PyTorch: infinity
    makes them 0 or NaN, NaN makes all NaN.

    Examples
    --------
    >>> from fastnn import nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.grad_weight[...] = 3.0, 4.0
    >>> nn.utils.clip_grad_norm_(layer, 1.0)
    5.0
    >>> layer.grad_weight.round(4)
    array([[0.6, 0.8]], dtype=float32)
    """
    where = "clip_grad_norm_"
    gradients = _gradients(where, model)
    max_norm = number(where, "max_norm", max_norm, low=0)
    if norm_type != math.inf:
        norm_type = number(where, "norm_type", norm_type, above=0)
    norm = _norm(gradients, norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(f"{where}: expected gradients of finite norm, got {norm}")
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        for gradient in gradients:
            backend.ops.scale_(gradient, factor)
    return norm


def clip_grad_value_(model: Module, clip_value: float) -> None:
    """Clip every element of the gradients to [-clip_value, clip_value], in place; NaN stays NaN.

    Parameters
    ----------
    model : Module
        Or anything with `grad_parameters()`, a list of live gradient arrays.
    clip_value : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range, or a gradient is not a writeable floating array.

    Examples
    --------
    >>> from fastnn import nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.grad_weight[...] = 3.0, -0.5
    >>> nn.utils.clip_grad_value_(layer, 1.0)
    >>> layer.grad_weight
    array([[ 1. , -0.5]], dtype=float32)
    """
    gradients = _gradients("clip_grad_value_", model)
    limit = number("clip_grad_value_", "clip_value", clip_value, low=0)
    for gradient in gradients:
        backend.ops.clip_(gradient, -limit, limit)


def _gradients(where: str, model: Any) -> list[Array]:
    """The gradients of a model, each a writeable floating array."""
    if not hasattr(model, "grad_parameters"):
        raise TypeError(f"{where}: expected a model with grad_parameters(), got {type(model).__name__}")
    return [updated(where, "gradient", gradient) for gradient in model.grad_parameters()]


def _norm(gradients: list[Array], p: float) -> float:
    if p == 2:
        return math.sqrt(sum(backend.ops.square_sum(gradient) for gradient in gradients))
    sizes = [np.abs(gradient, dtype=np.float64) for gradient in gradients if gradient.size]
    if p == math.inf:
        return float(np.max([size.max() for size in sizes], initial=0.0))
    return float(sum(float((size**p).sum()) for size in sizes) ** (1 / p))

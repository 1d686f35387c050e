"""Optimisers' updates and clipping, in place on the parameter and its states; hyper-parameters are floats.

Running means of gradients that shrink below the smallest normal number become 0: where a gradient has become 0 they
would stay there for ever, and arithmetic is a hundred times slower there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import checks

_States = dict[int, np.ndarray]  # of an optimiser, by the index of the parameter


@np.errstate(all="ignore")
def sgd_update(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """g += wd p; v = g at the first step, else momentum v + (1 - dampening) g; p -= lr (g + momentum v, or v, or g).

    velocity is None without momentum.
    """
    param, grad, velocity = checks.update("SGD", param, grad, ("velocity",), velocity=velocity)
    _descend(param, grad, velocity, lr, momentum, 1 - dampening, weight_decay, nesterov, first)


def _flushed(mean: np.ndarray) -> np.ndarray:
    return np.where(np.abs(mean) < np.finfo(mean.dtype).tiny, 0, mean)


@np.errstate(all="ignore")
def _descend(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    momentum: float,
    share: float,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
) -> None:
    grad = grad + weight_decay * param if weight_decay else grad
    if velocity is not None:
        velocity[...] = _flushed(grad if first else momentum * velocity + share * grad)
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def momentum_update(
    param: np.ndarray, grad: np.ndarray, velocity: np.ndarray | None, lr: float, momentum: float
) -> None:
    """v = momentum v + lr g; p -= v: the learning rate is within the velocity."""
    param, grad, velocity = checks.update("SGD", param, grad, velocity=velocity)
    _descend(param, grad, velocity, 1.0, momentum, lr)


def _flat(params: Any, grads: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of a parameter and its gradient from lists nested alike."""
    for param, grad in zip(params, grads, strict=False):
        if isinstance(param, (list, tuple)):
            yield from _flat(param, grad)
        else:
            yield param, grad


def _ordinary(array: Any, like: Any) -> bool:
    """Whether `array` can be updated with `like`: exact arrays of one floating dtype, shape and order, writeable."""
    return (
        type(array) is type(like) is np.ndarray
        and array.dtype == like.dtype
        and array.dtype in checks.FLOATS
        and array.shape == like.shape
        and array.flags.behaved
        and like.flags.aligned
        and any(array.flags[order] and like.flags[order] for order in ("C_CONTIGUOUS", "F_CONTIGUOUS"))
    )


def _all_ordinary(params: Any, grads: Any, *states: Any) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """The pairs of two lists nested alike, or None where one of them or of its states (by index) is not ordinary."""
    if not isinstance(params, (list, tuple)) or not isinstance(grads, (list, tuple)):
        return None
    try:
        pairs = list(_flat(params, grads))
    except (TypeError, RecursionError):  # a list beside an array; a list that holds itself
        return None
    fit = all(isinstance(s, dict) for s in states) and all(
        _ordinary(p, g) and all(_ordinary(s.get(i), g) for s in states) for i, (p, g) in enumerate(pairs)
    )
    return pairs if fit else None


def sgd_updates(
    params: Any,
    grads: Any,
    velocities: _States | None,
    lr: float,
    momentum: float,
    share: float,
    weight_decay: float,
    nesterov: bool,
) -> bool:
    """`sgd_update`, not the first, of every parameter in lists nested alike -> True; share is 1 - dampening.

    The velocities are a dict by index, or None without momentum. False, with nothing changed, where an array is not
    ordinary.
    """
    pairs = _all_ordinary(params, grads, *(() if velocities is None else (velocities,)))
    for index, (param, grad) in enumerate(pairs or ()):
        velocity = None if velocities is None else velocities[index]
        _descend(param, grad, velocity, lr, momentum, share, weight_decay, nesterov)
    return pairs is not None


def adam_updates(
    params: Any,
    grads: Any,
    means: Any,
    squares: Any,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: float,
) -> bool:
    """`adam_update` without v_max in the same manner."""
    pairs = _all_ordinary(params, grads, means, squares)
    for index, (param, grad) in enumerate(pairs or ()):
        moments = means[index], squares[index], None
        adam_update(param, grad, *moments, lr, beta1, beta2, eps, weight_decay, decoupled, step)
    return pairs is not None


@np.errstate(all="ignore")
def adam_update(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    v_max: np.ndarray | None,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: float,
) -> None:
    """Adam (Kingma and Ba, 2015) and, decoupled, AdamW (Loshchilov and Hutter, 2019); v_max is None but for AMSGrad.

    `step` counts from 1.
    """
    param, grad, m, v, v_max = checks.update("Adam", param, grad, ("v_max",), m=m, v=v, v_max=v_max)
    if decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    m[...] = _flushed(beta1 * m + (1 - beta1) * grad)
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    if v_max is not None:
        np.maximum(v_max, v, out=v_max)
    divisor = np.sqrt(v if v_max is None else v_max) / math.sqrt(1 - beta2**step) + eps
    param -= lr / (1 - beta1**step) * m / divisor


@np.errstate(all="ignore")
def rmsprop_update(
    param: np.ndarray,
    grad: np.ndarray,
    square_mean: np.ndarray,
    grad_mean: np.ndarray | None,
    velocity: np.ndarray | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """RMSprop (Tieleman and Hinton, 2012); grad_mean is None unless centred, velocity unless momentum is used."""
    param, grad, square_mean, grad_mean, velocity = checks.update(
        "RMSprop",
        param,
        grad,
        ("grad_mean", "velocity"),
        square_mean=square_mean,
        grad_mean=grad_mean,
        velocity=velocity,
    )
    grad = grad + weight_decay * param if weight_decay else grad
    square_mean[...] = alpha * square_mean + (1 - alpha) * grad * grad
    variance = square_mean
    if grad_mean is not None:
        grad_mean[...] = _flushed(alpha * grad_mean + (1 - alpha) * grad)
        variance = square_mean - grad_mean * grad_mean
    change = grad / (np.sqrt(variance) + eps)
    if velocity is not None:
        velocity[...] = _flushed(momentum * velocity + change)
        change = velocity
    param -= lr * change


@np.errstate(all="ignore")
def adagrad_update(
    param: np.ndarray, grad: np.ndarray, square_sum: np.ndarray, lr: float, eps: float, weight_decay: float
) -> None:
    """Adagrad (Duchi et al., 2011): s += g^2; p -= lr g / (sqrt(s) + eps)."""
    param, grad, square_sum = checks.update("Adagrad", param, grad, square_sum=square_sum)
    grad = grad + weight_decay * param if weight_decay else grad
    square_sum += grad * grad
    param -= lr * grad / (np.sqrt(square_sum) + eps)


@np.errstate(all="ignore")
def square_sum(array: np.ndarray) -> float:
    """The sum of the squares of all elements, as a float; for gradient norms."""
    array = checks.floating("square_sum", "array", array)
    return float(np.square(array, dtype=np.float64).sum())


@np.errstate(all="ignore")
def scale_(array: np.ndarray, factor: float) -> None:
    """In place: array *= factor."""
    array = checks.updated("scale_", "array", array)
    array *= array.dtype.type(factor)


def clip_(array: np.ndarray, low: float, high: float) -> None:
    """In place: every element to [low, high]; NaN stays NaN."""
    array = checks.updated("clip_", "array", array)
    np.clip(array, low, high, out=array)

"""Optimisers: SGD, Adam, AdamW, RMSprop, Adagrad.

Formulas, defaults and the names of the state arrays are PyTorch's. Each update is one pass of the back end over the
arrays of a parameter, in the dtype of the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import backend
from .base import ANY, NON_NEGATIVE, Array, Optimizer, State


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g, with momentum v = momentum v + (1 - dampening) g, p -= lr v.

    Parameters
    ----------
    model : Module
    lr, momentum, weight_decay : float
        At least 0. Weight decay adds weight_decay p to g.
    dampening : float
    nesterov : bool
        p -= lr (g + momentum v); needs momentum > 0 and dampening 0.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is of the wrong type or out of range.

    Notes
    -----
    As in PyTorch, the first v is g itself. State: momentum_buffer.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight[...], layer.grad_weight[...] = 1.0, 2.0
    >>> optim.SGD(layer, lr=0.25).step()
    >>> layer.weight
    array([[0.5]], dtype=float32)
    """

    state_names = ("momentum_buffer",)
    rules: ClassVar[dict[str, Any]] = {
        "lr": NON_NEGATIVE,
        "momentum": NON_NEGATIVE,
        "dampening": ANY,
        "weight_decay": NON_NEGATIVE,
        "nesterov": "flag",
    }
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            model, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        checked = super()._checked(values)
        if checked["nesterov"] and (checked["momentum"] == 0 or checked["dampening"] != 0):
            got = f"{checked['momentum']:g} and {checked['dampening']:g}"
            raise ValueError(f"SGD: expected momentum > 0 and dampening 0 with nesterov, got {got}")
        return checked

    def _state_names(self) -> Sequence[str]:
        return self.state_names if self.momentum else ()

    def update_param(self, param: Array, grad: Array, state: State, first: bool) -> None:
        velocity = state["momentum_buffer"] if self.momentum else None
        backend.ops.sgd_update(
            param, grad, velocity, self.lr, self.momentum, self.dampening, self.weight_decay, self.nesterov, first
        )

    def update_all(self, params: list[Array], grads: list[Array], states: list[State]) -> bool:
        velocities = _by_index(states, "momentum_buffer") if self.momentum else None
        return backend.ops.sgd_updates(
            params, grads, velocities, self.lr, self.momentum, 1 - self.dampening, self.weight_decay, self.nesterov
        )

    def native(self) -> tuple[str, tuple[float, ...]] | None:
        numbers = self.lr, self.momentum, 1 - self.dampening, self.weight_decay, self.nesterov
        return ("sgd", numbers) if type(self) is SGD else None


class Adam(Optimizer):
    """Adam: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= lr m' / (sqrt(v') + eps), m' and v' bias-corrected.

    Parameters
    ----------
    model : Module
    lr, eps, weight_decay : float
        At least 0. Weight decay adds weight_decay p to g.
    betas : (float, float)
        b1 and b2, in [0, 1).
    amsgrad : bool
        Use the largest v so far in place of v.

    Attributes
    ----------
    eps_hat : bool
        True: eps is added to sqrt(v) instead, before the correction, as in scikit-learn and in the last lines of the
        paper's section 2. False at first.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is of the wrong type or out of range.

    Notes
    -----
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Reddi et al., "On the convergence of Adam and
    beyond", 2018. State: exp_avg (m), exp_avg_sq (v), max_exp_avg_sq.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight[...], layer.grad_weight[...] = 1.0, 2.0
    >>> optim.Adam(layer, lr=0.25).step()
    >>> layer.weight
    array([[0.75]], dtype=float32)
    """

    state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    rules: ClassVar[dict[str, Any]] = {
        "lr": NON_NEGATIVE,
        "betas": "shares",
        "eps": NON_NEGATIVE,
        "weight_decay": NON_NEGATIVE,
        "amsgrad": "flag",
    }
    options: ClassVar[tuple[str, ...]] = (*Optimizer.options, "eps_hat")
    _decoupled = False
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(model, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)
        self.eps_hat = False

    def _eps(self, step: int) -> float:
        """What is added to the root of v' at a step."""
        return self.eps / math.sqrt(1 - self.betas[1] ** step) if self.eps_hat else self.eps

    def _state_names(self) -> Sequence[str]:
        return self.state_names if self.amsgrad else self.state_names[:2]

    def update_param(self, param: Array, grad: Array, state: State, first: bool) -> None:
        backend.ops.adam_update(
            param,
            grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            state["max_exp_avg_sq"] if self.amsgrad else None,
            self.lr,
            *self.betas,
            self._eps(state["step"]),
            self.weight_decay,
            self._decoupled,
            state["step"],
        )

    def update_all(self, params: list[Array], grads: list[Array], states: list[State]) -> bool:
        steps = {state["step"] for state in states}
        if self.amsgrad or len(steps) != 1:
            return False
        means, squares = _by_index(states, "exp_avg"), _by_index(states, "exp_avg_sq")
        step = steps.pop() + 1
        return backend.ops.adam_updates(
            params,
            grads,
            means,
            squares,
            self.lr,
            *self.betas,
            self._eps(step),
            self.weight_decay,
            self._decoupled,
            step,
        )

    def native(self) -> tuple[str, tuple[float, ...]] | None:
        numbers = self.lr, *self.betas, self.eps, self.weight_decay, self._decoupled, self.eps_hat
        return ("adam", numbers) if type(self) in (Adam, AdamW) else None


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr weight_decay first, and g stays as it is.

    Parameters
    ----------
    model : Module
    lr, betas, eps, weight_decay, amsgrad
        As in `Adam`.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is of the wrong type or out of range.

    Notes
    -----
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. State: as Adam's.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optim.AdamW(nn.Linear(1, 1))
    AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False)
    """

    _decoupled = True

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay, amsgrad)


class RMSprop(Optimizer):
    """RMSprop: s = alpha s + (1 - alpha) g^2, p -= lr g / (sqrt(s) + eps).

    Parameters
    ----------
    model : Module
    lr, alpha, eps, weight_decay, momentum : float
        At least 0. Weight decay adds weight_decay p to g. With momentum, v = momentum v + g / (sqrt(s) + eps) and
        p -= lr v.
    centered : bool
        Subtract the square of the running mean of g from s under the root.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is of the wrong type or out of range.

    Notes
    -----
    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012; centred: Graves, "Generating
    sequences with recurrent neural networks", 2013. State: square_avg (s), grad_avg, momentum_buffer (v).

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight[...], layer.grad_weight[...] = 1.0, 2.0
    >>> optim.RMSprop(layer, lr=0.25, alpha=0.75).step()
    >>> layer.weight
    array([[0.5]], dtype=float32)
    """

    state_names = ("square_avg", "grad_avg", "momentum_buffer")
    rules: ClassVar[dict[str, Any]] = {
        "lr": NON_NEGATIVE,
        "alpha": NON_NEGATIVE,
        "eps": NON_NEGATIVE,
        "weight_decay": NON_NEGATIVE,
        "momentum": NON_NEGATIVE,
        "centered": "flag",
    }
    alpha: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool

    def __init__(
        self,
        model: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            model, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered
        )

    def _state_names(self) -> Sequence[str]:
        wanted = True, self.centered, self.momentum
        return [name for name, want in zip(self.state_names, wanted, strict=True) if want]

    def update_param(self, param: Array, grad: Array, state: State, first: bool) -> None:
        backend.ops.rmsprop_update(
            param,
            grad,
            state["square_avg"],
            state["grad_avg"] if self.centered else None,
            state["momentum_buffer"] if self.momentum else None,
            self.lr,
            self.alpha,
            self.eps,
            self.weight_decay,
            self.momentum,
        )

    def native(self) -> tuple[str, tuple[float, ...]] | None:
        numbers = self.lr, self.alpha, self.eps, self.weight_decay, self.momentum
        return ("rmsprop", numbers) if type(self) is RMSprop else None


class Adagrad(Optimizer):
    """Adagrad: s += g^2, p -= lr g / (sqrt(s) + eps).

    Parameters
    ----------
    model : Module
    lr, lr_decay, weight_decay, initial_accumulator_value, eps : float
        At least 0. In update k, counted from 0, lr / (1 + k lr_decay) is used; weight decay adds weight_decay p to g;
        initial_accumulator_value is the first s.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is of the wrong type or out of range.

    Notes
    -----
    Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", 2011. State: sum (s).

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight[...], layer.grad_weight[...] = 1.0, 2.0
    >>> optim.Adagrad(layer, lr=0.25).step()
    >>> layer.weight
    array([[0.75]], dtype=float32)
    """

    state_names = ("sum",)
    rules: ClassVar[dict[str, Any]] = {
        "lr": NON_NEGATIVE,
        "lr_decay": NON_NEGATIVE,
        "weight_decay": NON_NEGATIVE,
        "initial_accumulator_value": NON_NEGATIVE,
        "eps": NON_NEGATIVE,
    }
    lr_decay: float
    weight_decay: float
    initial_accumulator_value: float
    eps: float

    def __init__(
        self,
        model: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            model,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def _initial(self, name: str, param: Array) -> Array:
        return backend.aligned(np.full_like(param, self.initial_accumulator_value))

    def update_param(self, param: Array, grad: Array, state: State, first: bool) -> None:
        lr = self.lr / (1 + (state["step"] - 1) * self.lr_decay)
        backend.ops.adagrad_update(param, grad, state["sum"], lr, self.eps, self.weight_decay)

    def native(self) -> tuple[str, tuple[float, ...]] | None:
        numbers = self.lr, self.eps, self.weight_decay, self.lr_decay
        return ("adagrad", numbers) if type(self) is Adagrad else None


def _by_index(states: list[State], name: str) -> dict[int, Array]:
    return {index: state[name] for index, state in enumerate(states)}

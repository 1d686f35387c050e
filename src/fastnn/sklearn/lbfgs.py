"""Training on all rows at once with SciPy's L-BFGS-B: the loss and its gradient as functions of one vector."""

from __future__ import annotations

import warnings
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

from ..callbacks import CallbackList
from ..progress import shown
from .network import CRITERIONS, Network
from .rows import blocks, dense, is_thin

Array = np.ndarray


class Objective:
    """The loss with its penalty, and its gradient, at a vector of all coefs and then all intercepts, in float64.

    The rows are taken block by block, so that the layers' outputs need little memory.
    """

    def __init__(self, estimator: Any, X: Any, y: Array, weights: Array | None) -> None:
        self.X, self.y, self.weights, self.alpha = X, y, weights, estimator.alpha
        shapes = [array.shape for array in (*estimator.coefs_, *estimator.intercepts_)]
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        self.vector, self.gradient = np.empty(ends[-1]), np.empty(ends[-1])
        self.arrays, gradients = (
            [flat[start:end].reshape(shape) for (start, end), shape in zip(pairwise(ends), shapes, strict=True)]
            for flat in (self.vector, self.gradient)
        )
        layers = len(estimator.coefs_)
        self.width = max(max(coef.shape) for coef in estimator.coefs_)
        self.decayed = int(ends[layers])
        self.network = Network(
            self.arrays[:layers], self.arrays[layers:], estimator._activations(), estimator.out_activation_
        )
        for linear, coef, intercept in zip(self.network.linears, gradients[:layers], gradients[layers:], strict=True):
            linear.grad_weight, linear.grad_bias = coef.T, intercept
        self.criterion = CRITERIONS[estimator.out_activation_]("sum")
        self.outputs = estimator.n_outputs_ if estimator.out_activation_ == "identity" else 1
        self.total = float(X.shape[0] if weights is None else weights.sum())
        self.constant = 0.0
        if estimator.out_activation_ == "exp":
            self.constant = float(np.average((xlogy(y, y) - y).sum(axis=1), weights=weights))

    def __call__(self, vector: Array) -> tuple[float, Array]:
        self.vector[...] = vector
        self.gradient.fill(0)
        thin, loss = is_thin(self.X), 0.0
        model = self.network.thin_model if thin else self.network.model
        for block in blocks(self.X.shape[0], self.width):
            x, y = (self.X[block] if thin else dense(self.X, block)).astype(np.float64, copy=False), self.y[block]
            y = y if y.dtype.kind in "iu" else y.astype(np.float64, copy=False)
            weights = None if self.weights is None else self.weights[block]
            output = model.forward(x)
            loss += self.criterion.forward(output, y, weights)
            model.acc_grad_params(x, self.criterion.backward(output, y, weights))
        decayed = self.vector[: self.decayed]
        penalty = 0.5 * self.alpha * float(decayed @ decayed) / self.total
        loss = loss / self.total / self.outputs + self.constant + penalty
        gradient = self.gradient / self.total
        gradient[: self.decayed] += self.alpha / self.total * decayed
        return loss, gradient


def fit(estimator: Any, X: Any, y: Array, weights: Array | None) -> None:
    """Train the network of an estimator on all rows at once."""
    objective = Objective(estimator, X, y, weights)
    arrays = [*estimator.coefs_, *estimator.intercepts_]
    start = np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
    hooks = CallbackList(type(estimator).__name__, estimator.callbacks or (), batches=False)
    before = perf_counter()

    def on_iteration(intermediate_result: Any) -> None:
        nonlocal before
        estimator.n_iter_ += 1
        estimator.loss_ = float(intermediate_result.fun)
        record = {"epoch": estimator.n_iter_, "loss": estimator.loss_, "seconds": perf_counter() - before}
        _write(arrays, objective, intermediate_result.x)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        on_rows(X.shape[0])
        on_epoch(record)
        hooks.on_epoch_end(estimator, record)
        before = perf_counter()
        if estimator.stop_training:
            raise StopIteration

    estimator.n_iter_ = 0
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    with (
        hooks.training(estimator),
        shown(bool(estimator.progress), estimator.max_iter, X.shape[0]) as (on_rows, on_epoch),
    ):
        try:
            result = minimize(objective, start, method="L-BFGS-B", jac=True, options=options, callback=on_iteration)
        except KeyboardInterrupt:
            name = type(estimator).__name__
            warnings.warn(f"{name}: training interrupted, the network is that of the last iteration", stacklevel=5)
            return
        _write(arrays, objective, result.x)
        estimator.n_iter_, estimator.loss_ = min(result.nit, estimator.max_iter), float(result.fun)
    if result.status != 0 and not estimator.stop_training:
        warnings.warn(
            f"{type(estimator).__name__}: no convergence of lbfgs in {estimator.n_iter_} iterations: {result.message}",
            ConvergenceWarning,
            stacklevel=5,
        )


def _write(arrays: list[Array], objective: Objective, vector: Array) -> None:
    """Write a vector into the arrays of an estimator."""
    objective.vector[...] = vector
    for array, values in zip(arrays, objective.arrays, strict=True):
        array[...] = values

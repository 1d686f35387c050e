"""The network of an estimator: layers over its `coefs_` and `intercepts_`, and what they make of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import backend, nn
from ..program import Inference
from .rows import blocks, dense, is_sparse, is_thin

Array = np.ndarray

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "hardtanh": nn.Hardtanh,
}
OUTPUTS: dict[str, Callable[[], nn.Module]] = {"softmax": nn.Softmax, "logistic": nn.Sigmoid}
CRITERIONS: dict[str, Callable[[str], nn.Criterion]] = {  # by the activation of the output, before which they come
    "softmax": lambda reduction: nn.CrossEntropyLoss(reduction=reduction),
    "logistic": nn.BCEWithLogitsLoss,
    "identity": nn.HalfMSELoss,
    "exp": nn.PoissonNLLLoss,
}


class ThinLinear(nn.Module):
    """A linear layer for rows of a CSR matrix of which few elements are not zero: its products take these alone.

    Parameters
    ----------
    linear : Linear
        Whose parameters and gradients these are.
    """

    param_names = ("weight", "bias")

    def __init__(self, linear: nn.Linear) -> None:
        self._of = (linear,)  # in a tuple it is no child

    weight = property(lambda self: self._of[0].weight)
    bias = property(lambda self: self._of[0].bias)
    grad_weight = property(lambda self: self._of[0].grad_weight)
    grad_bias = property(lambda self: self._of[0].grad_bias)

    def update_output(self, input: Any) -> Array:
        output: Array = input @ self.weight.T
        output += self.bias
        return output

    def acc_grad_params(self, input: Any, grad_output: Array) -> None:
        linear = self._of[0]
        linear.grad_weight.T[...] += input.T @ grad_output
        linear.grad_bias += grad_output.sum(axis=0)


class Network:
    """Layers whose weights are views of an estimator's arrays.

    Parameters
    ----------
    coefs, intercepts : list of ndarray, shapes (n_in, n_out) and (n_out,)
        Of all layers. What is written to them later counts.
    activations : sequence of str
        One a hidden layer.
    out_activation : {"softmax", "logistic", "identity", "exp"}
    dropouts : sequence of Dropout
    batch_norms : sequence of BatchNorm1d
        None, or one a hidden layer.

    Attributes
    ----------
    model : Sequential
        From the rows to what the activation of the output takes.
    thin_model : Sequential
        The same of the rows of a sparse matrix, with the same arrays, in Python.
    """

    def __init__(
        self,
        coefs: list[Array],
        intercepts: list[Array],
        activations: Sequence[str],
        out_activation: str,
        dropouts: Sequence[nn.Dropout] = (),
        batch_norms: Sequence[nn.BatchNorm1d] = (),
    ) -> None:
        self.out_activation = out_activation
        self._of = list(activations), [bool(layer.p) for layer in dropouts]
        self.linears = [linear(coef, intercept) for coef, intercept in zip(coefs, intercepts, strict=True)]
        self._bound = list(zip(coefs, intercepts, strict=True))
        layers: list[nn.Module] = []
        for number, layer in enumerate(self.linears[:-1]):
            layers.append(layer)
            if batch_norms:
                layers.append(batch_norms[number])
            if activations[number] != "identity":
                layers.append(ACTIVATIONS[activations[number]]())
            if dropouts and dropouts[number].p:
                layers.append(dropouts[number])
        self.model = nn.Sequential(*layers, self.linears[-1])
        output = [OUTPUTS[out_activation]()] if out_activation in OUTPUTS else []
        self._infer = Inference(nn.Sequential(*self.model, *output))
        thin, rest = ThinLinear(self.linears[0]), self.model[1:]
        self.thin_model = nn.Sequential(thin, *rest)
        self._thin, self._infer_rest = thin, Inference(nn.Sequential(*rest, *output))

    def consists_of(self, activations: Sequence[str], dropouts: Sequence[nn.Dropout]) -> bool:
        """Whether these are its layers, so that no other network is needed."""
        return self._of == (list(activations), [bool(layer.p) for layer in dropouts])

    def bind(self, coefs: list[Array], intercepts: list[Array]) -> Network:
        """Follow arrays that were put in the place of others; returns the network."""
        pairs = list(zip(coefs, intercepts, strict=True))
        for number, (layer, pair) in enumerate(zip(self.linears, pairs, strict=True)):
            if pair[0] is not self._bound[number][0] or pair[1] is not self._bound[number][1]:
                assign(layer, *pair)
                self._bound[number] = pair
        return self

    def output(self, X: Any) -> Array:
        """The activation of the output at all rows of X, dense or sparse: shape (rows, n_outputs)."""
        if is_thin(X):
            width = len(self.linears[0].weight)
            parts = [self._infer_rest(self._thin.update_output(X[block])) for block in blocks(X.shape[0], width)]
        elif is_sparse(X):
            parts = [self._dense_output(dense(X, block)) for block in blocks(X.shape[0], X.shape[1])]
        else:
            parts = [self._dense_output(np.asarray(X))]
        output = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return np.exp(output, out=output) if self.out_activation == "exp" else output

    def _dense_output(self, X: Array) -> Array:
        return self._infer(X.astype(np.result_type(X, self.linears[0].weight), copy=False))


def linear(coef: Array, intercept: Array) -> nn.Linear:
    """A layer whose weight is a view of `coef`; no random numbers are drawn for it."""
    layer = nn.Linear(1, 1, rng=0)
    layer.in_features, layer.out_features = coef.shape
    assign(layer, coef, intercept)
    return layer


def assign(layer: nn.Linear, coef: Array, intercept: Array) -> None:
    """Give a layer other arrays."""
    layer.weight, layer.bias = np.asarray(coef).T, np.asarray(intercept)
    layer.grad_weight, layer.grad_bias = np.zeros_like(layer.weight), np.zeros_like(layer.bias)


def trainable(array: Array, dtype: Any) -> Array:
    """The array itself if a compiled step can train it, else a copy."""
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray:
        return array
    return backend.aligned(np.array(array, dtype, order="C"))


def make_trainable(norm: nn.BatchNorm1d) -> None:
    """Give batch normalisation, which may come from a read-only memory map, arrays that can be written to."""
    for name in (*norm.param_names, *(f"grad_{name}" for name in norm.param_names), *norm.buffer_names):
        array = getattr(norm, name)
        setattr(norm, name, trainable(array, array.dtype))


def glorot(units: Sequence[int], activations: Sequence[str], dtype: Any, rng: Any) -> tuple[list[Array], list[Array]]:
    """Initial coefs and intercepts of layers of these widths, drawn as scikit-learn draws them.

    Uniform in (-b, b), b = sqrt(6 / (n_in + n_out)), or sqrt(2 / ...) for a logistic layer; the output layer counts as
    the last hidden one (Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010).
    """
    coefs, intercepts = [], []
    for number, (n_in, n_out) in enumerate(pairwise(units)):
        factor = 2.0 if activations[number] == "logistic" else 6.0
        bound = np.sqrt(factor / (n_in + n_out))
        coefs.append(trainable(rng.uniform(-bound, bound, (n_in, n_out)), dtype))
        intercepts.append(trainable(rng.uniform(-bound, bound, n_out), dtype))
    return coefs, intercepts

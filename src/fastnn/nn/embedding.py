"""Vectors for whole numbers: `Embedding`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..arguments import float_dtype, integer, positive_int
from ..checks import floating, shape
from ..random import generator
from .module import Array, Module


class Embedding(Module):
    """A table of vectors: the output for the number i is row i of the weight.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table, at least 1. The input has integers in [0, num_embeddings).
    padding_idx : int, optional
        A row, from the end if negative, that is zero at first and gets no gradient.
    dtype : dtype
        Of the parameters, float32 or float64.
    rng : numpy.random.Generator, int or None
        Source of the initial values, which are standard normal.

    Attributes
    ----------
    weight, grad_weight : ndarray (num_embeddings, embedding_dim)

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input is not of integers.
    IndexError
        In use: a number has no row.

    Notes
    -----
    There is no derivative by integers: the gradient by the input is zero, so that the layer can stand in a container.
    `fastnn.compile` has a form of models that begin with such layers; int64 input is taken as it is.
    Names and initial values are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.Embedding(3, 2)
    >>> layer.weight[...] = [[0, 1], [10, 11], [20, 21]]
    >>> layer.forward([[2, 0]])
    array([[[20., 21.],
            [ 0.,  1.]]], dtype=float32)
    """

    param_names = ("weight",)
    config_names = ("num_embeddings", "embedding_dim", "padding_idx")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.num_embeddings = positive_int("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = positive_int("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = None
        if padding_idx is not None:
            place = integer("Embedding", "padding_idx", padding_idx)
            if not -self.num_embeddings <= place < self.num_embeddings:
                raise ValueError(f"Embedding: expected padding_idx of a row of {num_embeddings}, got {padding_idx}")
            self.padding_idx = place % self.num_embeddings
        dtype, rng = float_dtype("Embedding", dtype), generator(rng)
        values = rng.standard_normal((self.num_embeddings, self.embedding_dim))
        self.weight: Array = backend.aligned(values.astype(dtype))
        if self.padding_idx is not None:
            self.weight[self.padding_idx] = 0
        self.grad_weight: Array = backend.aligned(np.zeros_like(self.weight))

    def extra_repr(self) -> str:
        """As PyTorch's."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "weight", "padding_idx")
        return tape.embedding(input, self.weight, self.padding_idx)

    def update_output(self, input: Array) -> Array:
        return backend.ops.embedding_forward(self.weight, input)

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        grad_output = floating("Embedding", "grad_output", grad_output)
        shape("Embedding", "grad_output", grad_output, (*np.shape(input), self.embedding_dim))
        return np.zeros(np.shape(input), grad_output.dtype)

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        backend.ops.embedding_backward(self.grad_weight, input, grad_output, self.padding_idx)

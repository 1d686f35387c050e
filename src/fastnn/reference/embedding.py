"""Rows of a table by their numbers."""

from __future__ import annotations

import numpy as np

from .. import checks


def embedding_forward(weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """weight (rows, cols), index of integers of any shape -> (*shape, cols)."""
    weight = checks.floating("Embedding", "weight", weight)
    checks.shape("Embedding", "weight", weight, ("num_embeddings", "embedding_dim"))
    return weight[checks.indices("Embedding", index, len(weight))]


@np.errstate(all="ignore")
def embedding_backward(
    grad_weight: np.ndarray, index: np.ndarray, grad_output: np.ndarray, padding_idx: int | None
) -> None:
    """In place: grad_weight[i] += the rows of grad_output (*shape, cols) where index is i, unless i is padding_idx."""
    checks.updated("Embedding", "grad_weight", grad_weight)
    checks.shape("Embedding", "grad_weight", grad_weight, ("num_embeddings", "embedding_dim"))
    index = checks.indices("Embedding", index, len(grad_weight))
    grad_output = checks.floating("Embedding", "grad_output", grad_output)
    checks.shape("Embedding", "grad_output", grad_output, (*index.shape, grad_weight.shape[1]))
    kept = np.ones(index.shape, bool) if padding_idx is None else index != padding_idx
    np.add.at(grad_weight, index[kept], grad_output[kept])

"""Linear maps."""

from __future__ import annotations

import numpy as np

from .. import checks


@np.errstate(all="ignore")
def linear_forward(input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """y = x W^T + b: input (N, in), weight (out, in), bias (out,) or None -> (N, out)."""
    weight, input, bias, _ = checks.linear("Linear", weight=weight, input=input, bias=bias)
    output = input @ weight.T
    return output if bias is None else output + bias


@np.errstate(all="ignore")
def linear_backward_input(grad_output: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """dx = dy W: grad_output (N, out), weight (out, in) -> (N, in)."""
    weight, _, _, grad_output = checks.linear("Linear", weight=weight, grad_output=grad_output)
    return grad_output @ weight


@np.errstate(all="ignore")
def linear_backward_params(
    input: np.ndarray, grad_output: np.ndarray, grad_weight: np.ndarray, grad_bias: np.ndarray | None
) -> None:
    """In place: grad_weight += dy^T x and, unless it is None, grad_bias += sum over the batch of dy."""
    checks.updated("Linear", "grad_weight", grad_weight)
    if grad_bias is not None:
        checks.updated("Linear", "grad_bias", grad_bias)
    _, input, _, grad_output = checks.linear(
        "Linear", weight=grad_weight, input=input, bias=grad_bias, grad_output=grad_output
    )
    grad_weight += grad_output.T @ input
    if grad_bias is not None:
        grad_bias += grad_output.sum(axis=0)


@np.errstate(all="ignore")
def linear_gradients(input: np.ndarray, grad_output: np.ndarray, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
    """-> grad_weight = dy^T x (out, in) or, transposed, x^T dy (in, out), C-contiguous, and grad_bias = sum of dy."""
    input, grad_output = checks.linear_gradients("Linear", input, grad_output)
    grad_weight = input.T @ grad_output if transposed else grad_output.T @ input
    return grad_weight, grad_output.sum(axis=0)

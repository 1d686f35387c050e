"""The base of layers whose gradients by input, weight and bias come out of one call of the back end."""

from __future__ import annotations

import math
from typing import Any

from .module import Array, Module


class _JointGradients(Module):
    """A layer whose back end gives the three gradients (input, weight, bias) in one call, `_gradients`."""

    param_names: tuple[str, ...] = ("weight", "bias")
    weight: Array | None = None
    grad_weight: Array | None = None
    bias: Array | None = None
    grad_bias: Array | None = None
    _macs = 1  # multiply-adds for an element: x s + t, with the statistics folded into s and t

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, ...]:
        raise NotImplementedError

    def macs(self, shape: tuple[int, ...]) -> int:
        return self._macs * math.prod(shape)

    def backward(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input, kept as `self.grad_input`; adds to the gradients of the parameters."""
        hooks = type(self).update_grad_input, type(self).acc_grad_params
        if hooks != (_JointGradients.update_grad_input, _JointGradients.acc_grad_params):
            return super().backward(input, grad_output)  # a subclass has hooks of its own
        grad_input, *grads = self._gradients(input, grad_output)
        self._accumulate(grads)
        self.grad_input = grad_input
        return grad_input

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        return self._gradients(input, grad_output)[0]

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        if self.weight is not None or self.bias is not None:
            self._accumulate(self._gradients(input, grad_output)[1:])

    def _accumulate(self, grads: Any) -> None:
        if self.weight is not None:
            self.grad_weight += grads[0]
        if self.bias is not None:
            self.grad_bias += grads[1]

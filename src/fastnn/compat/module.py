"""What the layers of every dialect share: `Module`, its hooks, and `Sequential`.

Written in the spelling of `snake`; see naming.py. A hook may be overridden by a user's class, which may store its
result, return it, or both.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from ..checks import real
from .naming import reword

EXPECTED = (TypeError, ValueError)  # what the operations raise for arrays that they cannot take


class Told:
    """Errors of the operations in the words of the dialect."""

    _spelling: ClassVar[dict[str, str]] = {}
    _words: ClassVar[dict[str, str]] = {}  # a class's own: the operation's word -> the class's

    def _told(self, error: Exception, **words: str) -> Exception:
        """The error with the name of this class, and with the dialect's names of the arguments."""
        text = re.sub(r" or \(N, \w+, L\)", "", str(error).partition(": ")[2])  # no dialect has channels second
        gradients = {name: own for name, own in self._spelling.items() if name.startswith("grad")}
        for table in (words, self._words, gradients):
            text = reword(text, table)
        return type(error)(f"{type(self).__name__}: {text}")

    def _array(self, name: str, array: Any) -> np.ndarray:
        """`array` as NumPy would take it, with at least one axis."""
        if type(array) is not np.ndarray or array.dtype.kind not in "fiub":
            try:
                array = real("", name, array)
            except EXPECTED as error:
                raise self._told(error) from None
        if array.ndim == 0:
            raise self._told(ValueError(f": expected {name} of shape (N, ...), got ()"))
        return array


class Module(Told):
    """Base class of the layers: `forward(input)`, then `backward(input, grad_output)`.

    A layer of your own overrides the hooks `update_output`, `update_grad_input` and, with parameters,
    `update_grad_params`, `zero_grad_params`, `get_parameters` and `get_grad_params`; or `forward` and `backward`
    themselves.

    Attributes
    ----------
    output, grad_input
        What the last forward and backward gave; None at first.
    training : bool
        True at first and after `train()`, False after `evaluate()`.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> class Double(Module):
    ...     def update_output(self, input):
    ...         self.output = 2 * input
    ...         return self.output
    >>> Double().update_output(np.ones(2))
    array([2., 2.])
    """

    output: Any = None
    grad_input: Any = None
    training: bool = True

    def __init__(self) -> None:
        self.output = None
        self.grad_input = None
        self.training = True

    def forward(self, input: Any) -> Any:
        """The output at `input`."""
        before = self.output
        output = self.update_output(input)
        if output is None:
            return self.output
        if self.output is before:
            self.output = output
        return output

    def __call__(self, input: Any) -> Any:
        return self.forward(input)

    def backward(self, input: Any, grad_output: Any) -> Any:
        """The gradient by the input; computes the gradients of the parameters too."""
        before = self.grad_input
        grad_input = self.update_grad_input(input, grad_output)
        self.update_grad_params(input, grad_output)
        if self.grad_input is before and grad_input is not None:
            self.grad_input = grad_input
        return self.grad_input

    def update_output(self, input: Any) -> Any:
        """Hook: compute, store as `output` and return the output."""

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        """Hook: compute, store as `grad_input` and return the gradient by the input."""

    def update_grad_params(self, input: Any, grad_output: Any) -> None:
        """Hook: compute the gradients of the parameters."""

    def zero_grad_params(self) -> None:
        """Set the gradients of the parameters to zero."""

    def get_parameters(self) -> list[Any]:
        """The live parameter arrays."""
        return []

    def get_grad_params(self) -> list[Any]:
        """The gradients of the parameters, in the order of `get_parameters`."""
        return []

    def train(self) -> None:
        """Switch to training."""
        self.training = True

    def evaluate(self) -> None:
        """Switch to evaluation: Dropout passes its input on, BatchNormalization uses its moving statistics."""
        self.training = False

    def __repr__(self) -> str:
        return type(self).__name__


class Sequential(Module):
    """Layers one after another: the output of each is the input of the next. Without layers it is the identity.

    Parameters
    ----------
    *modules
        The first layers; `add` appends others.

    Attributes
    ----------
    modules
        The layers; they may be replaced at any time.
    propagate_modes : bool
        Class attribute: whether `train()` and `evaluate()` reach the layers (True), or change this container alone.

    Raises
    ------
    ValueError
        `backward` without a `forward` before it. What a layer raises carries the note "in Sequential[i] (its class)".

    Notes
    -----
    `backward(input, grad_output)` gives `input` to the first layer, and to each other one what the layer before it put
    out last.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> net = Sequential(Linear(3, 2), ReLU())
    >>> net.forward(np.ones((4, 3))).shape
    (4, 2)
    >>> Sequential(ReLU(), SoftMax())
    ReLU
    SoftMax
    <BLANKLINE>
    """

    propagate_modes = True
    _collection: type[Any] = list  # of the layers
    _keep_lists = False  # whether output and grad_input are lists: [input, o1, ..., on], [grad_output, ..., grad_input]
    _flat = False  # whether the lists of parameters are flat, or hold one list a layer
    _outputs: list[Any] | None = None  # of each layer in the last forward

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        self.modules = self._collection(modules)

    def add(self, module: Any) -> None:
        """Append a layer."""
        self.modules += self._collection([module])

    def update_output(self, input: Any) -> Any:
        outputs = [input]
        try:
            for module in self.modules:
                outputs.append(module.forward(outputs[-1]))
        except Exception as error:
            for module in self.modules[: len(outputs) - 1]:
                getattr(module, "_undo", _nothing)()
            self._note(error, len(outputs) - 1)
            raise
        self._outputs = outputs
        self.output = outputs if self._keep_lists else outputs[-1]
        return outputs[-1]

    def backward(self, input: Any, grad_output: Any) -> Any:
        gradients = [grad_output]
        index = len(self.modules)
        try:
            while index:
                index -= 1
                gradients.append(self.modules[index].backward(self._input_of(index, input), gradients[-1]))
        except Exception as error:
            self._note(error, index)
            raise
        self.grad_input = gradients if self._keep_lists else gradients[-1]
        return gradients[-1]

    def update_grad_input(self, input: Any, grad_output: Any) -> Any:
        gradient = grad_output
        for index in reversed(range(len(self.modules))):
            gradient = self.modules[index].update_grad_input(self._input_of(index, input), gradient)
        self.grad_input = gradient
        return gradient

    def _input_of(self, index: int, input: Any) -> Any:
        """What the layer got: in the last forward of this container, or, where it differs, of the layer before it."""
        if not index:
            return input
        before = None if self._keep_lists else getattr(self.modules[index - 1], "output", None)
        if before is None and self._outputs is not None:
            before = self._outputs[index]
        if before is None:
            raise ValueError(f"{type(self).__name__}: expected forward before backward")
        return before

    def _note(self, error: Exception, index: int) -> None:
        error.add_note(f"in {type(self).__name__}[{index}] ({type(self.modules[index]).__name__})")

    def _undo(self) -> None:
        """Take back what the last forward changed for good."""
        for module in self.modules:
            getattr(module, "_undo", _nothing)()

    def zero_grad_params(self) -> None:
        for module in self.modules:
            module.zero_grad_params()

    def get_parameters(self) -> list[Any]:
        lists = [module.get_parameters() for module in self.modules]
        return [array for layer in lists for array in layer] if self._flat else lists

    def get_grad_params(self) -> list[Any]:
        lists = [module.get_grad_params() for module in self.modules]
        return [array for layer in lists for array in layer] if self._flat else lists

    def train(self) -> None:
        super().train()
        if self.propagate_modes:
            for module in self.modules:
                getattr(module, "train", _nothing)()

    def evaluate(self) -> None:
        super().evaluate()
        if self.propagate_modes:
            for module in self.modules:
                getattr(module, "evaluate", _nothing)()

    def __getitem__(self, index: Any) -> Any:
        return self.modules[index]

    def __repr__(self) -> str:
        return "".join(f"{module}\n" for module in self.modules)


def _nothing() -> None:
    """What a layer without the method does."""

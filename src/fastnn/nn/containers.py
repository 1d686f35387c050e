"""What containers are made of; `Sequential`, which runs layers one after another; gradients of parameters alone.

Containers whose parts see the same input are in branches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeVar, overload

import numpy as np

from ..arguments import integer
from .module import Array, Module, from_config

Visit = Callable[[Module, Array, Array], Array]
Self = TypeVar("Self", bound="_Container")


class _Container(Module):
    """A list of layers, and how gradients go back: what `Sequential`, `Residual`, `Concat` and `Add` share.

    A container implements `update_output`, which ends with `_remember`, and `_reverse`.
    """

    _caches = (*Module._caches, "_seen", "_mode")
    _seen: Array | None = None  # the input of the last forward
    _mode: bool = True  # its mode

    def __init__(self, *layers: Module) -> None:
        self._layers: list[Module] = [self._checked(layer) for layer in layers]

    # The computation

    def backward(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input; every layer's `backward` is called, last layer first."""
        self.grad_input = grad_input = _total(self._reverse(input, grad_output, _backward, _backward))
        return grad_input

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input; the gradients of the parameters stay as they are."""
        return _total(self._reverse(input, grad_output, _update_grad_input, _update_grad_input))

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        """Add to the gradients of all layers: `backward` without the gradient by the input of the container.

        In training that is the gradient by the data, which nobody needs. `grad_input` stays as it is.
        """
        self._reverse(input, grad_output, _backward, accumulate)

    def _reverse(self, input: Array, grad_output: Array, visit: Visit, first: Visit) -> list[Array]:
        """Visit the layers, last one first, those that see the input of the container by `first`.

        The gradient by the input is the sum of the arrays that come back.
        """
        raise NotImplementedError

    def _remember(self, input: Array) -> None:
        self._seen, self._mode = input, self.training

    def _at(self, input: Array) -> None:
        """Run `forward` unless the last one was at this input in this mode."""
        seen = self._seen if self._mode == self.training else None
        if seen is None or not (input is seen or np.array_equal(input, seen, equal_nan=True)):
            self.forward(input)

    def _note(self, error: Exception, place: str, layer: Module) -> None:
        error.add_note(f"in {type(self).__name__}{place} ({type(layer).__name__})")

    @contextmanager
    def _noted(self, place: str, layer: Module) -> Iterator[None]:
        """Give errors that leave a layer a note that says where it stands."""
        try:
            yield
        except Exception as error:
            self._note(error, place, layer)
            raise

    # The list of layers

    def add(self: Self, layer: Module) -> Self:
        """Append a layer; returns the container, so that calls can be chained."""
        return self.extend([layer])

    append = add

    def extend(self: Self, layers: Iterable[Module]) -> Self:
        """Append several layers; returns the container."""
        self._change(slice(len(self), None), list(layers))
        return self

    def insert(self: Self, index: int, layer: Module) -> Self:
        """Insert a layer before position `index`, as `list.insert` does; returns the container."""
        self._change(slice(index, index), [layer])
        return self

    def _change(self, place: slice, layers: list[Module]) -> None:
        self._layers[place] = [self._checked(layer) for layer in layers]
        self._seen = None

    def _place(self, index: int | slice) -> slice:
        """The position(s) as a slice; negative positions count from the end."""
        if isinstance(index, slice):
            return index
        index, size = integer(type(self).__name__, "the index", index), len(self._layers)
        if not -size <= index < size:
            raise IndexError(f"{type(self).__name__}: expected an index in [{-size}, {size}), got {index}")
        return slice(index % size, index % size + 1)

    @classmethod
    def _checked(cls, layer: Any) -> Module:
        if not isinstance(layer, Module):
            got = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
            raise TypeError(f"{cls.__name__}: expected layers that are Modules, got {got}")
        return layer

    def __setitem__(self, index: int | slice, layer: Any) -> None:
        self._change(self._place(index), list(layer) if isinstance(index, slice) else [layer])

    def __delitem__(self, index: int | slice) -> None:
        del self._layers[self._place(index)]
        self._seen = None

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    def __contains__(self, layer: object) -> bool:
        return any(layer is own for own in self._layers)

    # The tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The layers, named by their positions; then modules that a subclass holds as attributes."""
        yield from ((str(index), layer) for index, layer in enumerate(self._layers))
        if type(self) is not Sequential:
            yield from super().named_children()

    def children(self) -> Iterator[Module]:
        """The layers, then modules that a subclass holds as attributes."""
        return iter(self._layers) if type(self) is Sequential else super().children()

    def config(self) -> dict[str, Any]:
        """The architecture as JSON-able values: the configurations of the layers."""
        arguments = {name: self._argument(name) for name in self.config_names}
        return {"type": super().config()["type"], **arguments, "modules": [layer.config() for layer in self._layers]}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Module:
        expected = {"modules", *cls.config_names}
        if set(arguments) != expected or not isinstance(arguments["modules"], (list, tuple)):
            named = " and ".join(["a list of modules", *cls.config_names])
            got = ", ".join(arguments) or "none"
            raise ValueError(f"from_config: expected {cls.__name__} with {named}, got {got}")
        layers = [from_config(config) for config in arguments["modules"]]
        return cls(*layers, **{name: arguments[name] for name in cls.config_names})


class _Chain(_Container):
    """Layers one after another, which keep the input of each until the next `forward`."""

    _caches = (*_Container._caches, "_inputs")
    _inputs: list[Array] | None = None  # of each layer in the last forward

    def _run(self, input: Array) -> tuple[Array, list[Array]]:
        """The output of the last layer, and the input of each; where one raises, those that ran are undone."""
        inputs: list[Array] = []
        try:
            for layer in self._layers:
                inputs.append(input)
                input = layer.forward(input)
        except Exception as error:
            undo(self._layers[: len(inputs) - 1])
            self._note(error, f"[{len(inputs) - 1}]", self._layers[len(inputs) - 1])
            raise
        return input, inputs

    def _run_back(self, grad_output: Array, visit: Visit, first: Visit) -> Array:
        """The gradient by the input of the first layer, by way of the inputs of the last forward."""
        inputs = self._inputs or []
        index = len(inputs)
        try:
            while index:
                index -= 1
                grad_output = (visit if index else first)(self._layers[index], inputs[index], grad_output)
        except Exception as error:
            self._note(error, f"[{index}]", self._layers[index])
            raise
        return grad_output

    def _lower_chain(self, tape: Any, input: Any) -> Any:
        for layer in self._layers:
            input = tape.layer(layer, input)
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        layers = self._layers[self._place(index)]
        if not isinstance(index, slice):
            return layers[0]
        part = Sequential(*layers)
        part.training = self.training
        return part


class Sequential(_Chain):
    """Layers one after another: the output of each is the input of the next.

    Parameters
    ----------
    *layers : Module
        In the order of the computation; more can follow with `add`. Without layers it is the identity.

    Raises
    ------
    TypeError
        A layer is not a `Module`.

    Notes
    -----
    `forward` keeps the input of every layer until the next `forward`. `backward(input, grad_output)` uses them if
    `input` is the array of the last `forward` or equal to it, in the same mode; otherwise it runs `forward` on `input`
    first. So it is always the derivative at the given input, provided that neither the array nor the parameters were
    changed in between. A layer that is used twice counts once among the parameters; do not use one `Dropout` twice,
    since its `backward` repeats the last mask.

    An exception that leaves layer i carries the note "in Sequential[i] (its class)".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).add(nn.Linear(2, 1))
    >>> model
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )
    >>> x = np.ones((4, 3), np.float32)
    >>> model.forward(x).shape
    (4, 1)
    >>> model.backward(x, np.ones((4, 1), np.float32)).shape
    (4, 3)
    """

    def update_output(self, input: Array) -> Array:
        output, self._inputs = self._run(input)
        self._remember(input)
        return output

    def _reverse(self, input: Array, grad_output: Array, visit: Visit, first: Visit) -> list[Array]:
        self._at(input)
        return [self._run_back(grad_output, visit, first)]

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch_list(self._layers)
        return self._lower_chain(tape, input)


def undo(layers: Iterable[Module]) -> None:
    """Take back what the last forward of these layers changed for good, last one first."""
    for layer in reversed(list(layers)):
        layer.undo_output()


def _total(gradients: list[Array]) -> Array:
    """Their sum; the only one itself."""
    return reduce(np.add, gradients)


def _backward(layer: Module, input: Array, grad_output: Array) -> Array:
    return layer.backward(input, grad_output)


def _update_grad_input(layer: Module, input: Array, grad_output: Array) -> Array:
    return layer.update_grad_input(input, grad_output)


def accumulate(model: Module, input: Array, grad_output: Array) -> Array:
    """Add to the gradients of the parameters, with no more work than that needs; returns `grad_output`."""
    if type(model).backward in (Module.backward, _Container.backward):
        model.acc_grad_params(input, grad_output)
    else:  # a class of the user's that may have no hooks
        model.backward(input, grad_output)
    return grad_output

"""Containers: `Sequential`, which runs layers one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import numpy as np

from ..arguments import integer
from .module import Array, Module, from_config

Visit = Callable[[Module, Array, Array], Array]


class Sequential(Module):
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

    _caches = (*Module._caches, "_inputs", "_mode")
    _inputs: list[Array] | None = None  # the input of each layer in the last forward
    _mode: bool = True  # the mode of the last forward

    def __init__(self, *layers: Module) -> None:
        self._layers: list[Module] = [_checked(layer) for layer in layers]

    # The computation

    def update_output(self, input: Array) -> Array:
        inputs: list[Array] = []
        try:
            for layer in self._layers:
                inputs.append(input)
                input = layer.forward(input)
        except Exception as error:
            for layer in reversed(self._layers[: len(inputs) - 1]):
                layer.undo_output()
            self._note(error, len(inputs) - 1)
            raise
        self._inputs, self._mode = inputs, self.training
        return input

    def backward(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input; every layer's `backward` is called, last layer first."""
        self.grad_input = grad_input = self._reverse(input, grad_output, _backward)
        return grad_input

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input; the gradients of the parameters stay as they are."""
        return self._reverse(input, grad_output, _update_grad_input)

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        """Add to the gradients of all layers: `backward` without the gradient by the input of the first layer.

        In training that is the gradient by the data, which nobody needs. `grad_input` stays as it is.
        """
        self._reverse(input, grad_output, _backward, accumulate)

    def _reverse(self, input: Array, grad_output: Array, visit: Visit, last: Visit | None = None) -> Array:
        last = last or visit
        inputs = self._inputs_at(input)
        index = len(inputs)
        try:
            while index:
                index -= 1
                grad_output = (visit if index else last)(self._layers[index], inputs[index], grad_output)
        except Exception as error:
            self._note(error, index)
            raise
        return grad_output

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch_list(self._layers)
        for layer in self._layers:
            input = tape.layer(layer, input)
        return input

    def _inputs_at(self, input: Array) -> list[Array]:
        """The input of every layer when `input` goes in: those of the last forward where they are still right."""
        inputs = self._inputs if self._mode == self.training else None
        if inputs and (input is inputs[0] or np.array_equal(input, inputs[0], equal_nan=True)):
            return inputs
        self.forward(input)
        return self._inputs or []

    def _note(self, error: Exception, index: int) -> None:
        error.add_note(f"in Sequential[{index}] ({type(self._layers[index]).__name__})")

    # The list of layers

    def add(self, layer: Module) -> Sequential:
        """Append a layer; returns the container, so that calls can be chained."""
        return self.extend([layer])

    append = add

    def extend(self, layers: Iterable[Module]) -> Sequential:
        """Append several layers; returns the container."""
        self._change(slice(len(self), None), list(layers))
        return self

    def insert(self, index: int, layer: Module) -> Sequential:
        """Insert a layer before position `index`, as `list.insert` does; returns the container."""
        self._change(slice(index, index), [layer])
        return self

    def _change(self, place: slice, layers: list[Module]) -> None:
        self._layers[place] = [_checked(layer) for layer in layers]
        self._inputs = None

    def _place(self, index: int | slice) -> slice:
        """The position(s) as a slice; negative positions count from the end."""
        if isinstance(index, slice):
            return index
        index, size = integer("Sequential", "the index", index), len(self._layers)
        if not -size <= index < size:
            raise IndexError(f"Sequential: expected an index in [{-size}, {size}), got {index}")
        return slice(index % size, index % size + 1)

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

    def __setitem__(self, index: int | slice, layer: Any) -> None:
        self._change(self._place(index), list(layer) if isinstance(index, slice) else [layer])

    def __delitem__(self, index: int | slice) -> None:
        del self._layers[self._place(index)]
        self._inputs = None

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
        return {"type": super().config()["type"], "modules": [layer.config() for layer in self._layers]}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Module:
        if set(arguments) != {"modules"} or not isinstance(arguments["modules"], (list, tuple)):
            raise ValueError(
                f"from_config: expected Sequential with a list of modules, got {', '.join(arguments) or 'none'}"
            )
        return cls(*(from_config(config) for config in arguments["modules"]))


def _checked(layer: Any) -> Module:
    if not isinstance(layer, Module):
        got = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
        raise TypeError(f"Sequential: expected layers that are Modules, got {got}")
    return layer


def _backward(layer: Module, input: Array, grad_output: Array) -> Array:
    return layer.backward(input, grad_output)


def _update_grad_input(layer: Module, input: Array, grad_output: Array) -> Array:
    return layer.update_grad_input(input, grad_output)


def accumulate(model: Module, input: Array, grad_output: Array) -> Array:
    """Add to the gradients of the parameters, with no more work than that needs; returns `grad_output`."""
    if type(model).backward in (Module.backward, Sequential.backward):
        model.acc_grad_params(input, grad_output)
    else:  # a class of the user's that may have no hooks
        model.backward(input, grad_output)
    return grad_output

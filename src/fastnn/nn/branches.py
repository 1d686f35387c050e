"""Containers whose parts see the same input: `Residual`, `Concat` (also called `Parallel`), `Add`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, overload

import numpy as np

from ..arguments import integer
from .containers import Self, Visit, _Chain, _Container, undo
from .module import Array, Module, from_config


class Residual(_Chain):
    """The sum of the input and of what layers make of it: x + f(x), or s(x) + f(x) with another module as shortcut.

    Parameters
    ----------
    *layers : Module
        f, one after another as in `Sequential`; more can follow with `add`.
    shortcut : Module, optional
        s, where f changes the shape, such as a `Linear` of the same size. Without it, f(x) must have the shape of x.

    Raises
    ------
    TypeError
        A layer or the shortcut is not a `Module`.
    ValueError
        In `forward`: f(x) and the shortcut differ in shape.

    Notes
    -----
    The names of parameters are "0.weight" and "shortcut.weight"; an exception that leaves a layer carries the note
    "in Residual[0] (its class)" or "in Residual.shortcut (its class)". After He, Zhang, Ren and Sun, "Deep residual
    learning for image recognition", 2016. `Sequential` says what `backward` assumes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> block = nn.Residual(nn.Linear(3, 5), nn.ReLU(), shortcut=nn.Linear(3, 5, bias=False))
    >>> block
    Residual(
      (0): Linear(in_features=3, out_features=5, bias=True)
      (1): ReLU()
      (shortcut): Linear(in_features=3, out_features=5, bias=False)
    )
    >>> x = np.ones((4, 3), np.float32)
    >>> bool((block(x) == block[1].output + block.shortcut.output).all())
    True
    """

    _caches = (*_Chain._caches, "_shape")
    _shape: tuple[int, ...] = ()  # of the last output
    config_names = ("shortcut",)

    def __init__(self, *layers: Module, shortcut: Module | None = None) -> None:
        super().__init__(*layers)
        self.shortcut = None if shortcut is None else self._checked(shortcut)

    def update_output(self, input: Array) -> Array:
        output, inputs = self._run(input)
        ran = list(self._layers)
        try:
            beside = input
            if self.shortcut is not None:
                with self._noted(".shortcut", self.shortcut):
                    beside = self.shortcut.forward(input)
                ran.append(self.shortcut)
            output = _sum("Residual", [output, beside])
        except Exception:
            undo(ran)
            raise
        self._inputs, self._shape = inputs, output.shape
        self._remember(input)
        return output

    def _reverse(self, input: Array, grad_output: Array, visit: Visit, first: Visit) -> list[Array]:
        self._at(input)
        _check_gradient("Residual", grad_output, self._shape)
        beside = grad_output
        if self.shortcut is not None:
            with self._noted(".shortcut", self.shortcut):
                beside = first(self.shortcut, input, grad_output)
        return [self._run_back(grad_output, visit, first), beside]

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch_list(self._layers)
        tape.watch(self, "shortcut")
        shortcut = _same if self.shortcut is None else partial(tape.layer, self.shortcut)
        return tape.add(input, [partial(self._lower_chain, tape), shortcut])

    def _argument(self, name: str) -> Any:
        return None if self.shortcut is None else self.shortcut.config()

    def extra_repr(self) -> str:
        return ""

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Module:
        shortcut = arguments.get("shortcut")
        if shortcut is not None:
            arguments = {**arguments, "shortcut": from_config(shortcut)}
        return super()._from_arguments(arguments)


class _Branches(_Container):
    """Modules that all see the input of the container."""

    _caches = (*_Container._caches, "_shape")
    _shape: tuple[int, ...] = ()  # of the last output

    def update_output(self, input: Array) -> Array:
        outputs: list[Array] = []
        try:
            for index, branch in enumerate(self._layers):
                with self._noted(f"[{index}]", branch):
                    outputs.append(branch.forward(input))
            if not outputs:
                raise ValueError(f"{type(self).__name__}: expected branches, got none")
            output = self._join(outputs)
        except Exception:
            undo(self._layers[: len(outputs)])
            raise
        self._shape = output.shape
        self._remember(input)
        return output

    def _reverse(self, input: Array, grad_output: Array, visit: Visit, first: Visit) -> list[Array]:
        self._at(input)
        _check_gradient(type(self).__name__, grad_output, self._shape)
        places = list(enumerate(zip(self._layers, self._part(grad_output), strict=True)))
        gradients = []
        for index, (branch, part) in reversed(places):
            with self._noted(f"[{index}]", branch):
                gradients.append(first(branch, input, part))
        return gradients

    def _join(self, outputs: list[Array]) -> Array:
        """The output of the container."""
        raise NotImplementedError

    def _part(self, grad_output: Array) -> list[Array]:
        """The gradient by the output of each branch."""
        raise NotImplementedError

    def _lowered(self, tape: Any) -> list[Callable[[Any], Any]]:
        tape.watch_list(self._layers)
        return [partial(tape.layer, branch) for branch in self._layers]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module:
        branches = self._layers[self._place(index)]
        if not isinstance(index, slice):
            return branches[0]
        part = type(self)(*branches, **{name: getattr(self, name) for name in self.config_names})
        part.training = self.training
        return part


class Concat(_Branches):
    """The outputs of several branches, all of the same input, joined along an axis; also called `Parallel`.

    Parameters
    ----------
    *branches : Module
        In the order of their outputs; more can follow with `add`.
    dim : int
        The axis, counted as in the output: 1 joins the columns of rows (N, C), and the channels of images (N, C, H, W).

    Raises
    ------
    TypeError
        A branch is not a `Module`, or `dim` is no integer.
    ValueError
        In `forward`: the outputs differ in more than that axis, or have no such axis, or there are no branches.

    Notes
    -----
    Torch7's `nn.Concat`, counted from 0 as PyTorch's `torch.cat`. (Torch7's `nn.Parallel` cuts its input up; here every
    branch sees all of it.) An exception that leaves branch i carries the note "in Concat[i] (its class)". `Sequential`
    says what `backward` assumes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> model = nn.Concat(nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 4), nn.Tanh()))
    >>> model
    Concat(
      dim=1
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): Sequential(
        (0): Linear(in_features=3, out_features=4, bias=True)
        (1): Tanh()
      )
    )
    >>> model.forward(np.ones((5, 3), np.float32)).shape
    (5, 6)
    """

    _caches = (*_Branches._caches, "_sizes")
    _sizes: tuple[int, ...] = ()  # of the last outputs along the axis
    config_names = ("dim",)

    def __init__(self, *branches: Module, dim: int = 1) -> None:
        super().__init__(*branches)
        self.dim = integer("Concat", "dim", dim)

    def _join(self, outputs: list[Array]) -> Array:
        shapes = [np.shape(output) for output in outputs]
        axes = len(shapes[0])
        if not -axes <= self.dim < axes:
            raise ValueError(f"Concat: expected outputs with an axis {self.dim}, got shape {shapes[0]}")
        axis = self.dim % axes
        if any((*shape[:axis], *shape[axis + 1 :]) != (*shapes[0][:axis], *shapes[0][axis + 1 :]) for shape in shapes):
            got = " and ".join(map(str, shapes))
            raise ValueError(f"Concat: expected outputs that differ along axis {axis} alone, got {got}")
        self._sizes = tuple(shape[axis] for shape in shapes)
        return np.concatenate(outputs, axis)

    def _part(self, grad_output: Array) -> list[Array]:
        return np.split(np.asarray(grad_output), np.cumsum(self._sizes[:-1]), self.dim)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "dim")
        return tape.concat(input, self._lowered(tape), self.dim)


Parallel = Concat


class Add(_Branches):
    """The sum of the outputs of several branches, all of the same input.

    Parameters
    ----------
    *branches : Module
        More can follow with `add`.

    Raises
    ------
    TypeError
        A branch is not a `Module`.
    ValueError
        In `forward`: the outputs differ in shape, or there are no branches.

    Notes
    -----
    Torch7's `nn.ConcatTable` and `nn.CAddTable` in one. An exception that leaves branch i carries the note "in Add[i]
    (its class)". `Sequential` says what `backward` assumes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> model = nn.Add(nn.Identity(), nn.ReLU())
    >>> model(np.array([[-1.0, 2.0]]))
    array([[-1.,  4.]])
    """

    def _join(self, outputs: list[Array]) -> Array:
        return _sum("Add", outputs)

    def _part(self, grad_output: Array) -> list[Array]:
        return [grad_output] * len(self._layers)

    def lower(self, tape: Any, input: Any) -> Any:
        return tape.add(input, self._lowered(tape))


def _same(input: Any) -> Any:
    return input


def _sum(where: str, outputs: list[Array]) -> Array:
    """The sum of arrays of one shape."""
    shapes = [np.shape(output) for output in outputs]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"{where}: expected outputs of one shape to add, got {' and '.join(map(str, shapes))}")
    return reduce(np.add, outputs)


def _check_gradient(where: str, grad_output: Array, shape: tuple[int, ...]) -> None:
    if np.shape(grad_output) != shape:
        raise ValueError(f"{where}: expected grad_output of shape {shape}, got {np.shape(grad_output)}")

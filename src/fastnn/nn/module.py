"""The base class of every layer: forward, backward, parameters, saved state.

A layer computes with explicit calls, as in Torch7: `forward(input)`, then `backward(input, grad_output)`. No layer
keeps its last input: whatever `backward` needs is computed from the input that it is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import backend
from ..arguments import float_dtype

if TYPE_CHECKING:
    from ..summary import Summary

Array = np.ndarray
Self = TypeVar("Self", bound="Module")

_REGISTRY: dict[str, type[Module]] = {}  # the classes of this package that `from_config` may build, by name
_LEAVES: set[type[Module]] = set()  # those of them that have no children


class Described:
    """What layers and criterions share: a repr made of their constructor arguments, and pickles without caches."""

    config_names: tuple[str, ...] = ()
    _caches: tuple[str, ...] = ("output", "grad_input")

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ", ".join(f"{name}={self._argument(name)!r}" for name in self.config_names)

    def _argument(self, name: str) -> Any:
        """The value of a constructor argument now."""
        return getattr(self, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._caches}


class Module(Described):
    """Base class of all layers.

    A layer of your own implements three hooks: `update_output(input)`, `update_grad_input(input, grad_output)` and, if
    it has parameters, `acc_grad_params(input, grad_output)`, which adds to the gradients. Or it overrides `forward` and
    `backward` themselves. There is nothing to initialise: `super().__init__()` is not needed.

    Attributes
    ----------
    training : bool
        True after `train()` and at first, False after `eval()`.
    output, grad_input : ndarray or None
        What `forward` and `backward` returned last.
    param_names : tuple of str
        Class attribute, the names of the parameters. The gradient of `weight` is the attribute `grad_weight`, an array
        of the same shape. A parameter that is None is skipped everywhere.
    buffer_names : tuple of str
        Class attribute, the names of arrays that are saved but not trained, such as running statistics.
    config_names : tuple of str
        Class attribute, the names of the constructor's arguments; they make the repr and the saved architecture.
    random_names : tuple of str
        Class attribute, the names of whole numbers that random outputs come from, such as the key and the step of
        `Dropout`. A checkpoint keeps them, and every numpy.random.Generator that is an attribute.

    Notes
    -----
    In a class of your own, a module held as an attribute is a child, as in PyTorch: its parameters, mode and state
    belong to the parent's.
    The method names follow PyTorch, the hooks follow Torch7's `nn.Module`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> class Shift(nn.Module):
    ...     param_names = ("bias",)
    ...     def __init__(self, size):
    ...         self.bias, self.grad_bias = np.ones(size), np.zeros(size)
    ...     def update_output(self, input):
    ...         return input + self.bias
    ...     def update_grad_input(self, input, grad_output):
    ...         return grad_output
    ...     def acc_grad_params(self, input, grad_output):
    ...         self.grad_bias += grad_output.sum(axis=0)
    >>> layer = Shift(2)
    >>> layer.forward(np.zeros((3, 2)))[0]
    array([1., 1.])
    >>> _ = layer.backward(np.zeros((3, 2)), np.ones((3, 2)))
    >>> layer.grad_parameters()
    [array([3., 3.])]
    """

    training: bool = True
    output: Any = None
    grad_input: Any = None
    param_names: tuple[str, ...] = ()
    buffer_names: tuple[str, ...] = ()
    random_names: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(__package__ + ".") and not cls.__name__.startswith("_"):
            _REGISTRY[cls.__name__] = cls
            if cls.named_children is Module.named_children:
                _LEAVES.add(cls)

    # The computation

    def forward(self, input: Array) -> Array:
        """The output at `input`, kept as `self.output`."""
        self.output = output = self.update_output(input)
        return output

    def __call__(self, input: Array) -> Array:
        return self.forward(input)

    def backward(self, input: Array, grad_output: Array) -> Array:
        """The gradient by the input, kept as `self.grad_input`; adds to the gradients of the parameters."""
        self.grad_input = grad_input = self.update_grad_input(input, grad_output)
        self.acc_grad_params(input, grad_output)
        return grad_input

    def update_output(self, input: Array) -> Array:
        """Hook: the output at `input`."""
        raise NotImplementedError(f"{type(self).__name__}: expected update_output or forward in the class, got neither")

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        """Hook: the gradient of the loss by `input`, given its gradient by the output."""
        raise NotImplementedError(
            f"{type(self).__name__}: expected update_grad_input or backward in the class, got neither"
        )

    def acc_grad_params(self, input: Array, grad_output: Array) -> None:
        """Hook: add the gradients of the loss by the parameters to the gradient arrays; nothing without parameters."""

    def undo_output(self) -> None:
        """Hook: take back what the last `update_output` changed for good, such as running statistics.

        A container calls it on the layers that had run when a later one raised.
        """
        for child in self.children():
            child.undo_output()

    def lower(self, tape: Any, input: Any) -> Any:
        """Hook: write the layer on the tape of a program, for `fastnn.compile`; returns the output's place there."""
        raise TypeError(f"compile: expected layers with a compiled form, got {type(self).__name__}")

    def macs(self, shape: tuple[int, ...]) -> int:
        """Hook: the multiply-adds for one row of this shape, for `summary`; those of children are theirs."""
        return 0

    # The tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, with their names."""
        if type(self) not in _LEAVES:
            for name, value in vars(self).items():
                if isinstance(value, Module):
                    yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        return (child for _, child in self.named_children())

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once, a parent before its children."""
        return (module for _, module in _walk(self))

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and all below it to training (or, with False, to evaluation); returns the module."""
        self.training = bool(mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Switch this module and all below it to evaluation; returns the module."""
        return self.train(False)

    # Parameters and gradients

    def parameters(self) -> list[Array]:
        """The live parameter arrays of this module and of all below it, each module once."""
        return _arrays(self, "parameters", "")

    def grad_parameters(self) -> list[Array]:
        """The live gradient arrays, in the order of `parameters()`."""
        return _arrays(self, "grad_parameters", "grad_")

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """Names as in `state_dict()` with the live parameter arrays, each module once."""
        return ((path + name, array) for path, module in _walk(self) for name, array in _own(module, "param_names"))

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Names as in `state_dict()` with the live buffer arrays, each module once."""
        return ((path + name, array) for path, module in _walk(self) for name, array in _own(module, "buffer_names"))

    def zero_grad(self) -> None:
        """Set every gradient to zero, in place.

        Raises
        ------
        ValueError
            A gradient is read-only, such as one of a model that joblib maps from a file; nothing is changed then.
        """
        gradients = self.grad_parameters()
        for gradient in gradients:
            if not gradient.flags.writeable:
                where = f"{type(self).__name__}.zero_grad"
                raise ValueError(f"{where}: expected writeable gradients, got a read-only array")
        for gradient in gradients:
            gradient.fill(0)

    def astype(self: Self, dtype: Any) -> Self:
        """Convert parameters, gradients and floating buffers to float32 or float64; returns the module.

        Arrays that have another dtype are replaced by new ones; memory layout is kept.
        """
        dtype = float_dtype(f"{type(self).__name__}.astype", dtype)
        for _, module in _walk(self):
            parameters = [name for name, _ in _own(module, "param_names")]
            buffers = [name for name, buffer in _own(module, "buffer_names") if buffer.dtype.kind == "f"]
            for name in [*parameters, *("grad_" + name for name in parameters), *buffers]:
                if (array := getattr(module, name)).dtype != dtype:
                    setattr(module, name, backend.aligned(array.astype(dtype)))
        return self

    # Saved state and architecture

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name: "weight", or "0.weight" inside a container, as in PyTorch."""
        return {name: array.copy() for name, array in self._named_state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy the arrays of `state` into the parameters and buffers, in place.

        Everything is checked before the first copy, so a call that raises has changed nothing.

        Parameters
        ----------
        state : mapping of str to array
            As `state_dict()` gives it; floating arrays of any precision where this module's are floating.
        strict : bool
            With False, missing and unexpected names are ignored.

        Raises
        ------
        TypeError
            `state` is no mapping, or an entry is not floating (not integer, for an integer buffer).
        ValueError
            Names are missing or unexpected, a shape differs, or an array of this module is read-only.
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: expected a mapping of names to arrays, got {type(state).__name__}")
        targets = dict(self._named_state())
        missing = [name for name in targets if name not in state]
        unexpected = [str(name) for name in state if name not in targets]
        if strict and (missing or unexpected):
            got = f"missing {', '.join(missing) or 'none'} and unexpected {', '.join(unexpected) or 'none'}"
            raise ValueError(f"{where}: expected the names of this module's state_dict(), got {got}")
        values = {name: np.asarray(state[name]) for name in targets if name in state}
        for name, value in values.items():
            _check_entry(where, name, value, targets[name])
        for name, value in values.items():
            targets[name][...] = value

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
        """Write the model to a safetensors file, which `fastnn.load` reads; the same as `fastnn.save(model, path)`.

        Parameters
        ----------
        path : str or path
            The file, written beside and then put in place.
        metadata : mapping of str to str, optional
            What else to keep with the model.

        Raises
        ------
        OSError
            The file cannot be written.
        TypeError
            Metadata are not strings, or the model has a layer that is not fastnn's own.

        Examples
        --------
        >>> import os, tempfile, fastnn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     fastnn.nn.Linear(3, 2).save(path)
        ...     fastnn.load(path)
        Linear(in_features=3, out_features=2, bias=True)
        """
        from ..serialization import save

        save(self, path, metadata)

    def _named_state(self) -> Iterator[tuple[str, Array]]:
        """Live parameters and buffers by name; a module that is used twice has two names, as in PyTorch."""
        for path, module in _walk(self, once=False):
            for name, array in (*_own(module, "param_names"), *_own(module, "buffer_names")):
                yield path + name, array

    def config(self) -> dict[str, Any]:
        """The architecture as JSON-able values: the type, the constructor's arguments, the dtype of the arrays.

        `from_config` builds a layer of fastnn from it.

        Raises
        ------
        TypeError
            The class is not one of fastnn's own, so `from_config` could not build it.
        """
        name = type(self).__name__
        if _REGISTRY.get(name) is not type(self):
            raise TypeError(f"config: expected a layer of fastnn, got {type(self).__module__}.{name}")
        config: dict[str, Any] = {"type": name}
        config.update((name, self._argument(name)) for name in self.config_names)
        for _, array in (*_own(self, "param_names"), *_own(self, "buffer_names")):
            config["dtype"] = str(array.dtype)
            break
        return config

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Module:
        return cls(**arguments)

    def _argument(self, name: str) -> Any:
        value = getattr(self, name)
        return value is not None if name in self.param_names else value  # `bias` asks whether there is one

    def summary(self, input_shape: Sequence[int] | int, dtype: Any = None) -> Summary:
        """A table of all layers: output shapes, parameters, multiply-adds.

        Parameters
        ----------
        input_shape : sequence of int, or int
            The shape of a row of the input, without the rows: (784,) or 784.
        dtype : dtype, optional
            Of the input; by default that of the parameters, float32 without any.

        Returns
        -------
        Summary
            It prints as the table and has the numbers as attributes: `parameters`, `macs` (multiply-adds for a row),
            `parameter_bytes`, `dtypes`, `layers`.

        Raises
        ------
        TypeError, ValueError
            `input_shape` is no shape; or a layer refuses its input, as it does in `forward`, with the same words.

        Notes
        -----
        Nothing of the model changes: the shapes come from a copy in evaluation mode, which is given two rows of zeros.
        A layer that is used twice counts its parameters once. Layers that only compare, add or look up have no
        multiply-adds; one of your own says how many it has in a method `macs(shape)`.

        Examples
        --------
        >>> from fastnn import nn
        >>> model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        >>> model.summary((784,))
        Sequential of rows (784,), float32
        ------------------------------------------------
        layer  type    output shape  parameters     MACs
        ------------------------------------------------
        0      Linear  (N, 256)         200,960  200,704
        1      ReLU    (N, 256)               0        0
        2      Linear  (N, 10)            2,570    2,560
        ------------------------------------------------
        parameters: 203,530 (float32, 795.0 KB)
        multiply-adds for a row: 203,264
        """
        from ..summary import summarize

        return summarize(self, input_shape, dtype)

    def _repr_html_(self) -> str:
        """The tree for notebooks, with the numbers of parameters."""
        from ..summary import tree_html

        return tree_html(self)

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return super().__repr__()
        own = self.extra_repr()
        lines = ([own] if own else []) + children
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def from_config(config: Mapping[str, Any]) -> Module:
    """Build the layer that `Module.config()` described, with fresh parameters.

    Parameters
    ----------
    config : mapping
        `{"type": ..., argument: value, ...}`, where the type is the name of a layer of fastnn.

    Raises
    ------
    ValueError
        The type is missing or is not a layer of fastnn, or an argument is out of range.
    TypeError
        An argument is of the wrong type or is unknown to the layer.

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.from_config({"type": "LeakyReLU", "negative_slope": 0.2})
    LeakyReLU(negative_slope=0.2)
    """
    if not isinstance(config, Mapping) or "type" not in config:
        raise ValueError(f"from_config: expected a mapping with a type, got {config!r}")
    arguments = dict(config)
    name = arguments.pop("type")
    if not isinstance(name, str) or name not in _REGISTRY:
        raise ValueError(f"from_config: expected the type of a layer of fastnn, got {name!r}")
    return _REGISTRY[name]._from_arguments(arguments)


def _own(module: Module, names: str) -> list[tuple[str, Array]]:
    """The module's own arrays among `param_names` or `buffer_names`, without those that are None."""
    found = [(name, getattr(module, name)) for name in getattr(module, names)]
    return [(name, array) for name, array in found if array is not None]


def _walk(root: Module, once: bool = True) -> Iterator[tuple[str, Module]]:
    """The root and all below it with their paths ("", "0.", "0.2."), parents first; each module once, or each place."""
    seen: set[int] = set()
    stack = [("", root)]
    while stack:
        path, module = stack.pop()
        if once and id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        stack.extend((f"{path}{name}.", child) for name, child in reversed(list(module.named_children())))


def _arrays(root: Module, method: str, prefix: str) -> list[Array]:
    """What `parameters` and `grad_parameters` return; a class below the root with a list of its own is asked for it."""
    found: list[Array] = []
    seen: set[int] = set()
    stack = [root]
    while stack:
        module = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        leaf = type(module) in _LEAVES
        if not leaf and module is not root and getattr(type(module), method) is not getattr(Module, method):
            found.extend(getattr(module, method)())
            continue
        for name in module.param_names:
            if getattr(module, name) is not None:
                found.append(getattr(module, prefix + name))
        if not leaf:
            stack.extend(reversed(list(module.children())))
    return found


def _check_entry(where: str, name: str, value: Array, target: Array) -> None:
    """Raise unless `value` can be copied into `target`."""
    kinds, word = ("f", "a floating") if target.dtype.kind == "f" else ("iu", "an integer")
    if value.dtype.kind not in kinds:
        raise TypeError(f"{where}: expected {name} of {word} dtype, got {value.dtype}")
    if value.shape != target.shape:
        raise ValueError(f"{where}: expected {name} of shape {target.shape}, got {value.shape}")
    if not target.flags.writeable:
        raise ValueError(f"{where}: expected a writeable {name} in the module, got a read-only array")

"""The base class of the optimisers: hyper-parameters, the step over all parameters, saved state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar

import numpy as np

from .. import backend
from ..arguments import flag, integer, number
from ..checks import FLOATS, update

Array = np.ndarray
State = dict[str, Any]

ANY: dict[str, float] = {}
NON_NEGATIVE: dict[str, float] = {"low": 0}
SHARE: dict[str, float] = {"low": 0, "below": 1}


class Optimizer:
    """Base class of all optimisers.

    One of your own implements `update_param(param, grad, state, first)`, which updates one parameter in place, names
    its hyper-parameters in `rules` and its state arrays in `state_names`.

    Parameters
    ----------
    model : Module
        Or anything with `parameters()` and `grad_parameters()`, lists of live arrays in the same order.
    **hyper_parameters
        Checked and kept as attributes. They may be assigned at any time and are read at every step.

    Attributes
    ----------
    state : dict
        Index of a parameter -> {"step": updates so far, name: array}, made at the first update. A parameter that is
        replaced by another array of the same shape and dtype keeps its state.
    penalty : float
        Weight decay as scikit-learn's `alpha` has it, for compiled steps, epochs and `Trainer`: the sum of the squares
        of all parameters of two axes, times penalty / (2 rows), is added to the loss of a batch, and its gradient to
        theirs; `rows` is their number, or the sum of their weights. 0 at first.

    Raises
    ------
    TypeError, ValueError
        The model has no parameter lists; a hyper-parameter is of the wrong type or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn, optim
    >>> class SignSGD(optim.Optimizer):
    ...     def update_param(self, param, grad, state, first):
    ...         param -= self.lr * np.sign(grad)
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight[...], layer.grad_weight[...] = 1.0, 2.0
    >>> SignSGD(layer, lr=0.25).step()
    >>> layer.weight
    array([[0.75]], dtype=float32)
    """

    state_names: ClassVar[tuple[str, ...]] = ()  # every state array that some hyper-parameters ask for
    rules: ClassVar[dict[str, Any]] = {"lr": NON_NEGATIVE}  # hyper-parameter -> limits of a number, "flag" or "shares"
    options: ClassVar[tuple[str, ...]] = ("penalty",)  # attributes besides `rules` that an update depends on

    lr: float

    def __init__(self, model: Any, **hyper_parameters: Any) -> None:
        if not (hasattr(model, "parameters") and hasattr(model, "grad_parameters")):
            expected = "a model with parameters() and grad_parameters()"
            raise TypeError(f"{type(self).__name__}: expected {expected}, got {type(model).__name__}")
        self.model = model
        self.state: dict[int, State] = {}
        self.penalty = 0.0
        vars(self).update(self._checked(hyper_parameters))

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Hyper-parameters of the right type and within their limits."""
        where = type(self).__name__
        checked: dict[str, Any] = {}
        for name, value in values.items():
            rule = self.rules.get(name, NON_NEGATIVE)
            if rule == "flag":
                checked[name] = flag(where, name, value)
            elif rule == "shares":
                if not isinstance(value, Sequence) or len(value) != 2:
                    raise TypeError(f"{where}: expected {name} as two numbers, got {type(value).__name__}")
                checked[name] = tuple(number(where, f"{name}[{i}]", share, **SHARE) for i, share in enumerate(value))
            else:
                checked[name] = number(where, name, value, **rule)
        return checked

    # Hooks

    def _state_names(self) -> Sequence[str]:
        """The state arrays that the hyper-parameters, as they are now, ask for."""
        return self.state_names

    def _initial(self, name: str, param: Array) -> Array:
        """A state array before the first update, in the layout of the parameter."""
        return backend.aligned(np.zeros_like(param))

    def update_param(self, param: Array, grad: Array, state: State, first: bool) -> None:
        """Update one parameter in place; `first` if its state arrays, or some of them, are new."""
        raise NotImplementedError(f"{type(self).__name__}: expected update_param in the class, got none")

    def update_all(self, params: list[Array], grads: list[Array], states: list[State]) -> bool:
        """Update all parameters in one call, none for the first time; False if that cannot be: nothing is changed."""
        return False

    def native(self) -> tuple[str, tuple[float, ...]] | None:
        """For `fastnn.compile`: the name of the native update and its numbers as they are now; None without one."""
        return None

    # The step

    def step(self) -> None:
        """Update every parameter in place.

        Raises
        ------
        TypeError, ValueError
            A parameter, gradient or state array does not fit. All are checked first: nothing is changed then.
        """
        params, grads = self.model.parameters(), self.model.grad_parameters()
        if len(params) != len(grads):
            counts = f"{len(grads)} and {len(params)}"
            raise ValueError(f"{type(self).__name__}: expected as many gradients as parameters, got {counts}")
        names, work = self._state_names(), []
        states = [entry for entry in map(self.state.get, range(len(params))) if entry and entry.keys() >= {*names}]
        if len(states) == len(params) and self.update_all(params, grads, states):
            for state in states:
                state["step"] += 1
            return
        for index, (param, grad) in enumerate(zip(params, grads, strict=True)):
            state = self.state.get(index) or {"step": 0}
            arrays = [state[name] for name in names if name in state] if names else ()
            if not _fit(param, grad, arrays):
                self._check(index, param, grad, {name: state[name] for name in names if name in state})
            first = len(arrays) < len(names)
            if first:
                state = {**state, **{name: self._initial(name, param) for name in names if name not in state}}
            work.append((param, grad, state, first))
        for index, (param, grad, state, first) in enumerate(work):
            self.state[index] = state
            state["step"] += 1
            self.update_param(param, grad, state, first)

    def _check(self, index: int, param: Array, grad: Array, arrays: State) -> None:
        """Raise unless the arrays fit together or can be made to."""
        try:
            update(type(self).__name__, param, grad, **arrays)
        except (TypeError, ValueError) as error:
            error.add_note(f"in parameter {index}")
            raise

    def zero_grad(self) -> None:
        """Set every gradient of the model to zero, in place."""
        if hasattr(self.model, "zero_grad"):
            self.model.zero_grad()
        else:
            for gradient in self.model.grad_parameters():
                gradient.fill(0)

    # Saved state

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {"step": int, name: copy of the array}}, "hyperparameters": {name: value}}."""
        hyper_parameters = {name: getattr(self, name) for name in self.rules}
        if hasattr(self, "initial_lr"):  # a scheduler's, which resumes from it
            hyper_parameters["initial_lr"] = self.initial_lr
        state = {
            index: {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in entry.items()}
            for index, entry in self.state.items()
        }
        return {"state": state, "hyperparameters": hyper_parameters}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and hyper-parameters, copied; everything is checked before anything is changed.

        Parameters
        ----------
        state_dict : mapping
            As `state_dict()` gives it. Arrays are converted to the dtype and layout of their parameter.

        Raises
        ------
        TypeError, ValueError
            It is no such mapping, or an entry does not fit this optimiser or its model.
        """
        where = f"{type(self).__name__}.load_state_dict"
        _expect_keys(where, "state_dict", state_dict, {"state", "hyperparameters"})
        entries, hyper_parameters = state_dict["state"], state_dict["hyperparameters"]
        _expect_keys(where, "hyperparameters", hyper_parameters, set(self.rules), {"initial_lr"})
        checked = self._checked(hyper_parameters)
        params = self.model.parameters()
        _expect_keys(where, "state", entries, set(), set(range(len(params))))
        state = {index: self._loaded(where, index, entry, params[index]) for index, entry in entries.items()}
        vars(self).update(checked)
        self.state = state

    def _loaded(self, where: str, index: int, entry: Mapping[str, Any], param: Array) -> State:
        """A copy of one parameter's saved state, in the parameter's dtype and layout."""
        _expect_keys(where, f"state[{index}]", entry, {"step"}, set(self.state_names))
        state: State = {"step": integer(where, "step", entry["step"], low=0)}
        for name in entry.keys() - {"step"}:
            value = np.asarray(entry[name])
            if value.dtype.kind != "f":
                raise TypeError(f"{where}: expected {name} of a floating dtype, got {value.dtype}")
            if value.shape != param.shape:
                raise ValueError(f"{where}: expected {name} of shape {param.shape}, got {value.shape}")
            state[name] = backend.aligned(np.empty_like(param))
            state[name][...] = value
        return state

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.rules)})"


def _fit(param: Array, grad: Array, arrays: Sequence[Array]) -> bool:
    """Whether the arrays are of one shape and floating dtype, the parameter writeable: the ordinary case."""
    if type(param) is not np.ndarray or type(grad) is not np.ndarray or not param.flags.writeable:
        return False
    shape, dtype = param.shape, param.dtype
    for array in (grad, *arrays):
        if array.shape != shape or array.dtype is not dtype:
            return False
    return dtype in FLOATS


def _expect_keys(where: str, name: str, value: Any, keys: set[Any], optional: Set[Any] = frozenset()) -> None:
    """Raise unless `value` is a mapping with all of these keys and no others but the optional ones."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{where}: expected {name} as a mapping, got {type(value).__name__}")
    if missing := keys - set(value):
        raise ValueError(f"{where}: expected {name} with {', '.join(sorted(missing))}, got none")
    if unknown := set(value) - keys - optional:
        raise ValueError(
            f"{where}: expected no other {name} than this optimizer's, got {sorted(map(repr, unknown))[0]}"
        )

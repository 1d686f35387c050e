"""The optimisers of every dialect: functions that change lists of arrays in place (see naming.py).

The lists may be nested to any depth, as `get_parameters()` gives them. A state's index counts the parameters from 0.
Everything is checked before the first array is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from .. import backend
from ..arguments import integer, number
from ..checks import FLOATS, same_shape, updated
from .module import EXPECTED


def sgd_momentum(variables: Any, gradients: Any, config: Mapping[str, Any], state: MutableMapping[str, Any]) -> None:
    """Gradient descent with momentum, in place: v = momentum v + learning_rate g; w -= v.

    Parameters
    ----------
    variables, gradients : lists of ndarray, nested alike
    config : dict
        `learning_rate` and `momentum`, read at every call; other keys are ignored.
    state : dict
        `accumulated_grads` maps the index of a parameter to its v.

    Raises
    ------
    ValueError, TypeError
        A key is missing or is no number; a gradient has not the shape of its parameter; an array cannot be changed.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> w, state = np.ones(2), {}
    >>> sgd_momentum([[w]], [[np.ones(2)]], {"learning_rate": 0.25, "momentum": 0.9}, state)
    >>> w, state
    (array([0.75, 0.75]), {'accumulated_grads': {0: array([0.25, 0.25])}})
    """
    rate, momentum = _settings("sgd_momentum", config, "learning_rate", "momentum")
    _dict("sgd_momentum", "state", state)
    velocities = state.get("accumulated_grads")  # the learning rate is within them
    if isinstance(velocities, dict) and backend.ops.sgd_updates(
        variables, gradients, velocities, 1.0, momentum, rate, 0.0, False
    ):
        return
    arrays = _checked("sgd_momentum", variables, gradients)
    (velocities,) = _states("sgd_momentum", state, ("accumulated_grads",), arrays)
    for index, (variable, gradient) in enumerate(arrays):
        _update(backend.ops.momentum_update, (variable, gradient, velocities[index]), rate, momentum)


def adam_optimizer(variables: Any, gradients: Any, config: Mapping[str, Any], state: MutableMapping[str, Any]) -> None:
    """Adam, in place: m and v are running means of g and g^2, and w -= lr_t m / (sqrt(v) + epsilon).

    lr_t = learning_rate sqrt(1 - beta2^t) / (1 - beta1^t).

    Parameters
    ----------
    variables, gradients : lists of ndarray, nested alike
    config : dict
        `learning_rate`, `beta1`, `beta2` and `epsilon`, read at every call; other keys are ignored.
    state : dict
        `m` and `v` map the index of a parameter to its means, `t` counts the calls.

    Raises
    ------
    ValueError, TypeError
        A key is missing, is no number or is out of range; a gradient has not the shape of its parameter; an array
        cannot be changed.

    Notes
    -----
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, in the order of operations of its section 2.

    Examples
    --------
    >>> from fastnn.compat.snake import *
    >>> w, state = np.ones(2), {}
    >>> config = {"learning_rate": 0.25, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    >>> adam_optimizer([[w]], [[np.ones(2)]], config, state)
    >>> w.round(4), state["t"]
    (array([0.75, 0.75]), 1)
    """
    rate, beta1, beta2, epsilon = _settings("adam_optimizer", config, "learning_rate", "beta1", "beta2", "epsilon")
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"adam_optimizer: expected beta1 and beta2 in [0, 1), got {beta1} and {beta2}")
    _dict("adam_optimizer", "state", state)
    step = integer("adam_optimizer", "state['t']", state.get("t", 0), low=0) + 1
    epsilon /= math.sqrt(1 - beta2**step)  # the back end corrects sqrt(v) itself, before it adds epsilon
    settings = rate, beta1, beta2, epsilon
    if backend.ops.adam_updates(variables, gradients, state.get("m"), state.get("v"), *settings, 0.0, False, step):
        state["t"] = step
        return
    arrays = _checked("adam_optimizer", variables, gradients)
    means, squares = _states("adam_optimizer", state, ("m", "v"), arrays)
    state["t"] = step
    for index, (variable, gradient) in enumerate(arrays):
        moments = means[index], squares[index], None
        _update(backend.ops.adam_update, (variable, gradient, *moments), *settings, 0.0, False, step)


def gradient_descent(parameters: Any, grads: Any, lr: float = 1e-3) -> None:
    """Plain gradient descent, in place: w -= lr g.

    Parameters
    ----------
    parameters, grads : lists of ndarray
    lr : float

    Raises
    ------
    ValueError, TypeError
        `lr` is no number; a gradient has not the shape of its parameter; an array cannot be changed.

    Examples
    --------
    >>> from fastnn.compat.plain import *
    >>> w = np.ones(2)
    >>> SGD([w], [np.ones(2)], lr=0.25)
    >>> w
    array([0.75, 0.75])
    """
    rate = number("SGD", "lr", lr)
    for variable, gradient in _checked("SGD", parameters, grads):
        _update(backend.ops.sgd_update, (variable, gradient, None), rate, 0.0, 0.0, 0.0, False, False)


def _settings(where: str, config: Mapping[str, Any], *names: str) -> list[float]:
    """The named values of the config, as floats."""
    try:
        values = [config[name] for name in names]
    except (KeyError, TypeError, IndexError):
        keys = ", ".join(map(str, config)) if isinstance(config, Mapping) else type(config).__name__
        raise ValueError(f"{where}: expected config with {', '.join(names)}, got {keys or 'no keys'}") from None
    for value in values:
        if type(value) is not float:
            return [number(where, name, value) for name, value in zip(names, values, strict=True)]
    return values


def _checked(where: str, variables: Any, gradients: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each parameter with its gradient, all of which can be updated: (K,) may meet (1, K)."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for variable, gradient in zip(variables, gradients, strict=False):
        if isinstance(variable, (list, tuple)):
            pairs += _checked(where, variable, gradient)
        else:
            _check(where, variable, gradient)
            pairs.append((variable, gradient))
    return pairs


def _check(where: str, variable: Any, gradient: Any) -> None:
    """Raise what is wrong with a pair, if anything is."""
    if not isinstance(variable, np.ndarray) or variable.dtype not in FLOATS:
        got = f"dtype {variable.dtype}" if isinstance(variable, np.ndarray) else type(variable).__name__
        raise TypeError(f"{where}: expected every parameter as an array of float32 or float64, got {got}")
    if not variable.flags.writeable:
        raise ValueError(f"{where}: expected writeable parameters, got a read-only array {variable.shape}")
    if not isinstance(gradient, np.ndarray) or gradient.dtype.kind not in "fiub":
        got = f"dtype {gradient.dtype}" if isinstance(gradient, np.ndarray) else type(gradient).__name__
        raise TypeError(f"{where}: expected every gradient as an array of real numbers, got {got}")
    if variable.size != gradient.size or variable.shape[-1:] != gradient.shape[-1:]:
        raise ValueError(f"{where}: expected a gradient of shape {variable.shape}, got {gradient.shape}")


def _states(
    where: str, state: MutableMapping[str, Any], names: tuple[str, ...], arrays: list[tuple[np.ndarray, np.ndarray]]
) -> list[MutableMapping[int, np.ndarray]]:
    """state[name] for every name, with an array like its gradient for every parameter."""
    for name in names:
        found = state.get(name, {})
        _dict(where, f"state[{name!r}]", found)
        for index, (_, gradient) in enumerate(arrays):
            if index in found:
                label = f"state[{name!r}][{index}]"
                same_shape(where, label, updated(where, label, found[index]), gradient)
    for name in names:
        found = state.setdefault(name, {})
        if len(found) < len(arrays):
            for index, (variable, gradient) in enumerate(arrays):
                floating = gradient if gradient.dtype.kind == "f" else variable
                found.setdefault(index, np.zeros_like(gradient, dtype=floating.dtype))
    return [state[name] for name in names]


def _dict(where: str, name: str, value: Any) -> None:
    if not isinstance(value, (dict, MutableMapping)):
        raise TypeError(f"{where}: expected {name} as a dict, got {type(value).__name__}")


def _update(operation: Callable[..., None], arrays: tuple[Any, ...], *settings: Any) -> None:
    """Run an update in place. Where dtypes or shapes differ, on copies of the common dtype that are written back."""
    try:
        return operation(*arrays, *settings)
    except EXPECTED:  # before anything is written
        pass
    shape = arrays[0].shape
    common = np.result_type(*(array for array in arrays if array is not None))
    copies = [array if array is None else np.array(array, common, order="C").reshape(shape) for array in arrays]
    operation(*copies, *settings)
    for index, (array, copy) in enumerate(zip(arrays, copies, strict=True)):
        if index != 1 and array is not None and copy is not None:
            array[...] = copy.reshape(array.shape)
    return None

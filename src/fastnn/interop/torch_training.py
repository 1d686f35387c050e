"""Criterions and optimisers from and to PyTorch, so that a training that began in one library goes on in the other.

Names, arguments and the arrays of the state are the same in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import nn, optim
from .packages import required
from .torch import Unavailable, as_array, as_tensor

# Every criterion of fastnn: what the other arguments of PyTorch's of the same name have to be, or why there is none.
CRITERIONS: dict[str, Mapping[str, Any] | Unavailable] = {
    "BCEWithLogitsLoss": {"weight": None, "pos_weight": None},
    "CrossEntropyLoss": {},
    "HalfMSELoss": Unavailable("PyTorch has no such loss"),
    "HuberLoss": {},
    "L1Loss": {},
    "MSELoss": {},
    "NLLLoss": {},
    "PoissonNLLLoss": {"log_input": True, "full": False},
}
# Every optimiser: what the other options of PyTorch's of the same name have to be, where they change the numbers.
OPTIMIZERS: dict[str, Mapping[str, Any]] = {
    "Adagrad": {"maximize": False},
    "Adam": {"maximize": False, "decoupled_weight_decay": False},
    "AdamW": {"maximize": False},
    "RMSprop": {"maximize": False},
    "SGD": {"maximize": False},
}


def criterion_from_torch(loss: Any) -> nn.Criterion:
    """The criterion of fastnn for a loss of PyTorch.

    Parameters
    ----------
    loss : torch.nn.Module
        A loss of a name that fastnn has, with `reduction` "mean" or "sum".

    Returns
    -------
    Criterion
        With the same arguments; a weight of the classes is copied.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        fastnn has no such loss, or the loss no such option: the line names it.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.interop.criterion_from_torch(torch.nn.CrossEntropyLoss(label_smoothing=0.1))  # doctest: +SKIP
    CrossEntropyLoss(weight=None, ignore_index=-100, reduction='mean', label_smoothing=0.1)
    """
    where = "criterion_from_torch"
    torch = required(where, "torch")
    name = type(loss).__name__
    fixed = CRITERIONS.get(name)
    if isinstance(fixed, Unavailable) or fixed is None or type(loss) is not getattr(torch.nn, name, None):
        raise TypeError(f"{where}: expected a loss that fastnn has, got {type(loss).__module__}.{name}")
    _expect(where, name, fixed, vars(loss) | dict(loss.named_buffers()))
    kind = getattr(nn, name)
    arguments = {argument: getattr(loss, argument) for argument in kind.config_names}
    if arguments.get("weight") is not None:
        arguments["weight"] = as_array(torch, "weight", arguments["weight"]).copy()
    made: nn.Criterion = kind(**arguments)
    return made


def criterion_to_torch(criterion: nn.Criterion) -> Any:
    """The loss of PyTorch for a criterion.

    Parameters
    ----------
    criterion : Criterion
        With `reduction` "mean" or "sum".

    Returns
    -------
    torch.nn.Module
        With the same arguments; a weight of the classes is copied.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        PyTorch has no such loss or reduction: the line names it.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> fastnn.interop.criterion_to_torch(nn.MSELoss(reduction="sum"))  # doctest: +SKIP
    MSELoss()
    """
    where = "criterion_to_torch"
    torch = required(where, "torch")
    name = type(criterion).__name__
    fixed = CRITERIONS.get(name)
    if fixed is None or type(criterion) is not getattr(nn, name):
        raise TypeError(f"{where}: expected a criterion of fastnn, got {type(criterion).__module__}.{name}")
    if isinstance(fixed, Unavailable):
        raise TypeError(f"{where}: expected a criterion that PyTorch has, got {name}: {fixed.reason}")
    if criterion.reduction == "batchmean":
        raise ValueError(f"{where}: expected {name} with reduction 'mean' or 'sum', got 'batchmean'")
    arguments = {argument: getattr(criterion, argument) for argument in criterion.config_names}
    if arguments.get("weight") is not None:
        arguments["weight"] = as_tensor(torch, arguments["weight"])
    return getattr(torch.nn, name)(**arguments)


def optimizer_from_torch(optimizer: Any, model: nn.Module) -> optim.Optimizer:
    """The optimiser of fastnn for one of PyTorch, with its hyper-parameters and its state so far.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Of the parameters of a module, in the order of `module.parameters()`.
    model : Module
        The same model in fastnn, for example `from_torch(module)`.

    Returns
    -------
    Optimizer
        Of `model`. Its next step is the one that `optimizer` would take.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        fastnn has no such optimiser or option, groups of parameters have different hyper-parameters, or the parameters
        are not those of `model`.

    Examples
    --------
    >>> import fastnn
    >>> twin = torch.nn.Linear(3, 2)  # doctest: +SKIP
    >>> model = fastnn.interop.from_torch(twin)  # doctest: +SKIP
    >>> fastnn.interop.optimizer_from_torch(torch.optim.SGD(twin.parameters(), lr=0.1), model)  # doctest: +SKIP
    SGD(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
    """
    where = "optimizer_from_torch"
    torch = required(where, "torch")
    name = type(optimizer).__name__
    if name not in OPTIMIZERS or type(optimizer) is not getattr(torch.optim, name):
        raise TypeError(f"{where}: expected an optimizer that fastnn has, got {type(optimizer).__module__}.{name}")
    kind, groups = getattr(optim, name), optimizer.param_groups
    for group in groups:
        _expect(where, name, OPTIMIZERS[name], group)
        _expect(where, f"groups of {name}", {key: groups[0][key] for key in kind.rules}, group)
    made: optim.Optimizer = kind(model, **{key: _plain(groups[0][key]) for key in kind.rules})
    tensors = [tensor for group in groups for tensor in group["params"]]
    _expect_shapes(where, [tuple(tensor.shape) for tensor in tensors], model.parameters())
    state = {}
    for index, tensor in enumerate(tensors):
        entry = {key: value for key, value in optimizer.state.get(tensor, {}).items() if value is not None}
        if entry:
            step = int(entry.pop("step", 1))  # SGD counts none
            state[index] = {"step": step, **{key: as_array(torch, key, value) for key, value in entry.items()}}
    hyper_parameters = {key: getattr(made, key) for key in kind.rules}
    if "initial_lr" in groups[0]:
        hyper_parameters["initial_lr"] = _plain(groups[0]["initial_lr"])
    made.load_state_dict({"state": state, "hyperparameters": hyper_parameters})
    return made


def optimizer_to_torch(optimizer: optim.Optimizer, module: Any) -> Any:
    """The optimiser of PyTorch for one of fastnn, with its hyper-parameters and its state so far.

    Parameters
    ----------
    optimizer : Optimizer
        Of a model of fastnn.
    module : torch.nn.Module
        The same model in PyTorch, for example `to_torch(optimizer.model)`.

    Returns
    -------
    torch.optim.Optimizer
        Of `module.parameters()`. Its next step is the one that `optimizer` would take.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        PyTorch has no such optimiser, or the parameters are not those of `module`.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn, optim
    >>> model = nn.Linear(3, 2)
    >>> twin = fastnn.interop.to_torch(model)  # doctest: +SKIP
    >>> optimizer = fastnn.interop.optimizer_to_torch(optim.Adam(model, lr=0.01), twin)  # doctest: +SKIP
    """
    where = "optimizer_to_torch"
    torch = required(where, "torch")
    name = type(optimizer).__name__
    if name not in OPTIMIZERS or type(optimizer) is not getattr(optim, name):
        raise TypeError(f"{where}: expected an optimizer of fastnn, got {type(optimizer).__module__}.{name}")
    tensors = list(module.parameters())
    _expect_shapes(where, [tuple(tensor.shape) for tensor in tensors], optimizer.model.parameters())
    made = getattr(torch.optim, name)(tensors, **{key: getattr(optimizer, key) for key in optimizer.rules})
    if hasattr(optimizer, "initial_lr"):
        made.param_groups[0]["initial_lr"] = optimizer.initial_lr
    for index, entry in optimizer.state.items():
        tensor = tensors[index]
        state = {key: as_tensor(torch, value).to(tensor.dtype) for key, value in entry.items() if key != "step"}
        if name != "SGD":
            state["step"] = torch.tensor(float(entry["step"]))
        if state:
            made.state[tensor] = state
    return made


def _plain(value: Any) -> Any:
    """A hyper-parameter as numbers: PyTorch's may be tensors."""
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value.item() if hasattr(value, "item") else value


def _expect(where: str, name: str, fixed: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise unless the options have these values, where there are such options."""
    for key, value in fixed.items():
        got = options.get(key, value)
        if got is not value and (value is None or _plain(got) != _plain(value)):
            shown = f"a tensor of shape {tuple(got.shape)}" if getattr(got, "shape", ()) else got
            raise ValueError(f"{where}: expected {name} with {key} {value}, got {shown}")


def _expect_shapes(where: str, shapes: list[tuple[int, ...]], arrays: list[np.ndarray]) -> None:
    """Raise unless the parameters of both sides have the same shapes in the same order."""
    expected = [array.shape for array in arrays]
    if shapes != expected:
        raise ValueError(f"{where}: expected parameters of the shapes {expected}, got {shapes}")

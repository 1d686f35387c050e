"""Learning rate schedulers: they set `lr` (and `OneCycleLR` the momentum) of an optimiser, step by step.

Signatures, semantics and numbers are those of `torch.optim.lr_scheduler`. An optimiser of fastnn has one group of
parameters, so the lists that PyTorch's schedulers show have one element here. `step()` comes after the optimiser's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments import choice, flag, integer, number, positive_int


class LRScheduler:
    """Base class of the schedulers; one of your own implements `next_lr(epoch, initial)`.

    Parameters
    ----------
    optimizer : Optimizer
        Or any object with an attribute `lr`.
    last_epoch : int
        -1 starts the schedule; the number of the last step resumes it, from the optimiser's `lr` and `initial_lr`.

    Attributes
    ----------
    last_epoch : int
        The number of the last step, 0 at first.
    base_lrs : list of float
        The learning rate that the schedule started from.

    Raises
    ------
    TypeError, ValueError
        The optimiser has no `lr`, or no `initial_lr` where the schedule is to be resumed.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> class Inverse(optim.lr_scheduler.LRScheduler):
    ...     def next_lr(self, epoch, initial):
    ...         return self.base_lrs[0] / (1 + epoch)
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=1.0)
    >>> scheduler = Inverse(optimizer)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> optimizer.lr
    0.5
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        where = type(self).__name__
        self.optimizer = _with_lr(where, optimizer)
        last_epoch = integer(where, "last_epoch", last_epoch, low=-1)
        if last_epoch == -1 and not hasattr(optimizer, "initial_lr"):
            optimizer.initial_lr = optimizer.lr
        if not hasattr(optimizer, "initial_lr"):
            raise ValueError(f"{where}: expected an optimizer with initial_lr to resume at {last_epoch}, got none")
        self.base_lrs: list[float] = [optimizer.initial_lr]
        self._advance(last_epoch + 1, initial=True)

    def next_lr(self, epoch: int, initial: bool) -> float:
        """Hook: the learning rate of step `epoch`; `initial` if the constructor asks, not `step`."""
        raise NotImplementedError(f"{type(self).__name__}: expected next_lr in the class, got none")

    def _advance(self, epoch: int, initial: bool = False) -> None:
        self.optimizer.lr = self.next_lr(epoch, initial)
        self.last_epoch = epoch
        self._last_lr = [self.optimizer.lr]

    def step(self) -> None:
        """Go one step further and set the optimiser's learning rate."""
        self._advance(self.last_epoch + 1)

    def get_last_lr(self) -> list[float]:
        """The learning rate that was set last, as a list of one number."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, as JSON-able values."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` gave; the optimiser's learning rate comes with the optimiser's own state.

        Raises
        ------
        TypeError, ValueError
            It is no mapping, or has other names than this scheduler's state.
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"{where}: expected a mapping, got {type(state_dict).__name__}")
        if set(state_dict) != set(self.state_dict()):
            expected, got = (", ".join(sorted(map(str, names))) for names in (self.state_dict(), state_dict))
            raise ValueError(f"{where}: expected {expected}, got {got or 'nothing'}")
        vars(self).update(state_dict)


class StepLR(LRScheduler):
    """Multiply the learning rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        At least 1.
    gamma : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=1.0)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> optimizer.lr
    0.25
    """

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = positive_int("StepLR", "step_size", step_size)
        self.gamma = number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, epoch: int, initial: bool) -> float:
        lr: float = self.optimizer.lr
        return lr if epoch == 0 or epoch % self.step_size else lr * self.gamma


class ExponentialLR(LRScheduler):
    """Multiply the learning rate by `gamma` every step.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=1.0)
    >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, epoch: int, initial: bool) -> float:
        lr: float = self.optimizer.lr
        return lr if initial else lr * self.gamma


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down to `eta_min` in `T_max` steps: eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        At least 1.
    eta_min : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range.

    Notes
    -----
    Computed from the optimiser's present rate, as in PyTorch, so that other changes to it carry on. Loshchilov and
    Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without the restarts.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=1.0)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> round(optimizer.lr, 6)
    0.5
    """

    def __init__(self, optimizer: Any, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = positive_int("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, epoch: int, initial: bool) -> float:
        lr: float = self.optimizer.lr
        if initial:
            return lr
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # up again from the minimum, where the ratio is 0 / 0
            return lr + (self.base_lrs[0] - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        now, before = (1 + math.cos(math.pi * t / self.T_max) for t in (epoch, epoch - 1))
        return now / before * (lr - self.eta_min) + self.eta_min


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by `factor` when a metric has not improved for more than `patience` steps.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether a smaller or a larger metric is better.
    factor : float
        Less than 1.
    patience : int
        Steps without improvement that are tolerated.
    threshold : float
    threshold_mode : {"rel", "abs"}
        An improvement is below best (1 - threshold), or best - threshold; above best (1 + threshold), or
        best + threshold, for "max".
    cooldown : int
        Steps after a reduction in which the metric does not count.
    min_lr : float or list of one float
    eps : float
        A change of the rate that is not greater is left out.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=1.0)
    >>> scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    >>> optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        where = "ReduceLROnPlateau"
        self.optimizer = _with_lr(where, optimizer)
        self.mode = choice(where, "mode", mode, ("min", "max"))
        self.factor = number(where, "factor", factor, below=1)
        self.patience = integer(where, "patience", patience)
        self.threshold = number(where, "threshold", threshold)
        self.threshold_mode = choice(where, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = integer(where, "cooldown", cooldown)
        self.min_lrs = [_one(where, "min_lr", min_lr)]
        self.eps = number(where, "eps", eps)
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = [self.optimizer.lr]

    @property
    def in_cooldown(self) -> bool:
        """Whether the metric does not count at present."""
        return self.cooldown_counter > 0

    def step(self, metrics: float) -> None:  # type: ignore[override]
        """Take note of the metric and reduce the optimiser's learning rate if it is time."""
        metrics = float(metrics)
        self.last_epoch += 1
        if self._is_better(metrics):
            self.best, self.num_bad_epochs = metrics, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lr = max(self.optimizer.lr * self.factor, self.min_lrs[0])
            if self.optimizer.lr - lr > self.eps:
                self.optimizer.lr = lr
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [self.optimizer.lr]

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return metric > limit if self.mode == "max" else metric < limit


class OneCycleLR(LRScheduler):
    """The 1cycle policy: the rate rises from max_lr / div_factor to max_lr, then falls far below the start.

    Call `step` after every batch.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float or list of one float
        At least 0.
    total_steps : int, optional
        Length of the cycle; or give `epochs` and `steps_per_epoch`, whose product it is.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        Share of the cycle in which the rate rises, in [0, 1].
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Move momentum (or betas[0]) the other way, between `max_momentum` and `base_momentum`.
    base_momentum, max_momentum : float or list of one float
    div_factor, final_div_factor : float
        The first rate is max_lr / div_factor, the last one max_lr / div_factor / final_div_factor; greater than 0.
    three_phase : bool
        Fall back to the first rate symmetrically, then to the last.
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range, the length is missing, the optimiser has no momentum to cycle,
        or `step` is called more than `total_steps` times.

    Notes
    -----
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> from fastnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(1, 1), lr=0.1, momentum=0.9)
    >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> round(optimizer.lr, 6), optimizer.momentum
    (0.04, 0.95)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> round(optimizer.lr, 6), round(optimizer.momentum, 6)
    (1.0, 0.85)
    """

    def __init__(
        self,
        optimizer: Any,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        where = "OneCycleLR"
        _with_lr(where, optimizer)
        if total_steps is not None:
            self.total_steps = positive_int(where, "total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            steps = positive_int(where, "steps_per_epoch", steps_per_epoch)
            self.total_steps = positive_int(where, "epochs", epochs) * steps
        else:
            raise ValueError(f"{where}: expected total_steps, or epochs and steps_per_epoch, got none")
        self.pct_start = number(where, "pct_start", pct_start, low=0, high=1)
        self.anneal_strategy = choice(where, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.three_phase = flag(where, "three_phase", three_phase)
        self.cycle_momentum = flag(where, "cycle_momentum", cycle_momentum)
        if self.cycle_momentum and not (hasattr(optimizer, "momentum") or hasattr(optimizer, "betas")):
            got = type(optimizer).__name__
            raise ValueError(f"{where}: expected an optimizer with momentum or betas to cycle, got {got}")
        self.max_lr = _one(where, "max_lr", max_lr, low=0)
        self.initial_lr = self.max_lr / number(where, "div_factor", div_factor, above=0)
        self.min_lr = self.initial_lr / number(where, "final_div_factor", final_div_factor, above=0)
        self.max_momentum = _one(where, "max_momentum", max_momentum, low=0)
        self.base_momentum = _one(where, "base_momentum", base_momentum, low=0)
        if last_epoch == -1:
            optimizer.initial_lr = self.initial_lr
        super().__init__(optimizer, last_epoch)

    def _phases(self) -> list[tuple[float, tuple[float, float], tuple[float, float]]]:
        """For each phase: its last step, the rates at its ends, the momenta at its ends."""
        first, top, last = self.initial_lr, self.max_lr, self.min_lr
        high, low = self.max_momentum, self.base_momentum
        rise = self.pct_start * self.total_steps - 1
        end = self.total_steps - 1
        if not self.three_phase:
            return [(rise, (first, top), (high, low)), (end, (top, last), (low, high))]
        fall = 2 * self.pct_start * self.total_steps - 2
        return [
            (rise, (first, top), (high, low)),
            (fall, (top, first), (low, high)),
            (end, (first, last), (high, high)),
        ]

    def next_lr(self, epoch: int, initial: bool) -> float:
        if epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: expected at most {self.total_steps} steps, got step {epoch}")
        phases = self._phases()
        start = 0.0
        while len(phases) > 1 and epoch > phases[0][0]:
            start = phases.pop(0)[0]
        end, rates, momenta = phases[0]
        share = (epoch - start) / (end - start) if end != start else 1.0
        if self.cycle_momentum:
            self._set_momentum(self._anneal(*momenta, share))
        return self._anneal(*rates, share)

    def _set_momentum(self, momentum: float) -> None:
        if hasattr(self.optimizer, "betas"):
            self.optimizer.betas = (momentum, *self.optimizer.betas[1:])
        else:
            self.optimizer.momentum = momentum

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def _with_lr(where: str, optimizer: Any) -> Any:
    if not hasattr(optimizer, "lr"):
        raise TypeError(f"{where}: expected an optimizer with lr, got {type(optimizer).__name__}")
    return optimizer


def _one(where: str, name: str, value: Any, **limits: float) -> float:
    """A number, or the only one of a list, as PyTorch takes one for each group of parameters."""
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(f"{where}: expected one {name}, got {len(value)}")
        value = value[0]
    return number(where, name, value, **limits)

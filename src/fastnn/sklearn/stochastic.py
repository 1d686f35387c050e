"""Training in batches: the optimiser of an estimator, its schedule of learning rates, its epochs and when they end."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from .. import optim
from ..callbacks import CallbackList
from ..program import Step
from ..progress import shown
from .network import CRITERIONS, Network
from .rows import Batches

Array = np.ndarray
SOLVERS = "sgd", "adam", "adamw"
LEAST_RATE = 1e-6  # of "adaptive", which stops there
ADAPTIVE_FACTOR = 5.0


class Stochastic:
    """The optimiser of a network, as an estimator's parameters ask for it, and the compiled step.

    Attributes
    ----------
    optimizer : Optimizer
    step : Step
    """

    def __init__(self, estimator: Any, network: Network) -> None:
        self.optimizer = _optimizer(estimator, network)
        self.step = Step(network.model, CRITERIONS[network.out_activation]("batchmean"), self.optimizer)
        self._thin_model = network.thin_model
        self._rate = self.optimizer.lr  # that the momentum buffers go with

    def train(self, batches: Batches, order: Array | None) -> tuple[Array, Array]:
        """An epoch: of each batch the loss, and the part of it that is the penalty."""
        self._rescale()
        return batches.train(self.step, self._thin_model, order)

    def _rescale(self) -> None:
        """Let the velocity, which is -rate times the momentum buffer, be what it was when the rate has changed."""
        rate = self.optimizer.lr
        if rate != self._rate and rate > 0:
            for state in self.optimizer.state.values():
                if "momentum_buffer" in state:
                    state["momentum_buffer"] *= self._rate / rate
            self._rate = rate

    def state(self) -> dict[str, Any]:
        """What a pickle keeps."""
        own = self.optimizer
        return {"of": type(own).__name__, "state": own.state_dict()["state"], "lr": own.lr, "rate": self._rate}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Go on from what `state` gave, if it is of such an optimiser."""
        if state is not None and state["of"] == type(self.optimizer).__name__:
            hyperparameters = self.optimizer.state_dict()["hyperparameters"]
            self.optimizer.load_state_dict({"state": state["state"], "hyperparameters": hyperparameters})
            self.optimizer.lr, self._rate = state["lr"], state["rate"]


def _optimizer(estimator: Any, network: Network) -> Any:
    """The optimiser of fastnn that a solver is."""
    model, rate = network.model, float(estimator.learning_rate_init)
    betas = estimator.beta_1, estimator.beta_2
    if estimator.solver == "sgd":
        momentum = float(estimator.momentum)
        return optim.SGD(model, rate, momentum, nesterov=bool(estimator.nesterovs_momentum and momentum > 0))
    if estimator.solver == "adam":
        optimizer = optim.Adam(model, rate, betas, estimator.epsilon)
        optimizer.eps_hat = True
        return optimizer
    return optim.AdamW(model, rate, betas, estimator.epsilon, estimator.weight_decay)


@dataclass
class Held:
    """The rows that early stopping holds back, their targets and weights, and the network that scored best on them."""

    X: Any
    y: Array
    weights: Array | None
    best: list[Array] | None = None


def fit(estimator: Any, network: Network, X: Any, y: Array, weights: Array | None, scored: Array | None, rng: Any,
        incremental: bool) -> None:  # fmt: skip
    """Train the network of an estimator until its parameters say that it is enough, or for one epoch.

    Parameters
    ----------
    X, y : array or CSR matrix, array
        As the step takes them.
    weights, scored : ndarray, shape (N,), or None
        Weights of the rows in training, and in the validation score.
    rng : RandomState
        Where splits and orders come from.
    """
    held: Held | None = None
    chosen: Array | None = None
    if estimator.early_stopping:
        chosen, held = _split(estimator, X, y, scored, rng)
        if not estimator.validation_scores_:
            held.best = snapshot(network)  # what remains of a training without a better score than NaN
    rows = X.shape[0] if chosen is None else len(chosen)
    batches = Batches(X, y, weights, chosen, _batch_size(estimator, rows), bool(estimator.batch_norm))
    epoch_loss = _Loss(estimator, network, batches)
    where = type(estimator).__name__
    hooks = CallbackList(where, estimator.callbacks or (), batches=False)
    epochs = 1 if incremental else estimator.max_iter
    order: Array | None = None
    estimator.n_iter_ = 0
    network.model.train()
    with hooks.training(estimator), shown(bool(estimator.progress), epochs, rows) as (on_rows, on_epoch):
        try:
            for epoch in range(1, epochs + 1):
                hooks.on_epoch_begin(estimator, epoch)
                if estimator.shuffle:
                    order = _next_order(order, rows, rng)
                record = _epoch(estimator, network, batches, order, epoch_loss, held)
                on_rows(rows)
                on_epoch(record)
                hooks.on_epoch_end(estimator, record)
                if _enough(estimator):
                    break
            else:
                if not incremental:
                    text = f"{where}: no convergence in the {epochs} epochs that max_iter allows"
                    warnings.warn(text, ConvergenceWarning, stacklevel=5)
        except KeyboardInterrupt:
            warnings.warn(f"{where}: training interrupted, the network stays as it is now", stacklevel=5)
    if held is not None and held.best is not None:
        restore(network, held.best)


def _epoch(estimator: Any, network: Network, batches: Batches, order: Array | None, epoch_loss: _Loss,
           held: Held | None) -> dict[str, Any]:  # fmt: skip
    """Train for an epoch, and note it in the estimator's attributes; its record."""
    started, rate = perf_counter(), estimator.optimizer.lr
    losses, penalties = estimator._stochastic.train(batches, order)
    rows = batches.X.shape[0] if batches.chosen is None else len(batches.chosen)
    estimator.n_iter_ += 1
    estimator.t_ += rows
    estimator.loss_ = epoch_loss(losses, penalties, order)
    estimator.loss_curve_.append(estimator.loss_)
    record = {"epoch": estimator.n_iter_, "loss": estimator.loss_}
    _compare(estimator, network, held, record)
    record |= {"lr": rate, "seconds": perf_counter() - started}
    _tell(estimator, record)
    if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
        estimator.optimizer.lr = float(estimator.learning_rate_init) / (estimator.t_ + 1) ** estimator.power_t
    return record


def _next_order(order: Array | None, rows: int, rng: Any) -> Array:
    """The order of an epoch: that of the epoch before, shuffled as `sklearn.utils.shuffle` does it."""
    picked = np.arange(rows, dtype=np.int64)
    rng.shuffle(picked)
    return picked if order is None else order[picked]


def _batch_size(estimator: Any, rows: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        where = type(estimator).__name__
        warnings.warn(
            f"{where}: expected batch_size <= {rows}, the training rows, got {estimator.batch_size}: {rows} is used",
            stacklevel=6,
        )
    return int(min(estimator.batch_size, rows))


def _split(estimator: Any, X: Any, y: Array, scored: Array | None, rng: Any) -> tuple[Array, Held]:
    """The numbers of the rows to train on, and what is held back: the split of scikit-learn for the same `rng`."""
    stratify = y.astype(bool) if estimator._stratifies() else None
    train, test = train_test_split(
        np.arange(X.shape[0]), random_state=rng, test_size=estimator.validation_fraction, stratify=stratify
    )
    if len(test) < 2:
        raise ValueError(
            f"{type(estimator).__name__}: expected a validation_fraction of at least 2 rows, got {len(test)} row"
        )
    return train, Held(X[test], y[test], None if scored is None else scored[test])


class _Loss:
    """The loss of an epoch as scikit-learn reports it, from the losses of the batches."""

    def __init__(self, estimator: Any, network: Network, batches: Batches) -> None:
        self.batches = batches
        self.outputs = estimator.n_outputs_ if network.out_activation == "identity" else 1
        self.constants: Array | None = None  # of the Poisson deviance: what does not depend on the network
        if network.out_activation == "exp":
            self.constants = (xlogy(batches.y, batches.y) - batches.y).sum(axis=1)

    def __call__(self, losses: Array, penalties: Array, order: Array | None) -> float:
        batches = self.batches
        losses = (losses - penalties) / self.outputs + penalties
        if self.constants is not None:
            weights = batches.weights
            totals = batches.sizes if weights is None else batches.sums(weights, order)
            losses += batches.sums(self.constants if weights is None else self.constants * weights, order) / totals
        return float(losses @ batches.sizes / batches.rows)


def _compare(estimator: Any, network: Network, held: Held | None, record: dict[str, Any]) -> None:
    """Note whether the epoch was better than the best one before, by the loss or by the rows held back."""
    if held is None:
        loss = estimator.loss_
        estimator._no_improvement_count = (
            estimator._no_improvement_count + 1 if loss > estimator.best_loss_ - estimator.tol else 0
        )
        estimator.best_loss_ = min(estimator.best_loss_, loss)
        return
    score = estimator._score(network.output(held.X), held.y, held.weights)
    record[estimator._score_name] = score
    estimator.validation_scores_.append(score)
    best = estimator.best_validation_score_
    estimator._no_improvement_count = estimator._no_improvement_count + 1 if score < best + estimator.tol else 0
    if score > best:
        estimator.best_validation_score_ = score
        held.best = snapshot(network)


def _tell(estimator: Any, record: dict[str, Any]) -> None:
    """What `verbose` prints of an epoch."""
    if estimator.verbose:
        print(f"Iteration {record['epoch']}, loss = {record['loss']:.8f}")
        if estimator._score_name in record:
            print(f"Validation score: {record[estimator._score_name]:f}")


def _enough(estimator: Any) -> bool:
    """Whether the training ends after this epoch; if not, "adaptive" may lower the learning rate."""
    if estimator.stop_training:
        return True
    if estimator._no_improvement_count <= estimator.n_iter_no_change:
        return False
    optimizer = estimator.optimizer
    what = "validation score" if estimator.early_stopping else "training loss"
    text = f"No better {what} by tol={estimator.tol:f} in {estimator.n_iter_no_change} epochs."
    adapts = estimator.solver == "sgd" and estimator.learning_rate == "adaptive" and optimizer.lr > LEAST_RATE
    if adapts:
        optimizer.lr /= ADAPTIVE_FACTOR
        estimator._no_improvement_count = 0
    if estimator.verbose:
        print(f"{text} {f'Learning rate {optimizer.lr:f} from now on' if adapts else 'Stopping'}.")
    return not adapts


def _arrays(network: Network) -> list[Array]:
    return [*network.model.parameters(), *(buffer for _, buffer in network.model.named_buffers())]


def snapshot(network: Network) -> list[Array]:
    """Copies of all that training changes."""
    return [array.copy(order="K") for array in _arrays(network)]


def restore(network: Network, arrays: list[Array]) -> None:
    """Write what `snapshot` gave into the arrays of the network."""
    for array, before in zip(_arrays(network), arrays, strict=True):
        array[...] = before

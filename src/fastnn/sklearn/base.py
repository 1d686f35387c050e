"""What both estimators share: parameters and their limits, fitting from validation to the solver, pickles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import backend, nn
from . import lbfgs, stochastic
from .network import ACTIVATIONS, Network, glorot, make_trainable, trainable
from .rows import prepared
from .stochastic import SOLVERS, Stochastic

Array = np.ndarray
KEY_END = 2**31 - 1  # of the seeds of dropout


class BaseMLP(BaseEstimator):
    """A multi-layer perceptron with scikit-learn's interface; use `MLPClassifier` or `MLPRegressor`."""

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012 (scikit-learn's name and form)
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), list, tuple],
        "solver": [StrOptions({"lbfgs", *SOLVERS})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "batch_norm": ["boolean"],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, tuple, None],
        "progress": ["boolean"],
    }
    _score_name: str  # of the validation score in the records of callbacks
    dropout: Any
    stop_training = False

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of a constructor as attributes, unchecked, as scikit-learn asks for."""
        self.__dict__.update({name: arguments[name] for name in self._get_param_names()})

    # What callbacks see

    @property
    def model(self) -> nn.Sequential:
        """The network that is trained; its weights are transposed views of `coefs_`."""
        check_is_fitted(self)
        return self._bound().model

    @property
    def optimizer(self) -> Any:
        """The optimiser of the last training in batches; None after lbfgs, or where a copy was loaded."""
        own = vars(self).get("_stochastic")
        return None if own is None else own.optimizer

    # Fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Any:
        hidden = self._hidden_layer_sizes()
        first = "coefs_" not in vars(self) or not (self.warm_start or incremental)
        self._check_extras(hidden, incremental)
        X, y = self._validated(X, y, incremental, first)
        if self.batch_norm and X.shape[0] < 2:
            raise ValueError(f"{type(self).__name__}: expected 2 rows or more with batch_norm, got n_samples = 1")
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        scored, weights = weights, self._class_weighted(weights, y, incremental)
        rng = check_random_state(self.random_state)
        dtype = X.dtype if first else self.coefs_[0].dtype
        X, y = prepared(X, dtype), self._targets(y, dtype)
        self.n_outputs_ = self._count_outputs(y)
        units = [X.shape[1], *hidden, self.n_outputs_]
        if first:
            self._initialize(units, dtype, rng)
        else:
            self._check_units(units)
        self.__dict__.pop("stop_training", None)
        with self._threads():
            network = self._network_to_train(rng)
            if self.solver == "lbfgs":
                for name in ("_stochastic", "_resume"):
                    self.__dict__.pop(name, None)
                lbfgs.fit(self, X, y, weights)
            else:
                self._prepare_stochastic(network, incremental)
                stochastic.fit(self, network, X, y, weights, scored, rng, incremental)
        self.__dict__.pop("stop_training", None)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                f"{type(self).__name__}: expected finite coefs_ and intercepts_ after training, got inf or nan: "
                "scale the data, or lower learning_rate_init"
            )
        return self

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        raise NotImplementedError

    def _targets(self, y: Any, dtype: Any) -> Array:
        raise NotImplementedError

    def _count_outputs(self, y: Array) -> int:
        return y.shape[1]

    def _class_weighted(self, weights: Array | None, y: Any, incremental: bool) -> Array | None:
        return weights

    def _stratifies(self) -> bool:
        """Whether early stopping holds back the same share of each target."""
        return False

    def _out_activation(self) -> str:
        raise NotImplementedError

    def _hidden_layer_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if isinstance(sizes, Iterable) else [sizes]
        for size in sizes:
            if not isinstance(size, Integral) or size < 1:
                raise ValueError(f"{type(self).__name__}: expected hidden_layer_sizes > 0, got {sizes}")
        return [int(size) for size in sizes]

    def _check_extras(self, hidden: list[int], incremental: bool) -> None:
        """Raise unless the parameters agree with each other."""
        where = type(self).__name__
        if incremental and self.early_stopping:
            raise ValueError(f"{where}: expected early_stopping=False with partial_fit, got True")
        for name, values in (("activation", self._activations(hidden)), ("dropout", self._dropouts(hidden))):
            if len(values) != max(len(hidden), name == "activation"):
                raise ValueError(f"{where}: expected {name} for {len(hidden)} hidden layers, got {len(values)}")
        for activation in self._activations(hidden):
            if activation not in ACTIVATIONS:
                raise ValueError(f"{where}: expected activation among {', '.join(ACTIVATIONS)}, got {activation!r}")
        for p in self._dropouts(hidden):
            if not isinstance(p, Real) or not 0 <= p < 1:
                raise ValueError(f"{where}: expected dropout >= 0 and < 1, got {p!r}")
        if self.solver == "lbfgs" and (self.batch_norm or any(self._dropouts(hidden))):
            raise ValueError(f"{where}: expected solver {', '.join(SOLVERS)} with dropout or batch_norm, got lbfgs")

    def _activations(self, hidden: Any = None) -> list[str]:
        """One a hidden layer; without hidden layers the one that the initial values are drawn for."""
        count = len(self.coefs_) - 1 if hidden is None else len(hidden)
        return [self.activation] * max(count, 1) if isinstance(self.activation, str) else list(self.activation)

    def _dropouts(self, hidden: Any) -> list[float]:
        shared = isinstance(self.dropout, Real)
        return [self.dropout] * len(hidden) if shared else list(self.dropout)

    def _initialize(self, units: list[int], dtype: Any, rng: Any) -> None:
        """Fresh weights and statistics, as before the first epoch."""
        activations = self._activations(units[1:-1])
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        self.coefs_, self.intercepts_ = glorot(units, [*activations, activations[-1]], dtype, rng)
        for name in ("_network", "_stochastic", "_resume", "_dropout_layers", "batch_norms_"):
            self.__dict__.pop(name, None)
        if self.batch_norm:
            self.batch_norms_ = [nn.BatchNorm1d(size, dtype=dtype) for size in units[1:-1]]
        if self.solver in SOLVERS:
            self._start_curves()

    def _start_curves(self) -> None:
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _check_units(self, units: list[int]) -> None:
        """Raise unless a training that goes on finds the layers that it asks for."""
        found = [len(self.coefs_[0]), *(coef.shape[1] for coef in self.coefs_)]
        if found != units:
            raise ValueError(f"{type(self).__name__}: expected the layers of the fit before, {found}, got {units}")
        if bool(self.batch_norm) != hasattr(self, "batch_norms_"):
            raise ValueError(f"{type(self).__name__}: expected batch_norm as in the fit before, got {self.batch_norm}")

    # The network

    def _network_to_train(self, rng: Any) -> Network:
        """The network, its arrays such that a compiled step can write to them."""
        own, dtype = vars(self), self.coefs_[0].dtype
        for arrays in (self.coefs_, self.intercepts_):
            arrays[:] = [trainable(array, dtype) for array in arrays]
        for norm in own.get("batch_norms_", ()):
            make_trainable(norm)
        rates = self._dropouts(self.coefs_[1:])
        if any(rates) and "_dropout_layers" not in own:
            self._dropout_layers = [nn.Dropout(rng=int(rng.randint(KEY_END))) for _ in rates]
        for layer, p in zip(own.get("_dropout_layers", ()), rates, strict=False):
            layer.p = float(p)
        if "_network" not in own:
            self._network = self._make_network()
        return self._bound()

    def _make_network(self) -> Network:
        own = vars(self)
        return Network(self.coefs_, self.intercepts_, self._activations(), self.out_activation_,
                       own.get("_dropout_layers", ()), own.get("batch_norms_", ()))  # fmt: skip

    def _bound(self) -> Network:
        """The network over the arrays as they are now; another one where parameters ask for other layers."""
        if not self._network.consists_of(self._activations(), vars(self).get("_dropout_layers", ())):
            self._network = self._make_network()
        return self._network.bind(self.coefs_, self.intercepts_)

    def _prepare_stochastic(self, network: Network, incremental: bool) -> None:
        """The optimiser: that of the calls before in `partial_fit`, else a new one."""
        own, resume = vars(self).get("_stochastic"), self.__dict__.pop("_resume", None)
        if not incremental or own is None or own.step.model is not network.model:
            self._stochastic = Stochastic(self, network)
            if incremental:
                self._stochastic.resume(resume if own is None else own.state())
        self._stochastic.optimizer.penalty = float(self.alpha)
        wanted = "validation_scores_" if self.early_stopping else "best_loss_"
        if vars(self).get(wanted) is None:
            self._start_curves()

    def _threads(self) -> Any:
        return contextlib.nullcontext() if self.n_threads is None else backend.threads(int(self.n_threads))

    def _output(self, X: Any) -> Array:
        """The activation of the output at rows that are checked."""
        check_is_fitted(self)
        dtype = "numeric" if self.dtype is None else np.dtype(self.dtype)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=dtype, reset=False)
        with self._threads():
            return self._bound().output(prepared(X, X.dtype))

    def _input_dtypes(self) -> Any:
        return (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)

    # Pickles

    def __getstate__(self) -> dict[str, Any]:
        """The state without what can be made again: the layers and the compiled step."""
        state = dict(super().__getstate__())
        state.pop("_network", None)
        if (own := state.pop("_stochastic", None)) is not None:
            state["_resume"] = own.state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "coefs_" in state:
            self._network = self._make_network()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_partial_fit(estimator: Any) -> bool:
    """Whether an estimator can train on one batch after the other; raises what its absence means."""
    if estimator.solver not in SOLVERS:
        raise AttributeError(f"partial_fit: expected solver {', '.join(SOLVERS)}, got {estimator.solver}")
    return True

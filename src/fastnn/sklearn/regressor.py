"""`MLPRegressor`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from .base import BaseMLP, has_partial_fit
from .documentation import documented

Array = np.ndarray


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = documented(
        """A multi-layer perceptron that predicts numbers, with the interface and the results of scikit-learn's.

    Parameters
    ----------
    loss : {'squared_error', 'poisson'}, default='squared_error'
        Half the squared error, or half the Poisson deviance of the exponential of the network's output, for y >= 0.
    NETWORK
    EXTRAS

    Attributes
    ----------
    ATTRIBUTES

    Raises
    ------
    ValueError
        In `fit`: a parameter is out of range or does not go with another one, data do not fit, or the weights became
        infinite.

    Notes
    -----
    With scikit-learn's parameters alone the initial weights are scikit-learn's to the last bit and the batches are the
    same; losses, weights and predictions are equal up to rounding. What differs: float32 data give float32 `coefs_`
    with 'lbfgs' too, Ctrl-C keeps the last iteration of 'lbfgs' too, `warm_start` with other `hidden_layer_sizes` is an
    error, and so is y < 0 with the Poisson loss. As in scikit-learn, the squared error is averaged over several outputs
    in the loss that is reported, and summed in its gradient.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010; Kingma and Ba,
    "Adam: a method for stochastic optimization", 2015; Loshchilov and Hutter, "Decoupled weight decay regularization",
    2019.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> from fastnn.sklearn import MLPRegressor
    >>> X, y = make_regression(n_samples=400, n_features=5, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y / y.std(), random_state=0)
    >>> regressor = MLPRegressor(learning_rate_init=0.01, random_state=0).fit(X_train, y_train)
    >>> bool(regressor.score(X_test, y_test) > 0.95)
    True
    """,
        "val_r2",
        "'identity', or 'exp' with the Poisson loss",
    )

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's name and form)
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }
    _score_name = "val_r2"

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.01,
        dtype: str | None = None,
        n_threads: int | None = None,
        callbacks: Any = None,
        progress: bool = False,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train on rows and their targets.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
            Sparse data are never made dense as a whole.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like, shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight)

    @available_if(has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one more epoch, on these rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """The targets that the network expects of rows.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
        """
        output = self._output(X)
        return output.ravel() if output.shape[1] == 1 else output

    # What the training asks for

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
                             dtype=self._input_dtypes(), reset=reset)  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"{type(self).__name__}: expected y >= 0 with loss='poisson', got {y.min()}")
        return X, y

    def _targets(self, y: Any, dtype: Any) -> Array:
        return np.ascontiguousarray(y, dtype).reshape(len(y), -1)

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _score(self, output: Array, y: Array, weights: Array | None) -> float:
        """The coefficient of determination; NaN where the output is not finite."""
        return float(r2_score(y, output, sample_weight=weights)) if np.isfinite(output).all() else np.nan

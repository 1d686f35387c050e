"""scikit-learn's own checks of estimators."""

import warnings

import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

# What scikit-learn checks its own with: as many iterations, and solvers to which a weight is so many rows.
ESTIMATORS = [
    MLPClassifier(max_iter=100),
    MLPRegressor(max_iter=100),
    MLPClassifier(max_iter=100, solver="lbfgs"),
    MLPRegressor(max_iter=100, solver="sgd", tol=1e-2, random_state=42),
    MLPClassifier(
        (8, 6),
        ["gelu", "silu"],
        solver="adamw",
        max_iter=100,
        dropout=0.1,
        batch_norm=True,
        class_weight="balanced",
        n_threads=1,
        learning_rate_init=0.01,
        random_state=0,
    ),
]


@parametrize_with_checks(ESTIMATORS)
def test_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)

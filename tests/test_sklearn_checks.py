"""scikit-learn's own checks of estimators."""

import warnings

import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

ESTIMATORS = [
    MLPClassifier(max_iter=100),
    MLPRegressor(max_iter=100),
    MLPClassifier(max_iter=100, solver="lbfgs"),
    MLPRegressor(max_iter=100, solver="lbfgs"),
    MLPClassifier((8, 6), ["gelu", "silu"], solver="adamw", max_iter=100, learning_rate_init=0.01, n_threads=1),
    MLPRegressor(dropout=0.1, batch_norm=True, max_iter=100, learning_rate_init=0.01, random_state=0),
]
BY_ROWS = "dropout and the statistics of batch normalisation count rows, whatever their weights"


def expected_failures(estimator):
    """None with the parameters that scikit-learn's estimators have too."""
    names = "check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"
    return dict.fromkeys(names, BY_ROWS) if estimator.batch_norm else {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)

"""Metrics of regressions: squared and absolute errors, the coefficient of determination."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import real
from .rows import outputs, weights

Array = np.ndarray


def mean_squared_error(
    y_true: Any, y_pred: Any, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """The mean of (y_true - y_pred)^2.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (N,) or (N, outputs)
        Numbers; (N,) and (N, 1) are the same.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.
    multioutput : {"uniform_average", "raw_values"} or array-like, shape (outputs,)
        The mean over the outputs, the number of each, or the mean with these weights.

    Returns
    -------
    float, or ndarray (outputs,) for "raw_values"
        At least 0. NaN and infinity propagate.

    Raises
    ------
    TypeError, ValueError
        Arrays are not of real numbers, of different shapes, or empty.

    Examples
    --------
    >>> from fastnn.metrics import mean_squared_error
    >>> mean_squared_error([1.0, 2.0], [[1.0], [4.0]])
    2.0
    """
    where = "mean_squared_error"
    return _averaged(where, _mean_errors(where, y_true, y_pred, sample_weight, np.square), multioutput)


def root_mean_squared_error(
    y_true: Any, y_pred: Any, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """The square root of the mean squared error of each output, in the unit of the data.

    Parameters
    ----------
    y_true, y_pred, sample_weight, multioutput
        As in `mean_squared_error`.

    Returns
    -------
    float, or ndarray (outputs,) for "raw_values"
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `mean_squared_error` raises them.

    Examples
    --------
    >>> from fastnn.metrics import root_mean_squared_error
    >>> root_mean_squared_error([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])
    2.0
    """
    where = "root_mean_squared_error"
    return _averaged(where, np.sqrt(_mean_errors(where, y_true, y_pred, sample_weight, np.square)), multioutput)


def mean_absolute_error(
    y_true: Any, y_pred: Any, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """The mean of |y_true - y_pred|.

    Parameters
    ----------
    y_true, y_pred, sample_weight, multioutput
        As in `mean_squared_error`.

    Returns
    -------
    float, or ndarray (outputs,) for "raw_values"
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `mean_squared_error` raises them.

    Examples
    --------
    >>> from fastnn.metrics import mean_absolute_error
    >>> mean_absolute_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [3.0, 6.0]], multioutput="raw_values")
    array([0. , 1.5])
    """
    where = "mean_absolute_error"
    return _averaged(where, _mean_errors(where, y_true, y_pred, sample_weight, np.abs), multioutput)


def r2_score(
    y_true: Any, y_pred: Any, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """The coefficient of determination: 1 - sum (y_true - y_pred)^2 / sum (y_true - mean y_true)^2.

    1 is a perfect prediction, 0 is as good as the mean of y_true, below 0 is worse. An output that is constant in
    y_true has 1 if it is predicted exactly and 0 otherwise.

    Parameters
    ----------
    y_true, y_pred, sample_weight, multioutput
        As in `mean_squared_error`; also multioutput="variance_weighted", the mean weighted by the variances of y_true.

    Returns
    -------
    float, or ndarray (outputs,) for "raw_values"
        At most 1; NaN for a single row.

    Raises
    ------
    TypeError, ValueError
        As `mean_squared_error` raises them.

    Examples
    --------
    >>> from fastnn.metrics import r2_score
    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    where = "r2_score"
    truth, predicted = outputs(where, y_true, y_pred)
    weight = weights(where, sample_weight, len(truth))
    left = weight @ np.square(truth - predicted)
    truth = truth - truth[0]  # so that the mean of a constant output is exact
    spread = weight @ np.square(truth - weight @ truth / weight.sum())
    scores = np.where(left == 0, 1.0, 0.0)
    np.subtract(1, np.divide(left, spread, out=np.ones_like(left), where=spread != 0), out=scores, where=spread != 0)
    if len(truth) == 1:
        scores = np.full_like(scores, np.nan)
    if isinstance(multioutput, str) and multioutput == "variance_weighted":
        multioutput = spread if spread.any() else "uniform_average"
    return _averaged(where, scores, multioutput, ", 'variance_weighted'")


def _mean_errors(where: str, y_true: Any, y_pred: Any, sample_weight: Any, kind: Any) -> Array:
    """The weighted mean of the errors of each output."""
    truth, predicted = outputs(where, y_true, y_pred)
    weight = weights(where, sample_weight, len(truth))
    means: Array = weight @ kind(truth - predicted) / weight.sum()
    return means


def _averaged(where: str, values: Array, multioutput: Any, more: str = "") -> float | Array:
    """One number of those of the outputs, or all of them."""
    if isinstance(multioutput, str):
        if multioutput == "raw_values":
            return values
        if multioutput == "uniform_average":
            return float(values.mean())
        words = f"'uniform_average', 'raw_values'{more} or weights"
        raise ValueError(f"{where}: expected multioutput {words}, got {multioutput!r}")
    shares = real(where, "multioutput", multioutput)
    if shares.shape != values.shape or not shares.sum():
        raise ValueError(f"{where}: expected multioutput as weights of shape {values.shape}, got {shares.shape}")
    return float(values @ shares / shares.sum())

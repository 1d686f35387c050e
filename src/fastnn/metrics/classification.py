"""Metrics of classifications: accuracies, the confusion matrix, precision, recall and F1."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import choice, positive_int
from ..checks import real
from .rows import as_labels, classes, weights, within_classes

Array = np.ndarray
AVERAGES = ("macro", "micro", "weighted", "binary")


def accuracy(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """The share of the rows whose class is right.

    Parameters
    ----------
    y_true : array-like, shape (N,) or (N, C)
        Labels (numbers or strings), or one-hot or probability rows.
    y_pred : array-like, shape (N,) or (N, C)
        Labels, or scores: the first of the highest ones is the class.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    TypeError, ValueError
        Arrays are not of these shapes and kinds, of different lengths, or empty.
    IndexError
        A label is not in [0, C) where the others are rows of C classes.

    Examples
    --------
    >>> from fastnn.metrics import accuracy
    >>> accuracy([0, 1, 1], [[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]])
    0.6666666666666666
    """
    truth, predicted, _ = classes("accuracy", y_true, y_pred)
    weight = weights("accuracy", sample_weight, len(truth))
    return float(weight @ (truth == predicted) / weight.sum())


def top_k_accuracy(y_true: Any, y_score: Any, k: int = 5, sample_weight: Any = None) -> float:
    """The share of the rows whose class is among the k highest scores.

    Parameters
    ----------
    y_true : array-like, shape (N,) or (N, C)
        Labels in [0, C), or one-hot or probability rows.
    y_score : array-like, shape (N, C)
        Scores. Of equal ones the first is the higher; NaN is never among the highest.
    k : int
        From 1; with k >= C every row without NaN counts.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    TypeError, ValueError, IndexError
        As `accuracy` raises them.

    Examples
    --------
    >>> from fastnn.metrics import top_k_accuracy
    >>> top_k_accuracy([2, 0], [[0.1, 0.6, 0.3], [0.2, 0.5, 0.3]], k=2)
    0.5
    """
    where = "top_k_accuracy"
    k, scores = positive_int(where, "k", k), real(where, "y_score", y_score)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"{where}: expected y_score of shape (N, C) with 2 classes or more, got {scores.shape}")
    truth, _, _ = classes(where, y_true, scores)
    own = scores[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(scores.shape[1]) < truth[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    weight = weights(where, sample_weight, len(truth))
    return float(weight @ ((rank < k) & ~np.isnan(own[:, 0])) / weight.sum())


def confusion_matrix(
    y_true: Any, y_pred: Any, labels: Any = None, sample_weight: Any = None, normalize: str | None = None
) -> Array:
    """How many rows of class i were taken for class j.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (N,) or (N, C)
        As `accuracy` takes them.
    labels : array-like, shape (K,), optional
        The classes and their order; rows of other ones are left out. By default all that occur, sorted, or the C
        columns where rows (N, C) are given.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.
    normalize : {"true", "pred", "all"}, optional
        Divide by the sum of each row, of each column, or of all; 0 / 0 gives 0.

    Returns
    -------
    ndarray, shape (K, K)
        Class i of the truth in row i, class j of the predictions in column j: int64, or float64 with weights or shares.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `accuracy` raises them; or labels occur twice, or none of them occurs in y_true.

    Examples
    --------
    >>> from fastnn.metrics import confusion_matrix
    >>> confusion_matrix([0, 1, 2, 2], [0, 2, 2, 1])
    array([[1, 0, 0],
           [0, 0, 1],
           [0, 1, 1]])
    """
    where = "confusion_matrix"
    if normalize is not None:
        choice(where, "normalize", normalize, ("true", "pred", "all"))
    truth, predicted, width = classes(where, y_true, y_pred)
    names = _names(where, labels, truth, predicted, width)
    weight = weights(where, sample_weight, len(truth))
    counts = _counts(truth, predicted, names, weight)
    if normalize is not None:
        sums = counts.sum(axis={"true": 1, "pred": 0, "all": None}[normalize], keepdims=True)
        return _ratio(counts, np.broadcast_to(sums, counts.shape))
    return counts if sample_weight is not None else counts.astype(np.int64)


def balanced_accuracy(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """The mean over the classes that occur of the share of their rows that are right: each class counts the same.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (N,) or (N, C)
        As `accuracy` takes them.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    TypeError, ValueError, IndexError
        As `accuracy` raises them.

    Examples
    --------
    >>> from fastnn.metrics import balanced_accuracy
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    counts = confusion_matrix(y_true, y_pred, sample_weight=sample_weight)
    occurring = counts.sum(axis=1) > 0
    return float(np.mean(np.diag(counts)[occurring] / counts.sum(axis=1)[occurring]))


class PrecisionRecallF1(NamedTuple):
    """What `precision_recall_f1` returns: floats, or arrays (K,) of one number a class."""

    precision: Any
    recall: Any
    f1: Any


def precision_recall_f1(
    y_true: Any, y_pred: Any, average: str | None = "macro", labels: Any = None, sample_weight: Any = None
) -> PrecisionRecallF1:
    """Of the rows taken for a class, the share that are of it; of those of it, the share that were found; and F1.

    F1 is the harmonic mean of the two, 2 TP / (2 TP + FP + FN). Where there is nothing to divide by, a share is 0.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (N,) or (N, C)
        As `accuracy` takes them.
    average : {"macro", "micro", "weighted", "binary"} or None
        The plain mean over the classes, the share of all rows together, the mean weighted by the rows of each class,
        the numbers of class 1 alone where there are no others than 0 and 1; None gives the numbers of every class.
    labels : array-like, shape (K,), optional
        The classes that count, in this order; by default all, as in `confusion_matrix`.
    sample_weight : array-like, shape (N,), optional
        Weights from 0 of the rows.

    Returns
    -------
    PrecisionRecallF1
        A tuple (precision, recall, f1) of floats in [0, 1]; of arrays (K,) if average is None.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `accuracy` raises them; or the classes are others than 0 and 1 with "binary".

    Examples
    --------
    >>> from fastnn.metrics import precision_recall_f1
    >>> precision_recall_f1([0, 1, 1, 1], [0, 1, 1, 0], average="binary")
    PrecisionRecallF1(precision=1.0, recall=0.6666666666666666, f1=0.8)
    """
    where = "precision_recall_f1"
    if average is not None:
        choice(where, "average", average, AVERAGES)
    truth, predicted, width = classes(where, y_true, y_pred)
    weight = weights(where, sample_weight, len(truth))
    if average == "binary":
        found = [name for name in np.union1d(truth, predicted).tolist() if name not in (0, 1)]
        if found or width not in (None, 2):
            got = f"rows of {width}" if width not in (None, 2) else repr(found[0])
            raise ValueError(f"{where}: expected the classes 0 and 1 with average 'binary', got {got}")
        labels = [1]
    every = np.union1d(truth, predicted) if width is None else np.arange(width)
    names = every if labels is None else _names(where, labels, truth, predicted, width, occurring=False)
    right = np.array([weight @ ((truth == name) & (predicted == name)) for name in names])
    taken = np.array([weight @ (predicted == name) for name in names])
    held = np.array([weight @ (truth == name) for name in names])
    if average == "micro":
        right, taken, held = right.sum(keepdims=True), taken.sum(keepdims=True), held.sum(keepdims=True)
    shares = _ratio(right, taken), _ratio(right, held), _ratio(2 * right, taken + held)
    if average is None:
        return PrecisionRecallF1(*shares)
    by = held if average == "weighted" and held.any() else np.ones(len(held))
    return PrecisionRecallF1(*(float(share @ by / by.sum()) for share in shares))


def _names(where: str, labels: Any, truth: Array, predicted: Array, width: int | None, occurring: bool = True) -> Array:
    """The classes: those given, checked, or all that there are."""
    if labels is None:
        return np.union1d(truth, predicted) if width is None else np.arange(width)
    names, given_width = as_labels(where, "labels", labels)
    if given_width is not None or len(np.unique(names)) < len(names):
        raise ValueError(f"{where}: expected labels as a list of different classes, got {labels!r}")
    if (names.dtype.kind == "U") != (truth.dtype.kind == "U"):
        raise TypeError(f"{where}: expected labels like those of y_true ({truth.dtype}), got {names.dtype}")
    within_classes(where, "labels", names, width)
    if occurring and not np.isin(truth, names).any():
        raise ValueError(f"{where}: expected labels of which one occurs in y_true at least, got {labels!r}")
    return names


def _counts(truth: Array, predicted: Array, names: Array, weight: Array) -> Array:
    """The confusion matrix of these classes in float64, rows of others left out."""
    order = names.argsort(kind="stable")
    known = np.isin(truth, names) & np.isin(predicted, names)
    rows = order[np.searchsorted(names, truth[known], sorter=order)]
    cols = order[np.searchsorted(names, predicted[known], sorter=order)]
    size = len(names)
    return np.bincount(rows * size + cols, weight[known], size * size).reshape(size, size)


def _ratio(above: Array, below: Array) -> Array:
    """above / below, 0 where below is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below != 0)

"""Functions of whole arrays: splitting, one-hot rows, standardisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..random import generator
from .batches import rows


def train_test_split(
    X: Any,
    Y: Any,
    test_size: float | int = 0.2,
    rng: int | np.random.Generator | None = None,
    stratify: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Split samples and targets at random into a part to train on and a part to test on.

    Parameters
    ----------
    X : array-like, shape (N, ...)
        Samples.
    Y : array-like, shape (N, ...)
        Targets.
    test_size : float or int
        The share of the rows to test on, between 0 and 1 (rounded up), or their number.
    rng : None, int or numpy.random.Generator
        Where the choice comes from.
    stratify : bool
        Whether every class of Y (N,) gets its share in both parts, as near as whole rows allow; each class keeps at
        least one row to train on.

    Returns
    -------
    X_train, X_test, Y_train, Y_test : numpy.ndarray
        Copies, in random order.

    Raises
    ------
    ValueError
        If the lengths differ, or one of the parts would be empty, or a class would have nothing to train on.

    Examples
    --------
    >>> from fastnn.data import train_test_split
    >>> X, Y = [[1], [2], [3], [4]], [0, 0, 1, 1]
    >>> X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.5, rng=0, stratify=True)
    >>> X_train.shape, sorted(Y_test.tolist())
    ((2, 1), [0, 1])
    """
    where = "train_test_split"
    X, Y = rows(where, "X", X), rows(where, "Y", Y)
    if len(X) != len(Y):
        raise ValueError(f"{where}: expected X and Y of one length, got {len(X)} and {len(Y)} rows")
    count = test_count(where, test_size, len(X))
    random = generator(rng)
    order = random.permutation(len(X))
    if stratify:
        order = _stratified(where, order, Y, count, random)
    test, train = order[:count], order[count:]
    return X[train], X[test], Y[train], Y[test]


def test_count(where: str, test_size: float | int, size: int) -> int:
    """How many of `size` rows are for testing."""
    if isinstance(test_size, bool) or not isinstance(test_size, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where}: expected test_size as a number, got {test_size!r}")
    if isinstance(test_size, (float, np.floating)):
        if not 0 < test_size < 1:
            raise ValueError(f"{where}: expected test_size between 0 and 1, got {test_size}")
        # The rounding keeps 0.07 of 100 rows from becoming 8: 0.07 * 100 is 7.000000000000001.
        test_size = math.ceil(round(test_size * size, 6))
    if not 0 < test_size < size:
        raise ValueError(f"{where}: expected rows in both parts, got {test_size} of {size} rows to test on")
    return int(test_size)


def _stratified(where: str, order: np.ndarray, Y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`order` rearranged: its first `count` rows hold every class in proportion (largest remainders)."""
    if Y.ndim != 1:
        raise ValueError(f"{where}: expected Y of shape (N,) to stratify by, got {Y.shape}")
    classes, labels, sizes = np.unique(Y, return_inverse=True, return_counts=True)
    if len(Y) - count < len(classes):
        raise ValueError(
            f"{where}: expected at least one row of each of the {len(classes)} classes to train on, "
            f"got {len(Y) - count} rows to train on"
        )
    taken, remainder = np.divmod(sizes * count, len(Y))
    by_remainder = np.argsort(-remainder, kind="stable")
    while taken.sum() < count:
        room = [c for c in by_remainder if taken[c] < sizes[c] - 1]
        taken[room[: count - taken.sum()]] += 1
    groups = [order[labels[order] == c] for c in range(len(classes))]
    test = np.concatenate([group[:n] for group, n in zip(groups, taken, strict=True)])
    train = np.concatenate([group[n:] for group, n in zip(groups, taken, strict=True)])
    return np.concatenate([rng.permutation(test), rng.permutation(train)])


def one_hot(labels: Any, num_classes: int | None = None, dtype: Any = np.float32) -> np.ndarray:
    """Rows that are 1 at the label and 0 elsewhere.

    Parameters
    ----------
    labels : array-like of int, shape (...)
        Class labels from 0.
    num_classes : int, optional
        The number of classes C; without it, one more than the largest label.
    dtype : dtype
        Of the result.

    Returns
    -------
    numpy.ndarray, shape (..., C)
        The rows.

    Raises
    ------
    TypeError
        If the labels are not integers.
    IndexError
        If a label is not in [0, C).

    Examples
    --------
    >>> from fastnn.data import one_hot
    >>> one_hot([0, 2], num_classes=3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.size == 0 and labels.dtype.kind == "f":
        labels = labels.astype(np.int64)  # the dtype of an empty list says nothing
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integer class labels, got {labels.dtype}")
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise IndexError(f"one_hot: expected class labels in [0, {num_classes}), got {wrong}")
    output = np.zeros((labels.size, num_classes), dtype)
    output[np.arange(labels.size), labels.ravel().astype(np.int64)] = 1
    return output.reshape(*labels.shape, num_classes)


def standardize(X: Any, mean: Any = None, std: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale every column to mean 0 and standard deviation 1: (X - mean) / std.

    Parameters
    ----------
    X : array-like, shape (N, ...)
        Samples. What is not floating becomes float32.
    mean, std : array-like, shape (...), optional
        The statistics to use, such as those of the training rows; without them, those of X (the standard deviation
        divides by N and is 1 for a constant column), computed in float64.

    Returns
    -------
    X, mean, std : numpy.ndarray
        The scaled samples as a new array and the statistics that were used, all in the dtype of X.

    Raises
    ------
    ValueError
        If a shape does not fit, a given `std` is not positive, or X has no rows to compute statistics of.

    Examples
    --------
    >>> from fastnn.data import standardize
    >>> X, mean, std = standardize([[1.0, 5.0], [3.0, 5.0]])
    >>> X.tolist(), mean.tolist(), std.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [2.0, 5.0], [1.0, 1.0])
    >>> standardize([[5.0, 5.0]], mean, std)[0].tolist()
    [[3.0, 0.0]]
    """
    X = rows("standardize", "X", X)
    if X.dtype.kind not in "biuf":
        raise TypeError(f"standardize: expected X of a real dtype, got {X.dtype}")
    if X.dtype.kind != "f" or X.dtype.itemsize == 2:
        X = X.astype(np.float32)
    if len(X) == 0 and (mean is None or std is None):
        raise ValueError(f"standardize: expected at least one row, got shape {X.shape}")
    if mean is None:
        mean = np.where(X.min(axis=0) == X.max(axis=0), X[0], X.mean(axis=0, dtype=np.float64))
    if std is None:
        std = X.std(axis=0, dtype=np.float64).astype(X.dtype)
        std = np.where((X.min(axis=0) == X.max(axis=0)) | (std == 0), 1, std)
    mean, std = np.asarray(mean, X.dtype), np.asarray(std, X.dtype)
    for name, statistic in (("mean", mean), ("std", std)):
        if statistic.shape != X.shape[1:]:
            raise ValueError(f"standardize: expected {name} of shape {X.shape[1:]}, got {statistic.shape}")
    if (std <= 0).any():
        raise ValueError(f"standardize: expected std greater than 0, got {std.min()}")
    return (X - mean) / std, mean, std

"""What the rows of DATA become before a training: parts to train, validate and test on, and their preparation."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from ..data import standardize, train_test_split
from ..data.arrays import test_count
from .preparation import CLASSIFICATION, Preparation, as_labels, classes_of, task_of
from .sources import Source

TEST_SIZE = 0.2
VALIDATION_SIZE = 0.1  # of the training rows, where the training watches a loss on rows of its own


class Part(NamedTuple):
    """Some of the rows."""

    X: np.ndarray
    y: np.ndarray


class Parts(NamedTuple):
    """The rows to train on, to watch the training by, and to test on."""

    train: Part
    validation: Part
    test: Part


def prepare(source: Source, arguments: argparse.Namespace) -> tuple[Preparation, np.ndarray]:
    """The preparation, yet without scaling, and the targets."""
    if source.y is None:
        raise ValueError("expected targets y to train on, got none")
    y = source.y if source.test is None else np.concatenate([source.y, source.test[1]])
    task = task_of(y, arguments.task)
    if task == CLASSIFICATION:
        y = as_labels(y)
        if arguments.loss:
            raise ValueError("expected a regression for --loss, got classes (--task regression makes them numbers)")
    elif arguments.class_weight:
        raise ValueError("expected a classification for --class-weight, got numbers to predict")
    classes = classes_of(y) if task == CLASSIFICATION else []
    preparation = Preparation(task, source.X.shape[1], [0.0], [1.0], classes)
    if source.layout is not None:
        for name, value in source.layout._asdict().items():
            setattr(preparation, name, value)
    preparation.missing = "mean" if arguments.missing == "mean" else "error"
    return preparation, y


def split(source: Source, y: np.ndarray, arguments: argparse.Namespace, task: str, rng: np.random.Generator) -> Parts:
    """The data's own test rows, the last rows of ordered data, or a random choice; then the validation rows."""
    train, test = _test_rows(source, y, arguments, task, rng)
    share = arguments.validation_size
    if share is None:
        share = VALIDATION_SIZE if arguments.patience else 0
    if share == 0:
        if arguments.patience:
            raise ValueError("expected a --validation-size above 0 for --patience, got 0")
        return Parts(train, Part(train.X[:0], train.y[:0]), test)
    X, X_validation, y, y_validation = train_test_split(train.X, train.y, share, rng, stratify=task == CLASSIFICATION)
    return Parts(Part(X, y), Part(X_validation, y_validation), test)


def _test_rows(
    source: Source, y: np.ndarray, arguments: argparse.Namespace, task: str, rng: np.random.Generator
) -> tuple[Part, Part]:
    size = len(source.X)
    share = arguments.test_size
    if source.test is not None:
        if share is not None:
            raise ValueError("expected no --test-size, since the data has test files of its own")
        return Part(source.X, y[:size]), Part(source.test[0], y[size:])
    share = TEST_SIZE if share is None else share
    if share == 0:
        return Part(source.X, y), Part(source.X[:0], y[:0])
    if source.ordered:
        kept = size - test_count("--test-size", share, size)
        return Part(source.X[:kept], y[:kept]), Part(source.X[kept:], y[kept:])
    X, X_test, y, y_test = train_test_split(source.X, y, share, rng, stratify=task == CLASSIFICATION)
    return Part(X, y), Part(X_test, y_test)


def scale(preparation: Preparation, source: Source, train: Part) -> None:
    """Pixels to [0, 1]; numbers, in features and target, to mean 0 and deviation 1 in the training rows.

    Categories stay 0 and 1: divided by the small deviation of a rare one they would drown the numbers.
    """
    if source.scale is not None:
        preparation.std = [float(source.scale)]
    else:
        mean, std = _statistics(preparation, source, train.X)
        preparation.mean, preparation.std = mean.tolist(), std.tolist()
    if preparation.task != CLASSIFICATION:
        _, target_mean, target_std = standardize(train.y.astype(np.float64))
        preparation.target_mean, preparation.target_std = float(target_mean), float(target_std)


def _statistics(preparation: Preparation, source: Source, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of the features, where missing values are as the mean."""
    empty = np.isnan(X)
    if empty.any():
        filled = (~empty).sum(axis=0)
        means = np.where(empty, 0, X).sum(axis=0, dtype=np.float64) / np.maximum(filled, 1)
        X = np.where(empty, means.astype(np.float32), X)
        if not filled.all():
            column = int(np.flatnonzero(filled == 0)[0])
            place = f"column {column}"
            if source.places is not None:
                widths = [Preparation.width(c) for c in preparation.categories or [None] * preparation.n_columns]
                place = source.places[int(np.searchsorted(np.cumsum(widths), column, side="right"))]
            raise ValueError(f"expected values in {place} of the rows to train on, got none; --ignore leaves it out")
    _, mean, std = standardize(X)
    categorical = _is_category(preparation)
    return np.where(categorical, 0, mean), np.where(categorical, 1, std)


def _is_category(preparation: Preparation) -> np.ndarray:
    """Which features stand for a category."""
    columns = preparation.categories or [None] * preparation.n_columns
    return np.repeat([c is not None for c in columns], list(map(Preparation.width, columns)))


def without_unused(preparation: Preparation, parts: Parts) -> Parts:
    """The rows without the features of categories that no training row has, and the preparation without these."""
    if preparation.categories is None:
        return parts
    used = ~_is_category(preparation) | (parts.train.X > 0).any(axis=0)
    categories: list[list[str] | None] = []
    for texts in preparation.categories:
        start = sum(map(Preparation.width, preparation.categories[: len(categories)]))
        kept = used[start : start + Preparation.width(texts)]
        categories.append(None if texts is None else [text for text, keep in zip(texts, kept, strict=True) if keep])
    preparation.categories = categories
    preparation.n_features = int(used.sum())
    if preparation.n_features == 0:
        raise ValueError("expected features with values in the rows to train on, got none")
    preparation.mean, preparation.std = (
        [value for value, keep in zip(values, used, strict=True) if keep]
        for values in (preparation.mean, preparation.std)
    )
    return Parts(*(part._replace(X=np.ascontiguousarray(part.X[:, used])) for part in parts))

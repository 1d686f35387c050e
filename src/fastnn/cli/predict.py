"""`fastnn predict`: the predictions of a saved model, and their score where the data has targets."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import Any

import numpy as np

from .. import serialization
from ..data.tables import csv_columns
from ..trainer import Trainer
from .common import check_outputs, csv_options, score
from .preparation import CLASSIFICATION, Preparation, as_labels
from .sources import CsvOptions, is_csv, read


def run(arguments: argparse.Namespace) -> None:
    """Print the predictions, one a line, or write them to a file; then the score if the data has targets."""
    check_outputs([arguments.model, arguments.data], arguments.out)
    tensors, metadata = serialization.load_tensors(arguments.model)
    preparation = Preparation.loads(arguments.model, metadata)
    model = serialization.build(tensors, metadata, arguments.model)
    X, truth = _rows_to_predict(arguments, preparation)
    output = Trainer(model, None, None).predict(preparation.inputs(X))  # type: ignore[arg-type]
    expected = (len(X), len(preparation.classes) or 1)
    if output.shape != expected:
        raise ValueError(f"{arguments.model}: expected a model with output {expected}, got {output.shape}")
    predicted = preparation.outputs(output)
    summary = [] if truth is None else [score(preparation, predicted, truth)]
    if arguments.out is None:
        _write(sys.stdout, predicted)
        print(*summary, sep="\n", end="\n" if summary else "", file=sys.stderr)
        return
    with open(arguments.out, "w", newline="", encoding="utf-8") as file:
        _write(file, predicted, "prediction")
    print(*summary, f"predictions: {arguments.out}", sep="\n")


def _rows_to_predict(arguments: argparse.Namespace, preparation: Preparation) -> tuple[np.ndarray, np.ndarray | None]:
    """Features as the model was trained on and, where the data has them, targets."""
    name = arguments.data
    options = csv_options(arguments, preparation.target)
    if is_csv(name):
        options = options._replace(target=_target_to_predict(name, options, arguments.target, preparation))
    source = read(name, options)
    X, truth = source.test if source.test is not None else (source.X, source.y)
    names = source.features
    if names is not None and preparation.features is not None and names != preparation.features:
        missing = [feature for feature in preparation.features if feature not in names]
        if missing or len(names) != len(preparation.features):
            raise ValueError(f"{name}: expected the columns {', '.join(preparation.features)}, got {', '.join(names)}")
        X = X[:, [names.index(feature) for feature in preparation.features]]
    if X.shape[1] != preparation.n_features:
        raise ValueError(f"{name}: expected {preparation.n_features} features as in training, got {X.shape[1]}")
    if truth is None:
        return X, None
    if preparation.task == CLASSIFICATION:
        return X, as_labels(truth)
    if truth.dtype.kind == "U":
        raise ValueError(f"{name}: expected numbers in the target column, got text such as {str(truth[0])!r}")
    return X, truth


def _target_to_predict(name: str, options: CsvOptions, given: str | None, preparation: Preparation) -> int | str | None:
    """The target column of a table, which may also have none: then it has the features alone."""
    columns = csv_columns(name, options.delimiter)
    target = options.target
    if given is not None:
        return target
    if isinstance(target, str):
        return target if target in columns else None
    return None if len(columns) == preparation.n_features else target


def _write(file: Any, predicted: np.ndarray, header: str | None = None) -> None:
    """One prediction a line; text is quoted where a table needs it."""
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow([header])
    writer.writerows([f"{value:.9g}" if isinstance(value, float) else value] for value in predicted.tolist())

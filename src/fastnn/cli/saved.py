"""A model that `fastnn train` saved, and the rows for it."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from .. import serialization
from ..nn import Module
from ..trainer import Trainer
from .common import table_options
from .missing import resolve
from .preparation import CLASSIFICATION, Preparation, as_labels
from .report import Report
from .sources import Source, read_as


class Saved(NamedTuple):
    """A file of `fastnn train`."""

    model: Module
    preparation: Preparation
    metadata: dict[str, str]


def load(path: str) -> Saved:
    """The model that `fastnn train` saved."""
    tensors, metadata = serialization.load_tensors(path)
    preparation = Preparation.loads(path, metadata)
    return Saved(serialization.build(tensors, metadata, path), preparation, metadata)


def outputs(path: str, saved: Saved, X: np.ndarray) -> np.ndarray:
    """What the model gives for rows of features: class scores (N, C) or standardised numbers (N, 1)."""
    output = Trainer(saved.model, None, None).predict(saved.preparation.inputs(X))  # type: ignore[arg-type]
    expected = (len(X), len(saved.preparation.classes) or 1)
    if output.shape != expected:
        raise ValueError(f"{path}: expected a model with output {expected}, got {output.shape}")
    return output


def rows(arguments: argparse.Namespace, saved: Saved, report: Report, training: bool) -> Source:
    """The data as the model was trained on it; `training` asks for a target in every row."""
    preparation = saved.preparation
    options = table_options(arguments, preparation.target)
    source = read_as(arguments.data, options, preparation, arguments.target is not None)
    for note in source.notes:
        report.note(note)
    return resolve(source, arguments.missing or preparation.missing, arguments.data, report, training)


def truth_of(name: str, task: str, y: np.ndarray) -> np.ndarray:
    """Targets that predictions can be held against."""
    if task == CLASSIFICATION:
        return as_labels(y)
    if y.dtype.kind == "U":
        raise ValueError(f"{name}: expected numbers in the target column, got text such as {str(y[0])!r}")
    return y

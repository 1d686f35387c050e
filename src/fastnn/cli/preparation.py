"""What stands between a file's rows and a network: columns, scaling and class names, saved with the model.

`Preparation` turns features into what the network takes, targets into what the criterion takes, and the network's
output back into labels or numbers. It travels as JSON in the metadata of the model's file.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np

METADATA = "fastnn.preparation"  # the names of the metadata in a model's file
TRAINING = "fastnn.training"
CLASSIFICATION, REGRESSION = "classification", "regression"


@dataclass
class Preparation:
    """How rows are prepared for a network; all values are JSON's."""

    task: str
    n_features: int
    mean: list[float]
    """To subtract from the features: one number for each, or one for all."""
    std: list[float]
    """To divide the features by, likewise."""
    classes: list[int] | list[str]
    """The labels in the order of the network's outputs, which is sorted; none for regression."""
    target_mean: float = 0.0
    target_std: float = 1.0
    features: list[str] | None = None
    """The names of the columns in the file that the network was trained on."""
    target: int | str = -1
    """The target's column there."""
    categories: list[list[str] | None] | None = None
    """Of each column, in a table: its categories in the order of their features, or None where it holds numbers."""
    ignored: list[int] | None = None
    """The places, not counting the target, of the columns that are left out of a table without names."""
    missing: str = "error"
    """What becomes of missing values: "mean", which is 0 once it is scaled, or "error"."""

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Features (N, F) as the network takes them; NaN stands for a missing value."""
        scaled: np.ndarray = (X - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        scaled[np.isnan(scaled)] = 0
        return scaled

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Labels (N,) as class indices (N,), or numbers (N,) as standardised float32 (N, 1)."""
        if self.task == REGRESSION:
            return ((y.astype(np.float64) - self.target_mean) / self.target_std).astype(np.float32)[:, None]
        return np.asarray(np.searchsorted(np.array(self.classes), y), np.int64)

    def outputs(self, output: np.ndarray) -> np.ndarray:
        """The network's output (N, C) or (N, 1) as labels or numbers (N,)."""
        if self.task == REGRESSION:
            return output[:, 0].astype(np.float64) * self.target_std + self.target_mean
        return np.array(self.classes)[output.argmax(axis=1)]

    def probabilities(self, output: np.ndarray) -> np.ndarray:
        """Of class scores (N, C) the probability of every class, float32 (N, C)."""
        shares: np.ndarray = np.exp(output - output.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    @property
    def n_columns(self) -> int:
        """How many columns of a table the features come from."""
        return self.n_features if self.categories is None else len(self.categories)

    @staticmethod
    def width(categories: list[str] | None) -> int:
        """How many features a column becomes."""
        return 1 if categories is None else len(categories)

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def loads(cls, name: str, metadata: dict[str, str]) -> Preparation:
        """From the metadata of the model's file `name`."""
        if METADATA not in metadata:
            raise ValueError(f"{name}: expected a model that `fastnn train` saved, got one without {METADATA!r}")
        try:
            values = json.loads(metadata[METADATA])
            known = {field.name: field.default is MISSING for field in fields(cls)}
            if not isinstance(values, dict) or not {name for name in known if known[name]} <= values.keys() <= {*known}:
                raise ValueError("other fields")
            preparation = cls(**values)
            preparation._check()
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise ValueError(f"{name}: expected a sound {METADATA!r}, got a damaged one ({error})") from None
        return preparation

    def _check(self) -> None:
        """Raise unless every field is of its type and fits the others."""
        sizes = (1, self.n_features)
        fit = {
            "task": self.task in (CLASSIFICATION, REGRESSION),
            "n_features": type(self.n_features) is int and self.n_features > 0,
            "mean": _numbers(self.mean) and len(self.mean) in sizes,
            "std": _numbers(self.std) and len(self.std) in sizes and min(self.std) > 0,
            "classes": isinstance(self.classes, list)
            and len(self.classes) == len(set(self.classes))
            and (self.task == REGRESSION or len(self.classes) > 0)
            and any(all(type(label) is kind for label in self.classes) for kind in (int, str)),
            "target_mean": _numbers([self.target_mean]),
            "target_std": _numbers([self.target_std]) and self.target_std > 0,
            "categories": self.categories is None
            or (
                isinstance(self.categories, list)
                and all(c is None or _texts(c) for c in self.categories)
                and sum(map(self.width, self.categories)) == self.n_features
            ),
            "features": self.features is None or (_texts(self.features) and len(self.features) == self.n_columns),
            "target": type(self.target) in (int, str),
            "ignored": self.ignored is None
            or (isinstance(self.ignored, list) and all(type(i) is int and i >= 0 for i in self.ignored)),
            "missing": self.missing in ("error", "mean"),
        }
        for name, fits in fit.items():
            if not fits:
                raise ValueError(name)


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def task_of(y: np.ndarray, chosen: str) -> str:
    """The task that targets are for: floating numbers are for regression, whole numbers and text are labels."""
    if len(y) == 0:
        raise ValueError("expected rows with a target, got none")
    if chosen == REGRESSION and y.dtype.kind == "U":
        raise ValueError(f"expected numbers as targets of a regression, got text such as {str(y[0])!r}")
    if chosen != "auto":
        return chosen
    if y.dtype.kind == "f":
        return REGRESSION
    different = len(np.unique(y))
    if len(y) > 20 and different * 2 > len(y):
        raise ValueError(
            f"expected labels or numbers, got a target with {different} values in {len(y)} rows, which may be either: "
            "say --task classification or --task regression"
        )
    return CLASSIFICATION


def as_labels(y: np.ndarray) -> np.ndarray:
    """Targets that are labels as int64 or text."""
    if y.dtype.kind == "U":
        return y
    if (y != np.round(y)).any():
        raise ValueError(f"expected whole numbers or text as class labels, got {y[y != np.round(y)][0]}")
    return y.astype(np.int64)


def classes_of(labels: np.ndarray) -> list[int] | list[str]:
    """The classes in sorted order."""
    classes: list[Any] = np.unique(labels).tolist()
    if len(classes) < 2:
        raise ValueError(f"expected at least two classes to tell apart, got {classes[0]!r} in every row")
    return classes

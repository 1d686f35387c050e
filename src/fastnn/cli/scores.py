"""How good predictions are: numbers for a program, and the same as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import metrics
from .preparation import CLASSIFICATION
from .report import table

WIDEST = 20  # classes of a confusion matrix that is printed


def scores(task: str, predicted: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Accuracy of labels, or the errors of numbers and the share of the variance that is explained."""
    rows = len(truth)
    if task == CLASSIFICATION:
        right = predicted.astype(str) == truth.astype(str)
        return {"rows": rows, "accuracy": float(right.mean()), "correct": int(right.sum())}
    rmse, mae = metrics.root_mean_squared_error(truth, predicted), metrics.mean_absolute_error(truth, predicted)
    return {"rows": rows, "rmse": rmse, "mae": mae, "r2": metrics.r2_score(truth, predicted)}


def in_words(found: dict[str, Any]) -> str:
    """The scores as one line."""
    if "accuracy" in found:
        return f"accuracy: {100 * found['accuracy']:.2f} % ({found['correct']} of {found['rows']})"
    return f"error: {found['rmse']:.6g} (root mean square), {found['mae']:.6g} (mean), R2: {found['r2']:.4f}"


def by_class(classes: Sequence[object], predicted: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Precision, recall, F1 and rows of every class, their means, and the confusion matrix, whose rows are the truth.

    Classes of the data that the model does not know come last.
    """
    labels = [str(label) for label in classes]
    labels += sorted({*truth.astype(str).tolist()} - {*labels})
    place = {label: number for number, label in enumerate(labels)}
    true, guessed = (
        np.array([place[label] for label in part.astype(str).tolist()], np.int64) for part in (truth, predicted)
    )
    numbers = np.arange(len(labels))
    counts = metrics.confusion_matrix(true, guessed, labels=numbers).astype(np.int64)
    each = zip(*metrics.precision_recall_f1(true, guessed, average=None, labels=numbers), strict=True)
    names = ("precision", "recall", "f1")
    means = {
        f"{average} average": dict(
            zip(names, metrics.precision_recall_f1(true, guessed, average, numbers), strict=True)
        )
        for average in ("macro", "weighted")
    }
    rows = counts.sum(axis=1).tolist()
    per_class = {
        label: {**dict(zip(names, map(float, shares), strict=True)), "rows": number}
        for label, shares, number in zip(labels, each, rows, strict=True)
    }
    return {"classes": per_class, "averages": means, "labels": labels, "confusion_matrix": counts}


def class_table(found: dict[str, Any]) -> str:
    """A line a class, then the means."""
    names = ("precision", "recall", "f1")
    total = sum(of["rows"] for of in found["classes"].values())
    rows = [
        [label, *(f"{of[name]:.4f}" for name in names), str(of.get("rows", total))]
        for label, of in {**found["classes"], **found["averages"]}.items()
    ]
    return table([["class", "precision", "recall", "F1", "rows"], *rows])


def confusion_table(labels: Sequence[str], counts: np.ndarray) -> str:
    """The matrix as text, or a line that says where it is if it is too wide."""
    if len(labels) > WIDEST:
        return f"the confusion matrix of {len(labels)} classes is in --json and --plot"
    head = ["true \\ predicted", *labels]
    return table([head, *([label, *map(str, row)] for label, row in zip(labels, counts.tolist(), strict=True))])


def plot_numbers(path: str, predicted: np.ndarray, truth: np.ndarray) -> None:
    """A picture of the predictions over the truth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(truth, predicted, s=8, alpha=0.5, linewidths=0)
    low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
    axes.plot([low, high], [low, high], color="black", linewidth=0.8)
    axes.set(xlabel="true", ylabel="predicted")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)

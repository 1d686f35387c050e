"""What the metrics accept: labels, class rows and weights of the same number of rows, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import real

Array = np.ndarray


def classes(where: str, y_true: Any, y_pred: Any) -> tuple[Array, Array, int | None]:
    """Truth and predictions as labels (N,), and the number of classes where rows (N, C) tell it."""
    truth, width = as_labels(where, "y_true", y_true)
    predicted, pred_width = as_labels(where, "y_pred", y_pred)
    if len(truth) != len(predicted):
        raise ValueError(f"{where}: expected y_true and y_pred of one length, got {len(truth)} and {len(predicted)}")
    if width and pred_width and width != pred_width:
        raise ValueError(f"{where}: expected rows of as many classes, got {width} in y_true and {pred_width} in y_pred")
    if (truth.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        raise TypeError(f"{where}: expected labels of one kind, got dtypes {truth.dtype} and {predicted.dtype}")
    width = width or pred_width
    for name, labels in (("y_true", truth), ("y_pred", predicted)):
        within_classes(where, name, labels, width)
    return truth, predicted, width


def within_classes(where: str, name: str, labels: Array, width: int | None) -> None:
    """Raise if labels are no numbers of columns, where there are rows of so many."""
    if width is None:
        return
    if labels.dtype.kind == "U":
        raise TypeError(f"{where}: expected {name} of labels in [0, {width}), got dtype {labels.dtype}")
    bad = (labels < 0) | (labels >= width)
    if bad.any():
        row = int(bad.argmax())
        raise IndexError(f"{where}: expected {name} of labels in [0, {width}), got {labels[row]} at row {row}")


def as_labels(where: str, name: str, value: Any) -> tuple[Array, int | None]:
    """Labels (N,), and the number of columns if they came as rows."""
    array = np.asarray(value)
    if array.dtype.kind in "OT":
        array = _of_objects(where, name, array)
    if array.dtype.kind == "U" and array.ndim == 1:
        return _some(where, name, array), None
    array = _some(where, name, real(where, name, array))
    if array.ndim == 2 and array.shape[1] > 1:
        if name == "y_true":
            _check_class_rows(where, array)
        return array.argmax(axis=1), array.shape[1]
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind != "f":
        array = array[:, 0]
    if array.ndim != 1:
        hint = "; compare single scores with a threshold first" if array.shape[1:] == (1,) else ""
        raise ValueError(f"{where}: expected {name} of labels (N,) or of rows (N, C), got shape {array.shape}{hint}")
    if array.dtype.kind == "f":
        whole = array == np.floor(array)
        if not whole.all() or not np.isfinite(array).all():
            row = int((~(whole & np.isfinite(array))).argmax())
            raise ValueError(
                f"{where}: expected {name} of whole labels or of rows (N, C), got {array[row]} at row {row}"
            )
    return array.astype(np.int64), None


def _of_objects(where: str, name: str, array: Array) -> Array:
    """Strings or numbers as objects, such as a column of a table, as NumPy's own; other objects are refused."""
    texts = sum(isinstance(item, str) for item in array.flat)
    plain = np.array(array.tolist()) if texts in (0, array.size) else array
    if plain.dtype.kind not in "biufU":
        raise TypeError(f"{where}: expected {name} of numbers or strings, got dtype {array.dtype}")
    return plain


def _check_class_rows(where: str, rows: Array) -> None:
    """Raise unless every row of the truth is one-hot or made of probabilities; scores here are swapped arguments."""
    good = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1, dtype=np.float64) - 1) < 1e-3)
    if not good.all():
        row = int((~good).argmax())
        raise ValueError(
            f"{where}: expected y_true of labels, one-hot or probability rows, got other numbers in row {row}"
        )


def _some(where: str, name: str, array: Array) -> Array:
    if array.ndim and not len(array):
        raise ValueError(f"{where}: expected {name} of at least one row, got none")
    return array


def weights(where: str, sample_weight: Any, rows: int) -> Array:
    """A weight for each row in float64: ones if none are given."""
    if sample_weight is None:
        return np.ones(rows)
    array = real(where, "sample_weight", sample_weight).astype(np.float64)
    if array.shape != (rows,):
        raise ValueError(f"{where}: expected sample_weight of shape ({rows},), got {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all() or not array.sum() > 0:
        raise ValueError(f"{where}: expected finite sample_weight from 0 with a sum above 0, got others")
    return array


def outputs(where: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Truth and predictions of a regression as float64 (N, outputs); (N,) and (N, 1) are the same."""
    pair = []
    for name, value in (("y_true", y_true), ("y_pred", y_pred)):
        array = _some(where, name, real(where, name, value)).astype(np.float64)
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(f"{where}: expected {name} of shape (N,) or (N, outputs), got {array.shape}")
        pair.append(array.reshape(len(array), -1))
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"{where}: expected y_true and y_pred of one shape, got {np.shape(y_true)} and {np.shape(y_pred)}"
        )
    return pair[0], pair[1]

"""What the commands accept as DATA: the digits, a folder of IDX files, an .npz or a .csv file."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from ..data import load_csv, load_digits, load_idx_folder, load_npz


class Source(NamedTuple):
    """Rows to train on or to predict."""

    X: np.ndarray
    """float32, shape (N, F), finite."""
    y: np.ndarray | None
    """Shape (N,): integers, floats or text, or None where the data has no targets."""
    test: tuple[np.ndarray, np.ndarray] | None = None
    """The data's own test rows."""
    ordered: bool = False
    """Whether test rows are taken from the end, in file order, not at random."""
    scale: float | None = None
    """The largest value of a pixel, if these are images."""
    features: list[str] | None = None
    """The columns' names."""


class CsvOptions(NamedTuple):
    """How to read a .csv file."""

    target: int | str | None = -1
    header: bool | str = "auto"
    delimiter: str = ","


def is_csv(name: str) -> bool:
    """Whether DATA is read as a table of text."""
    return name.lower().endswith((".csv", ".tsv", ".txt"))


def read(name: str, options: CsvOptions) -> Source:
    """The rows of a DATA argument."""
    if name == "digits":
        X, y = load_digits()
        return Source(X, y, scale=16)
    if os.path.isdir(name):
        return _images(name)
    if is_csv(name):
        table = load_csv(name, *options)
        names = table.class_names
        return Source(table.X, table.y if names is None else np.array(names)[table.y], features=table.feature_names)
    if name.lower().endswith(".npz"):
        return _arrays(name)
    if not os.path.exists(name):
        raise FileNotFoundError(
            f"{name}: expected 'digits', a folder of IDX files, a .npz or a .csv file, found nothing"
        )
    raise ValueError(f"{name}: expected 'digits', a folder of IDX files, a .npz or a .csv file, got another file")


def _images(name: str) -> Source:
    (X, y), test = load_idx_folder(name)
    scale = 255 if X.dtype == np.uint8 else None
    if test is not None and (test[0].shape[1:] != X.shape[1:] or test[0].dtype != X.dtype):
        raise ValueError(
            f"{name}: expected test images like the {X.dtype} training images of shape {X.shape[1:]}, "
            f"got {test[0].dtype} {test[0].shape[1:]}"
        )
    flat_test = None if test is None else (_rows(name, test[0]), test[1])
    return Source(_rows(name, X), y, flat_test, ordered=True, scale=scale)


def _arrays(name: str) -> Source:
    X, y = load_npz(name)
    if y is not None:
        y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1 or y.dtype.kind not in "biufU":
            raise ValueError(f"{name}: expected y of numbers or text, of shape (N,), got {y.dtype} {y.shape}")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ValueError(f"{name}: expected finite numbers in y, got {y[~np.isfinite(y)][0]}")
        y = y.astype(np.int64) if y.dtype.kind in "bu" else y
    scale = 255 if X.dtype == np.uint8 and X.ndim > 2 else None
    return Source(_rows(name, X), y, scale=scale)


def _rows(name: str, X: np.ndarray) -> np.ndarray:
    """Samples as float32 rows (N, F)."""
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected X of numbers, got {X.dtype}")
    if len(X) == 0 or X.size == 0:
        raise ValueError(f"{name}: expected at least one row and one column, got shape {X.shape}")
    with np.errstate(over="ignore"):
        flat = np.ascontiguousarray(X.reshape(len(X), -1), np.float32)
    if not np.isfinite(flat).all():
        row, column = np.argwhere(~np.isfinite(flat))[0]
        raise ValueError(
            f"{name}: expected finite float32 numbers in X, got {flat[row, column]} in row {row}, column {column}"
        )
    return flat

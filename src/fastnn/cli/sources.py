"""What the commands accept as DATA: the digits, a folder of IDX files, an .npz or a table."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from ..data import load_digits, load_idx_folder, load_npz
from .preparation import Preparation
from .report import count
from .tables import Layout, Rows, TableOptions, is_table, read_table, read_table_as

EXPECTED = "expected 'digits', a folder of IDX files, a .npz or a .csv file"


class Source(NamedTuple):
    """Rows to train on or to predict."""

    X: np.ndarray
    """float32, shape (N, F), finite or NaN for a missing value."""
    y: np.ndarray | None
    """Targets: integers, floats or text, or None where the data has no targets."""
    test: tuple[np.ndarray, np.ndarray] | None = None
    """The data's own test rows."""
    ordered: bool = False
    """Whether test rows are taken from the end, in file order, not at random."""
    image: tuple[int, int, int] | None = None
    """Channels, height and width of a row that is an image."""
    scale: float | None = None
    """The largest value of a pixel, if these are images."""
    layout: Layout | None = None
    """The columns of a table."""
    known: np.ndarray | None = None
    """Which rows have a target; y has those alone."""
    places: list[str] | None = None
    """The columns of a table in words."""
    lines: np.ndarray | None = None
    """The rows' numbers in the file."""
    notes: tuple[str, ...] = ()


def read(name: str, options: TableOptions) -> Source:
    """The rows of a DATA argument to train on."""
    return _of_table(read_table(name, options)) if is_table(name) else _read_others(name)


def read_as(name: str, options: TableOptions, preparation: Preparation, target_given: bool) -> Source:
    """The rows of a DATA argument for a model that is trained: of data with test files, these."""
    if is_table(name):
        return _of_table(read_table_as(name, options, preparation, target_given))
    source = _read_others(name)
    if source.test is not None:
        source = source._replace(X=source.test[0], y=source.test[1], test=None)
    if source.X.shape[1] != preparation.n_features:
        expected = count(preparation.n_features, "feature")
        raise ValueError(f"{name}: expected {expected} as in training, got {source.X.shape[1]}")
    return source


def _of_table(rows: Rows) -> Source:
    known = None if rows.known is None or rows.known.all() else rows.known
    return Source(
        rows.X, rows.y, layout=rows.layout, known=known, places=rows.places, lines=rows.lines, notes=tuple(rows.notes)
    )


def _read_others(name: str) -> Source:
    if name == "digits":
        X, y = load_digits()
        return Source(X, y, image=(1, 8, 8), scale=16)
    if os.path.isdir(name):
        return _images(name)
    if name.lower().endswith(".npz"):
        return _arrays(name)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: {EXPECTED}, found nothing")
    raise ValueError(f"{name}: {EXPECTED}, got another file")


def _images(name: str) -> Source:
    (X, y), test = load_idx_folder(name)
    scale = 255 if X.dtype == np.uint8 else None
    if test is not None and (test[0].shape[1:] != X.shape[1:] or test[0].dtype != X.dtype):
        raise ValueError(
            f"{name}: expected test images like the {X.dtype} training images of shape {X.shape[1:]}, "
            f"got {test[0].dtype} {test[0].shape[1:]}"
        )
    flat_test = None if test is None else (_rows(name, test[0]), test[1])
    return Source(_rows(name, X), y, flat_test, ordered=True, image=_image(X), scale=scale)


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
    return Source(_rows(name, X), y, image=_image(X), scale=scale)


def _image(X: np.ndarray) -> tuple[int, int, int] | None:
    """The shape of an image of (N, H, W) or (N, C, H, W)."""
    if X.ndim not in (3, 4):
        return None
    *channels, height, width = X.shape[1:]
    return (*channels, height, width) if channels else (1, height, width)


def _rows(name: str, X: np.ndarray) -> np.ndarray:
    """Samples as float32 rows (N, F)."""
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected X of numbers, got {X.dtype}")
    if len(X) == 0 or X.size == 0:
        raise ValueError(f"{name}: expected at least one row and one column, got shape {X.shape}")
    with np.errstate(over="ignore"):
        flat = np.ascontiguousarray(X.reshape(len(X), -1), np.float32)
    if np.isinf(flat).any():
        row, column = np.argwhere(np.isinf(flat))[0]
        raise ValueError(
            f"{name}: expected finite float32 numbers in X, got {flat[row, column]} in row {row}, column {column}"
        )
    return flat

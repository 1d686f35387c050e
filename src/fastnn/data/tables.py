"""CSV and NPZ files and the bundled digits: features X and targets y."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from .batches import rows
from .cells import NUMBER
from .columns import TextTable


class Table(NamedTuple):
    """What `load_csv` returns."""

    X: np.ndarray
    """Features, float32, shape (N, F)."""
    y: np.ndarray | None
    """Targets, shape (N,): int64 where every cell is a whole number or a class name, else float32."""
    feature_names: list[str] | None
    """The header's names of the features, or None where there is no header."""
    class_names: list[str] | None
    """The class names in sorted order where the target is text; y holds indices into it."""


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits of 8 x 8 pixels that come with fastnn.

    Returns
    -------
    X : numpy.ndarray, float32, shape (1797, 64)
        Images, each value a whole number from 0 (white) to 16 (black).
    y : numpy.ndarray, int64, shape (1797,)
        The digit that each image shows, 0 to 9.

    Notes
    -----
    The test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0.

    Examples
    --------
    >>> from fastnn.data import load_digits
    >>> X, y = load_digits()
    >>> X.shape, X.min().item(), X.max().item(), y[:3].tolist()
    ((1797, 64), 0.0, 16.0, [0, 1, 2])
    """
    from importlib.resources import as_file, files

    with as_file(files("fastnn").joinpath("datasets/digits.npz")) as path:
        X, y = load_npz(path)
    assert y is not None
    return X.astype(np.float32), y.astype(np.int64)


def load_npz(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the arrays `X` and `y` (or `x` and `Y`) of a file that `numpy.savez` wrote. Pickled objects are refused.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    X : numpy.ndarray, shape (N, ...)
        Samples, as stored.
    y : numpy.ndarray, shape (N, ...), or None
        Targets, as stored, where the file has them.

    Raises
    ------
    ValueError
        If the file is not of this kind, has no X, or X and y have different lengths.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.data import load_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "data.npz")
    ...     np.savez(path, X=np.eye(2), y=[0, 1])
    ...     X, y = load_npz(path)
    >>> X.shape, y.tolist()
    ((2, 2), [0, 1])
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                stored = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                found = (stored.get(letter) or stored.get(letter.swapcase()) for letter in "Xy")
                X, Y = (None if info is None else read_member(archive, info) for info in found)
        except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{name}: expected an .npz file of plain arrays, got another ({reason})") from None
    if X is None:
        raise ValueError(f"{name}: expected arrays named X and y, got {', '.join(stored) or 'none'}")
    X = rows(name, "X", X)
    if Y is not None and len(rows(name, "y", Y)) != len(X):
        raise ValueError(f"{name}: expected X and y of one length, got {len(X)} and {len(Y)} rows")
    return X, Y


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member, whose header must agree with what the member holds."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is neither plain nor deflated")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds pickled objects")
        size = math.prod(shape) * dtype.itemsize
        data = file.read(size + 1)  # as much as is there, whatever the header says
    if len(data) != size:
        raise ValueError(f"{info.filename} does not have the {size} bytes of its shape {shape}")
    flat = np.frombuffer(bytearray(data), dtype)
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)


def load_csv(
    path: str | os.PathLike[str],
    target: int | str | None = -1,
    header: bool | str = "auto",
    delimiter: str = ",",
) -> Table:
    """Read a table of numbers with one target column, which may be text.

    Parameters
    ----------
    path : str or path
        The file, UTF-8. Empty lines are skipped.
    target : int, str or None
        The target column by place (from 0; -1 is the last) or by its name in the header; None: every column is a
        feature.
    header : "auto" or bool
        Whether the first row is names. "auto" takes it for names if none of its feature cells is a number, and for
        data if all that are not empty are.
    delimiter : str
        What stands between the cells.

    Returns
    -------
    Table
        A named tuple `X, y, feature_names, class_names`.

    Raises
    ------
    ValueError
        If a cell is missing or not a finite number, a row is longer or shorter than the first, or there is no such
        column. The message has the row (counted from 1, the header and empty lines included) and the column.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.data import load_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "pets.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("weight,age,kind\\n4.5,3,cat\\n20,7,dog\\n")
    ...     table = load_csv(path, target="kind")
    >>> table.X.tolist(), table.y.tolist(), table.feature_names, table.class_names
    ([[4.5, 3.0], [20.0, 7.0]], [0, 1], ['weight', 'age'], ['cat', 'dog'])
    """
    name = os.fspath(path)
    if header not in ("auto", True, False):
        raise ValueError(f"load_csv: expected header as 'auto', True or False, got {header!r}")
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise ValueError(f"load_csv: expected a delimiter of one character, got {delimiter!r}")
    table = TextTable(path, name, delimiter)
    column = None if target is None else table.column(target, header)
    if header == "auto":
        header = isinstance(target, str) or table.is_header([column])
    read = table.read(bool(header), column, [NUMBER] * table.width)
    names = [name for i, name in enumerate(table.names) if i != column] if header else None
    return Table(np.stack([feature.values for feature in read.features], axis=1), read.y, names, read.class_names)

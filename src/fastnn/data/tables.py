"""CSV and NPZ files and the bundled digits: features X and targets y."""

from __future__ import annotations

import csv
import math
import os
import zipfile
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from .batches import rows

FLOAT32_MAX = float(np.finfo(np.float32).max)


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
                X, Y = (_npy(archive, stored.get(letter) or stored.get(letter.swapcase())) for letter in "Xy")
        except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{name}: expected an .npz file of plain arrays, got another ({reason})") from None
    if X is None:
        raise ValueError(f"{name}: expected arrays named X and y, got {', '.join(stored) or 'none'}")
    X = rows(name, "X", X)
    if Y is not None and len(rows(name, "y", Y)) != len(X):
        raise ValueError(f"{name}: expected X and y of one length, got {len(X)} and {len(Y)} rows")
    return X, Y


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo | None) -> np.ndarray | None:
    """The array of a member, whose header must agree with what the member holds."""
    if info is None:
        return None
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
    records = _records(name, path, delimiter)
    first = next(records, None)
    if first is None:
        raise ValueError(f"{name}: expected rows of data, got an empty file")
    width = len(first[1])
    column = _target_column(name, target, first[1], header)
    if width - (column is not None) == 0:
        raise ValueError(f"{name}: expected at least one feature column beside the target, got none")
    if header == "auto":
        header = isinstance(target, str) or _is_header(name, first, column)
    names = [cell.strip() for cell in first[1]] if header else [f"column {i + 1}" for i in range(width)]
    places = [f"column {name!r}" for name in names] if header else names
    values, targets = array("f"), _Targets(name, "" if column is None else places[column])
    for line, cells in records if header else chain([first], records):
        if len(cells) != width:
            raise ValueError(f"{name}: row {line}: expected {width} cells, got {len(cells)}")
        if column is not None:
            targets.append(line, cells[column])
            cells = cells[:column] + cells[column + 1 :]
        values.extend(_numbers(name, line, cells, places, column))
    if not values:
        raise ValueError(f"{name}: expected rows of data, got the header alone")
    y, class_names = (None, None) if column is None else targets.encode()
    X = np.frombuffer(values, np.float32).reshape(-1, width - (column is not None))
    return Table(X, y, [n for i, n in enumerate(names) if i != column] if header else None, class_names)


def csv_columns(path: str | os.PathLike[str], delimiter: str = ",") -> list[str]:
    """The cells of the first row that is not empty: the columns' names, if it is a header."""
    _, cells = next(_records(os.fspath(path), path, delimiter), (0, []))
    return [cell.strip() for cell in cells]


def _records(name: str, path: str | os.PathLike[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty with their numbers from 1."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for line, cells in enumerate(csv.reader(file, delimiter=delimiter, strict=True), 1):
                if cells:
                    yield line, cells
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected UTF-8 text, got other bytes ({error.reason})") from None
    except csv.Error as error:
        raise ValueError(f"{name}: expected a CSV file, got one that is damaged ({error})") from None


def _target_column(name: str, target: int | str | None, first: list[str], header: bool | str) -> int | None:
    if target is None:
        return None
    if isinstance(target, str):
        names = [cell.strip() for cell in first]
        if header is False:
            raise ValueError(f"{name}: expected the target column by place where there is no header, got {target!r}")
        if names.count(target) != 1:
            raise ValueError(f"{name}: expected one column named {target!r}, got the columns {', '.join(names)}")
        return names.index(target)
    if not -len(first) <= target < len(first):
        raise ValueError(f"{name}: expected a target column in [{-len(first)}, {len(first)}), got {target}")
    return target % len(first)


def _is_header(name: str, record: tuple[int, list[str]], column: int | None) -> bool:
    cells = [cell for i, cell in enumerate(record[1]) if i != column and cell.strip()]
    numbers = [cell for cell in cells if _parse(cell) is not None]
    if numbers and len(numbers) < len(cells):
        text = next(cell for cell in cells if _parse(cell) is None)
        raise ValueError(
            f"{name}: row {record[0]}: expected a header or numbers, got both ({text!r} and {numbers[0]!r}): "
            "say whether it is a header"
        )
    return bool(cells) and not numbers


def _parse(cell: str) -> float | None:
    """The number of a cell, or None; Python's 1_000 is not one."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _numbers(name: str, line: int, cells: list[str], places: list[str], column: int | None) -> Iterable[float]:
    """The feature cells of a row as numbers that float32 can hold; `places` names all columns, target included."""
    try:
        numbers = [float(cell) for cell in cells]
        if all(-FLOAT32_MAX <= number <= FLOAT32_MAX for number in numbers) and "_" not in "".join(cells):
            return numbers
    except ValueError:
        pass
    features = (place for i, place in enumerate(places) if i != column)
    return [_number(f"{name}: row {line}, {place}", cell) for place, cell in zip(features, cells, strict=True)]


def _number(where: str, cell: str) -> float:
    number = _parse(cell)
    if number is None:
        raise ValueError(f"{where}: expected a number, got {repr(cell.strip()) if cell.strip() else 'an empty cell'}")
    if not abs(number) <= FLOAT32_MAX:
        raise ValueError(f"{where}: expected a finite float32, got {cell.strip()!r}")
    return number


class _Targets:
    """The cells of the target column, all numbers or all names as the first is."""

    def __init__(self, name: str, place: str) -> None:
        self.name, self.place = name, place
        self.cells: list[str] = []
        self.numeric = self.whole = False

    def append(self, line: int, cell: str) -> None:
        where, cell = f"{self.name}: row {line}, {self.place}", cell.strip()
        if not cell:
            raise ValueError(f"{where}: expected a value, got an empty cell")
        number = _parse(cell)
        if not self.cells:
            self.numeric = self.whole = number is not None
        if self.numeric:
            _number(where, cell)
        elif number is not None:
            raise ValueError(f"{where}: expected a name as in the rows above, got the number {cell}")
        self.whole = self.whole and cell.lstrip("+-").isdecimal() and abs(int(cell)) < 1 << 63
        self.cells.append(cell)

    def encode(self) -> tuple[np.ndarray, list[str] | None]:
        """Whole numbers as int64, other numbers as float32, names as indices into their sorted list."""
        if self.numeric:
            numbers: list[float] = list(map(int if self.whole else float, self.cells))
            return np.array(numbers, np.int64 if self.whole else np.float32), None
        class_names, y = np.unique(self.cells, return_inverse=True)
        return y.astype(np.int64), class_names.tolist()

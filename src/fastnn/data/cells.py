"""Cells of tables as numbers, categories and targets: what a column becomes while its rows are read."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FLOAT32_MAX = float(np.finfo(np.float32).max)
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})  # in lower case
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+")
NUMBER, TEXT, SKIP = "number", "text", "skip"


class Feature(NamedTuple):
    """A column of features."""

    column: int
    """Its place in the file."""
    place: str
    """Its name for messages: "column 'age'", or "column 3" without a header."""
    values: np.ndarray
    """Numbers, float32, shape (N,), NaN where missing; or indices into `categories`, int64, -1 where missing."""
    categories: list[str] | None
    """The different texts, sorted, or None for numbers."""


class FeatureReader:
    """A column of features in the making."""

    def __init__(self, name: str, place: str, kind: str | None, missing: bool) -> None:
        self.name, self.place, self.kind, self.missing = name, place, kind, missing
        self.chosen = kind is not None  # by the caller, not by the first cell
        self.numbers = array("f")
        self.codes = array("q")
        self.lookup: dict[str, int] = {}
        self.pending = 0  # missing cells before the first value

    def extend(self, lines: Sequence[int], cells: Sequence[str] | np.ndarray) -> None:
        if isinstance(cells, np.ndarray):
            self.numbers.frombytes(cells.tobytes())
            return
        if self.kind is None:
            self._decide(cells)
        if self.kind is None:
            self.pending += len(cells)
        elif self.kind == NUMBER:
            self.numbers.frombytes(self._numbers(lines, cells).astype(np.float32).tobytes())
        else:
            self._texts(lines, cells)

    def _decide(self, cells: Sequence[str]) -> None:
        """Numbers or text, as the first value is."""
        value = next((cell for cell in cells if not (self.missing and is_missing(cell))), None)
        if value is None:
            return
        self.kind = NUMBER if parse(value) is not None else TEXT
        if DECIMAL_COMMA.fullmatch(value.strip()):
            raise ValueError(f"{self.name}: {self.place}: expected numbers with a decimal point, got {value.strip()!r}")
        self.numbers.extend([float("nan")] * self.pending if self.kind == NUMBER else [])
        self.codes.extend([-1] * self.pending if self.kind == TEXT else [])

    def _numbers(self, lines: Sequence[int], cells: Sequence[str]) -> np.ndarray:
        try:
            numbers = np.fromiter(map(float, cells), np.float64, len(cells))
            if (np.abs(numbers) <= FLOAT32_MAX).all() and "_" not in "".join(cells):
                return numbers
        except ValueError:
            pass
        found = (self._number(line, cell) for line, cell in zip(lines, cells, strict=True))
        return np.fromiter(found, np.float64, len(cells))

    def _number(self, line: int, cell: str) -> float:
        if self.missing and is_missing(cell):
            return float("nan")
        return number(f"{self.name}: row {line}, {self.place}", cell)

    def _texts(self, lines: Sequence[int], cells: Sequence[str]) -> None:
        lookup, codes = self.lookup, self.codes
        for line, cell in zip(lines, map(str.strip, cells), strict=True):
            code = lookup.get(cell)
            if code is None:
                code = -1 if is_missing(cell) else len(lookup)
                if code < 0 and not self.missing:
                    raise ValueError(f"{self.name}: row {line}, {self.place}: expected a value, got {cell or 'none'}")
                if code >= 0 and not self.chosen and parse(cell) is not None:
                    raise ValueError(
                        f"{self.name}: row {line}, {self.place}: expected text as in the rows above, "
                        f"got the number {cell}"
                    )
                if code >= 0:
                    lookup[cell] = code
            codes.append(code)

    def feature(self, column: int) -> Feature:
        if self.kind is None:
            raise ValueError(f"{self.name}: {self.place}: expected values, got none in all {self.pending} rows")
        if self.kind == NUMBER:
            return Feature(column, self.place, np.frombuffer(self.numbers, np.float32), None)
        categories = sorted(self.lookup)
        ranks = np.empty(len(categories) + 1, np.int64)
        ranks[[self.lookup[text] for text in categories]] = np.arange(len(categories))
        ranks[-1] = -1  # the code of a missing cell picks the last one
        return Feature(column, self.place, ranks[np.frombuffer(self.codes, np.int64)], categories)


class Targets:
    """The cells of the target column, all numbers or all names as the first is."""

    def __init__(self, name: str, place: str, missing: bool = False) -> None:
        self.name, self.place, self.missing = name, place, missing
        self.cells: list[str] = []
        self.known = array("b")
        self.seen: dict[str, str] = {}
        self.numeric = self.whole = False

    def extend(self, lines: Sequence[int], cells: Sequence[str] | np.ndarray) -> None:
        """More rows; names that were seen before need no look."""
        seen = self.seen
        for line, cell in zip(lines, cells, strict=True):
            if cell in seen:
                self.cells.append(seen[cell])
                self.known.append(True)
            else:
                self._append(line, cell)
                if not self.numeric and self.known[-1]:
                    seen[cell] = self.cells[-1]

    def _append(self, line: int, cell: str) -> None:
        cell = cell.strip()
        empty = self.missing and is_missing(cell)
        self.known.append(not empty)
        if empty:
            return
        where = f"{self.name}: row {line}, {self.place}"
        if not cell:
            raise ValueError(f"{where}: expected a value, got an empty cell")
        value = parse(cell)
        if not self.cells:
            self.numeric = self.whole = value is not None
        if self.numeric:
            number(where, cell)
        elif value is not None:
            raise ValueError(f"{where}: expected a name as in the rows above, got the number {cell}")
        self.whole = self.whole and cell.lstrip("+-").isdecimal() and abs(int(cell)) < 1 << 63
        self.cells.append(cell)

    def encode(self) -> tuple[np.ndarray, list[str] | None, np.ndarray]:
        """Whole numbers as int64, other numbers as float32, names as indices into their sorted list; which rows."""
        known = np.frombuffer(self.known, np.int8).astype(bool)
        if self.numeric or not self.cells:
            numbers: list[float] = list(map(int if self.whole else float, self.cells))
            return np.array(numbers, np.int64 if self.whole else np.float32), None, known
        class_names, y = np.unique(self.cells, return_inverse=True)
        return y.astype(np.int64), class_names.tolist(), known


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in MISSING


def parse(cell: str) -> float | None:
    """The number of a cell, or None; Python's 1_000 is not one."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def number(where: str, cell: str) -> float:
    """The number of a cell, which float32 must be able to hold."""
    value = parse(cell)
    if value is None:
        raise ValueError(f"{where}: expected a number, got {repr(cell.strip()) if cell.strip() else 'an empty cell'}")
    if not abs(value) <= FLOAT32_MAX:
        raise ValueError(f"{where}: expected a finite float32, got {cell.strip()!r}")
    return value

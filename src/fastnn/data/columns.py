"""Tables of text, read column by column: numbers, categories, missing cells, and a target.

`TextTable` has read the first row alone, so that its caller can decide what each column is; `read` reads the rest. Rows
are taken some hundreds at a time, and a column of them is converted in one call.
"""

from __future__ import annotations

import csv
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple, TextIO

import numpy as np

from .cells import FLOAT32_MAX, NUMBER, SKIP, Feature, FeatureReader, Targets, is_missing, parse

CHUNK = 256  # rows that are converted together: many enough for a call each, few enough for the caches
DELIMITERS = ",", ";", "\t", "|"  # in the order of preference
BETWEEN_DIGITS = re.compile(r"(?<=\d),(?=\d)")
Record = tuple[int, list[str]]  # the number of a row, from 1, and its cells


class Columns(NamedTuple):
    """What `TextTable.read` returns."""

    features: list[Feature]
    lines: np.ndarray
    """The number of each row in the file, from 1, the header and empty lines included."""
    y: np.ndarray | None
    """Targets of the rows that have one: int64, float32 or, with `class_names`, indices into these."""
    class_names: list[str] | None
    known: np.ndarray | None
    """Which rows have a target, shape (N,)."""


class TextTable:
    """A file of rows of cells; `first` is its first row that is not empty."""

    def __init__(
        self,
        source: str | os.PathLike[str] | TextIO,
        name: str,
        delimiter: str | None = ",",
        decimal_comma: bool = False,
    ) -> None:
        self.name = name
        self._lines = _lines(name, source)
        if decimal_comma:
            self._lines = (BETWEEN_DIGITS.sub(".", line) for line in self._lines)
        if delimiter is None:
            start = next((line for line in self._lines if line.strip()), "")
            delimiter, self._lines = sniff(start), chain([start], self._lines)
        self.delimiter = delimiter
        self._read = 0  # rows, empty ones included
        self._peeked: list[Record] = []
        first = self._next()
        if first is None:
            raise ValueError(f"{name}: expected rows of data, got an empty file")
        self.line, self.first = first
        self.width = len(self.first)
        self.names = [cell.strip() for cell in self.first]

    def column(self, given: int | str, header: bool | str, what: str = "target column") -> int:
        """The place of a column that is given by its place, from 0 or from the end, or by its name."""
        name, width = self.name, self.width
        if isinstance(given, str):
            if header is False:
                raise ValueError(f"{name}: expected the {what} by place where there is no header, got {given!r}")
            if self.names.count(given) != 1:
                names = ", ".join(self.names)
                raise ValueError(f"{name}: expected one column named {given!r}, got the columns {names}")
            return self.names.index(given)
        if not -width <= given < width:
            raise ValueError(f"{name}: expected a {what} in [{-width}, {width}), got {given}")
        return given % width

    def is_header(self, aside: Sequence[int | None], mixed: bool = False) -> bool:
        """Whether the first row is names: none of its cells is a number, those of the columns `aside` set aside.

        Where texts stand beside numbers, it is data if `mixed` and the second row has its numbers in the same places.
        """
        cells = [(i, cell) for i, cell in enumerate(self.first) if i not in aside and cell.strip()]
        numbers = [i for i, cell in cells if parse(cell) is not None]
        if numbers and len(numbers) < len(cells):
            texts = {i for i, _ in cells} - {*numbers}
            if mixed and self._second_agrees(numbers, texts):
                return False
            text = next(cell for i, cell in cells if i not in numbers)
            raise ValueError(
                f"{self.name}: row {self.line}: expected a header or numbers, got both "
                f"({text!r} and {self.first[numbers[0]]!r}): say whether it is a header"
            )
        return bool(cells) and not numbers

    def _second_agrees(self, numbers: list[int], texts: set[int]) -> bool:
        """Whether the second row, if there is one, has numbers and texts in the same places."""
        second = self._next()
        if second is None:
            return True
        self._peeked.append(second)
        found = {i for i, cell in enumerate(second[1]) if parse(cell) is not None and not is_missing(cell)}
        return found.issuperset(numbers) and not found & texts

    def read(
        self, header: bool, target: int | None, kinds: Sequence[str | None] = (), missing: bool = False
    ) -> Columns:
        """All rows.

        `kinds` says for each column that it is of NUMBER, TEXT or to SKIP; None: as its first cell is. Unless
        `missing`, every cell must hold a value.
        """
        places = [f"column {name!r}" for name in self.names] if header else self.places()
        kinds = kinds or [None] * self.width
        readers = [
            FeatureReader(self.name, place, kind, missing)
            for i, (place, kind) in enumerate(zip(places, kinds, strict=True))
            if i != target and kind != SKIP
        ]
        used = [i for i, kind in enumerate(kinds) if i != target and kind != SKIP]
        if not used:
            raise ValueError(f"{self.name}: expected at least one feature column beside the target, got none")
        targets = None if target is None else Targets(self.name, places[target], missing)
        lines = array("q")
        for numbers, columns in self._chunks(header, used, readers, target):
            for reader, i in zip(readers, used, strict=True):
                reader.extend(numbers, columns[i])
            if targets is not None and target is not None:
                targets.extend(numbers, columns[target])
            lines.extend(numbers)
        if not lines:
            raise ValueError(f"{self.name}: expected rows of data, got the header alone")
        y, class_names, known = (None, None, None) if targets is None else targets.encode()
        features = [reader.feature(i) for reader, i in zip(readers, used, strict=True)]
        return Columns(features, np.frombuffer(lines, np.int64), y, class_names, known)

    def places(self) -> list[str]:
        """The names of the columns for messages where there is no header."""
        return [f"column {i + 1}" for i in range(self.width)]

    def _chunks(
        self, header: bool, used: list[int], readers: list[FeatureReader], target: int | None
    ) -> Iterator[tuple[Sequence[int], Mapping[int, Sequence[str] | np.ndarray]]]:
        """The rows in parts: their numbers, and the columns by place, as arrays where all features are numbers."""
        start = [*([] if header else [(self.line, self.first)]), *self._peeked]
        if start:
            yield self._columns(start)
        quoted = False
        while True:
            lines = list(islice(self._lines, CHUNK))
            if not lines:
                return
            quoted = quoted or '"' in "".join(lines)
            if quoted:  # cells may go on in the next line
                rows = csv.reader(chain(lines, self._lines), delimiter=self.delimiter, strict=True)
                while part := self._parsed(rows):
                    yield self._columns(part)
                return
            first = self._read + 1
            columns = self._matrix(lines, used, target) if all(r.kind == NUMBER for r in readers) else None
            if columns is not None:
                self._read += len(lines)
                yield range(first, first + len(lines)), columns
            elif part := self._parsed(csv.reader(lines, delimiter=self.delimiter, strict=True)):
                yield self._columns(part)

    def _matrix(
        self, lines: list[str], used: list[int], target: int | None
    ) -> dict[int, Sequence[str] | np.ndarray] | None:
        """Lines of plain numbers by NumPy's parser, several times as fast as cell by cell; None for any others."""
        mark, last = self.delimiter, self.width - 1
        if any(line.count(mark) != last or line.isspace() for line in lines):
            return None
        try:
            numbers = np.loadtxt(lines, np.float64, comments=None, delimiter=mark, usecols=used, ndmin=2)
        except ValueError:
            return None
        if len(numbers) != len(lines) or not (np.abs(numbers) <= FLOAT32_MAX).all():
            return None
        columns: dict[int, Sequence[str] | np.ndarray] = dict(zip(used, numbers.astype(np.float32).T, strict=True))
        if target is not None:
            cut = (
                line.rsplit(mark, 1)[1] if target == last else line.split(mark, target + 1)[target] for line in lines
            )
            columns[target] = list(cut)
        return columns

    def _next(self) -> Record | None:
        """The next row that is not empty."""
        rows = csv.reader(self._lines, delimiter=self.delimiter, strict=True)
        found = self._parsed(rows, 1)
        return found[0] if found else None

    def _parsed(self, rows: Iterator[list[str]], most: int = CHUNK) -> list[Record]:
        """The next rows, those that are not empty, with their numbers."""
        found: list[Record] = []
        try:
            for cells in rows:
                self._read += 1
                if cells:
                    found.append((self._read, cells))
                if len(found) == most:
                    break
        except csv.Error as error:
            raise ValueError(f"{self.name}: expected a CSV file, got one that is damaged ({error})") from None
        return found

    def _columns(self, chunk: list[Record]) -> tuple[list[int], dict[int, Sequence[str] | np.ndarray]]:
        """The numbers of rows and their cells by column."""
        for line, cells in chunk:
            if len(cells) != self.width:
                raise ValueError(f"{self.name}: row {line}: expected {self.width} cells, got {len(cells)}")
        return [line for line, _ in chunk], dict(enumerate(zip(*(cells for _, cells in chunk), strict=True)))


def sniff(line: str) -> str:
    """The delimiter of a line: a comma where it has one, else what parts it into most cells."""
    counts = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in DELIMITERS}
    return "," if counts[","] > 1 else max(DELIMITERS, key=counts.__getitem__)


def _lines(name: str, source: str | os.PathLike[str] | TextIO) -> Iterator[str]:
    """The lines of a file, or of a stream that is open."""
    try:
        if isinstance(source, (str, os.PathLike)):
            with open(source, newline="", encoding="utf-8-sig") as file:
                yield from file
        else:
            yield from source
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected UTF-8 text, got other bytes ({error.reason})") from None

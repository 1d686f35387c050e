"""DATA that is a table of text: which column is what, and how columns become features."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import numpy as np

from ..data.cells import NUMBER, SKIP, TEXT, Feature
from ..data.columns import Columns, TextTable
from .preparation import Preparation

STDIN = "-"
COMMA = re.compile(r"expected .*, got '[+-]?[\d.]*,\d+'$")
MOST_CATEGORIES = 1000  # of a column that is not said to be categorical


class TableOptions(NamedTuple):
    """How to read a table; columns are given by place or name."""

    target: int | str | None = -1
    header: bool | str = "auto"
    delimiter: str | None = None
    ignore: tuple[int | str, ...] = ()
    categorical: tuple[int | str, ...] = ()
    decimal_comma: bool = False


class Layout(NamedTuple):
    """The columns that features came from; see `Preparation` for what they mean."""

    features: list[str] | None
    target: int | str
    categories: list[list[str] | None] | None
    ignored: list[int] | None


class Rows(NamedTuple):
    """The rows of a table."""

    X: np.ndarray
    """Features, float32, shape (N, F), NaN where missing."""
    y: np.ndarray | None
    """Targets of the rows that have one."""
    known: np.ndarray | None
    """Which rows have a target."""
    layout: Layout
    places: list[str]
    """The columns, in words."""
    lines: np.ndarray
    """The rows' numbers in the file."""
    notes: list[str]


def is_table(name: str) -> bool:
    """Whether DATA is read as a table of text."""
    return name == STDIN or name.lower().endswith((".csv", ".tsv", ".txt"))


def read_table(name: str, options: TableOptions) -> Rows:
    """A table to train on: numbers stay, text becomes categories."""
    table = _open(name, options)
    options = _years(table, options)
    named = any(isinstance(column, str) for column in (options.target, *options.ignore, *options.categorical))
    header = True if options.header == "auto" and named else options.header
    target = None if options.target is None else table.column(options.target, header)
    ignore = [table.column(column, header, "column to leave out") for column in options.ignore]
    categorical = [table.column(column, header, "categorical column") for column in options.categorical]
    if header == "auto":
        header = _guess(table, [target, *ignore, *categorical])
    kinds = [SKIP if i in ignore else TEXT if i in categorical else None for i in range(table.width)]
    if target in ignore or target in categorical:
        what = "left out" if target in ignore else "categorical"
        raise ValueError(f"{table.name}: expected another column than the target to be {what}")
    if contradictory := set(ignore) & set(categorical):
        raise ValueError(f"{table.name}: expected columns that are left out or categorical, got both for column "
                         f"{table.names[contradictory.pop()]!r}")  # fmt: skip
    try:
        columns = table.read(bool(header), target, kinds, missing=True)
    except ValueError as error:
        raise ValueError(_with_advice(str(error))) from None
    for feature in columns.features:
        _check_categories(table.name, feature, len(columns.lines), feature.column in categorical)
    categories = [feature.categories for feature in columns.features]
    names = [table.names[feature.column] for feature in columns.features] if header else None
    kept = [i for i in range(table.width) if i != target]
    ignored = None if header else [kept.index(i) for i in ignore]
    chosen = table.names[target] if header and target is not None else -1 if target is None else target
    layout = Layout(names, chosen, categories if any(c is not None for c in categories) else None, ignored)
    return _rows(columns, categories, layout, [])


def read_table_as(name: str, options: TableOptions, preparation: Preparation, target_given: bool) -> Rows:
    """A table with the columns that a model was trained on; it may lack the target."""
    table = _open(name, options)
    options = _years(table, options)
    header = options.header
    if header == "auto" and preparation.features is not None and {*preparation.features} <= {*table.names}:
        header = True
    target = _target(table, options, preparation, target_given, header)
    if header == "auto":
        header = (isinstance(options.target, str) and target is not None) or _guess(table, [target])
    used, notes = _used(table, preparation, target, bool(header))
    categories = preparation.categories or [None] * len(used)
    kinds: list[str | None] = [SKIP] * table.width
    for place, of_column in zip(used, categories, strict=True):
        kinds[place] = NUMBER if of_column is None else TEXT
    try:
        columns = table.read(bool(header), target, kinds, missing=True)
    except ValueError as error:
        raise ValueError(_with_advice(str(error))) from None
    by_place = {feature.column: feature for feature in columns.features}
    columns = columns._replace(features=[by_place[place] for place in used])
    names = None if preparation.features is None else list(preparation.features)
    layout = Layout(names, preparation.target, preparation.categories, preparation.ignored)
    return _rows(columns, categories, layout, notes)


def _open(name: str, options: TableOptions) -> TextTable:
    source: str | TextIO = name
    if name == STDIN:
        if sys.stdin is None:
            raise ValueError("standard input: expected a table, got none")
        source, name = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline=""), "standard input"
    return TextTable(source, name, options.delimiter, options.decimal_comma)


def _years(table: TextTable, options: TableOptions) -> TableOptions:
    """The options with names for the numbers that are no places but stand in the first row, such as 2026."""

    def known(column: int | str) -> int | str:
        is_place = isinstance(column, str) or -table.width <= column < table.width
        return column if is_place or str(column) not in table.names else str(column)

    return options._replace(
        target=None if options.target is None else known(options.target),
        ignore=tuple(map(known, options.ignore)),
        categorical=tuple(map(known, options.categorical)),
    )


def _guess(table: TextTable, aside: list[int | None]) -> bool:
    try:
        return table.is_header(aside, mixed=True)
    except ValueError as error:
        raise ValueError(
            f"{str(error).removesuffix('say whether it is a header')}--header yes or --header no"
        ) from None


def _with_advice(message: str) -> str:
    """What to do about a column that is neither numbers nor categories."""
    if "expected text as in the rows above" in message:
        return f"{message}; --categorical takes every value of a column as text, --ignore leaves the column out"
    if COMMA.search(message):
        return f"{message}; --decimal comma reads such numbers"
    if "expected values, got none" in message or "expected a number" in message:
        return f"{message}; --ignore leaves a column out"
    return message


def _check_categories(name: str, feature: Feature, rows: int, chosen: bool) -> None:
    """Raise for a column of names or free text, which is no use to a network."""
    if feature.categories is None or chosen:
        return
    different = len(feature.categories)
    if different > MOST_CATEGORIES or (different > 20 and different * 2 > rows):
        raise ValueError(
            f"{name}: {feature.place}: expected numbers or categories, got {different} different texts in {rows} rows, "
            f"such as {feature.categories[0][:40]!r}; --ignore leaves the column out, --categorical takes it as it is"
        )


def _target(
    table: TextTable, options: TableOptions, preparation: Preparation, given: bool, header: bool | str
) -> int | None:
    """The place of the target, which a table to predict may lack."""
    if given and options.target is not None:
        return table.column(options.target, header)
    if isinstance(preparation.target, str):
        return table.names.index(preparation.target) if table.names.count(preparation.target) == 1 else None
    without = table.width == preparation.n_columns + len(preparation.ignored or ())
    return None if without else table.column(preparation.target, header)


def _used(table: TextTable, preparation: Preparation, target: int | None, header: bool) -> tuple[list[int], list[str]]:
    """The places of the columns that the model was trained on, in its order, and a note of those it was not."""
    others = [i for i in range(table.width) if i != target]
    if not header or preparation.features is None:
        kept = [i for place, i in enumerate(others) if place not in (preparation.ignored or ())]
        if len(kept) != preparation.n_columns:
            columns = "column" if preparation.n_columns == 1 else "columns"
            raise ValueError(
                f"{table.name}: expected {preparation.n_columns} {columns} of features as in training, got {len(kept)}"
            )
        return kept, []
    names = [table.names[i] for i in others]
    if names == preparation.features:
        return others, []
    if wrong := [feature for feature in preparation.features if names.count(feature) != 1]:
        problem = f"more than one {wrong[0]!r}" if wrong[0] in names else ", ".join(names)
        raise ValueError(f"{table.name}: expected the columns {', '.join(preparation.features)}, got {problem}")
    more = [name for name in names if name not in preparation.features]
    note = [f"{table.name}: not used, as in training: {', '.join(more)}"] if more else []
    return [others[names.index(feature)] for feature in preparation.features], note


def _rows(columns: Columns, categories: Sequence[list[str] | None], layout: Layout, notes: list[str]) -> Rows:
    """The columns as features: a number is one, a column of categories is one for each."""
    parts = []
    for feature, known in zip(columns.features, categories, strict=True):
        if known is None or feature.categories is None:
            parts.append(feature.values[:, None])
            continue
        unknown = [text for text in feature.categories if text not in known]
        if unknown:
            codes = [feature.categories.index(text) for text in unknown]
            rows = np.flatnonzero(np.isin(feature.values, codes))
            notes.append(
                f"{feature.place}: values that training did not have in {len(rows)} of {len(columns.lines)} rows, "
                f"the first {feature.categories[feature.values[rows[0]]]!r} in row {columns.lines[rows[0]]}, "
                "which count as none of its categories"
            )
        parts.append(_one_hot(feature, known))
    X = np.ascontiguousarray(np.concatenate(parts, axis=1))
    y = columns.y
    if y is not None and columns.class_names is not None:
        y = np.array(columns.class_names)[y]
    places = [feature.place for feature in columns.features]
    return Rows(X, y, columns.known, layout, places, columns.lines, notes)


def _one_hot(feature: Feature, categories: list[str]) -> np.ndarray:
    """1 at the category of each row, nothing but 0 at other texts, NaN where the value is missing."""
    place = {text: number for number, text in enumerate(categories)}
    assert feature.categories is not None
    codes = np.array([*(place.get(text, len(place)) for text in feature.categories), len(place)], np.int64)
    output = np.zeros((len(feature.values), len(place) + 1), np.float32)
    output[np.arange(len(output)), codes[feature.values]] = 1
    output[feature.values < 0] = np.nan
    return output[:, :-1]

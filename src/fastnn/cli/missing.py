"""Cells without a value: refused, kept as NaN for the mean, or left out with their rows."""

from __future__ import annotations

import numpy as np

from .preparation import Preparation
from .report import Report, count
from .sources import Source

MOST_NAMED = 3  # columns in an error


def resolve(source: Source, how: str, name: str, report: Report, training: bool) -> Source:
    """The rows to go on with.

    "error" refuses missing values. "mean" keeps them as NaN in X, and "drop" leaves out their rows. In a training rows
    without a target are left out unless they are an error; else they stay, to be predicted.
    """
    empty = np.isnan(source.X)
    unlabelled = np.zeros(len(empty), bool) if source.known is None else ~source.known
    if how == "error" and (empty.any() or (training and unlabelled.any())):
        raise ValueError(f"{name}: {_found(source, empty, unlabelled & training)}")
    dropped = unlabelled & training
    if how == "drop":
        dropped = dropped | empty.any(axis=1)
    if not dropped.any():
        return source
    if dropped.all():
        raise ValueError(f"{name}: expected rows without missing values, got none in {count(len(empty), 'row')}")
    of_target = "" if how == "drop" else " without a target"
    report.note(f"{name}: {count(int(dropped.sum()), 'row')} of {len(dropped):,}{of_target} left out (--missing {how})")
    return _take(source, ~dropped)


def _take(source: Source, kept: np.ndarray) -> Source:
    y, known = source.y, source.known
    if y is not None:
        y = y[kept if known is None else kept[known]]
    known = None if known is None or known[kept].all() else known[kept]
    lines = None if source.lines is None else source.lines[kept]
    return source._replace(X=source.X[kept], y=y, known=known, lines=lines)


def _found(source: Source, empty: np.ndarray, unlabelled: np.ndarray) -> str:
    """How many cells are missing, in which columns, and where first."""
    lines = np.arange(len(empty)) if source.lines is None else source.lines
    if source.layout is None or source.layout.categories is None:
        starts = np.arange(empty.shape[1])
    else:
        starts = np.cumsum([0, *map(Preparation.width, source.layout.categories)])[:-1]
    places = [f"column {i}" for i in starts] if source.places is None else source.places
    found = [(place, empty[:, start]) for place, start in zip(places, starts, strict=True) if empty[:, start].any()]
    if unlabelled.any():
        found.append(("the target", unlabelled))
    parts = [
        f"{int(cells.sum()):,} in {place} (the first in row {lines[cells.argmax()]})"
        for place, cells in found[:MOST_NAMED]
    ]
    more = [f"the others in {count(len(found) - MOST_NAMED, 'more column')}"] if len(found) > MOST_NAMED else []
    total = sum(int(cells.sum()) for _, cells in found)
    wrong = int(np.any([cells for _, cells in found], axis=0).sum())
    rows = f"{wrong:,} of {count(len(empty), 'row')}"
    return (
        f"expected a value in every cell, got {count(total, 'cell')} without one in {rows}: "
        f"{', '.join([*parts, *more])}; --missing tells how to go on"
    )

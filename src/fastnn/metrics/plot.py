"""The picture of a confusion matrix; matplotlib is imported when it is drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import flag
from ..checks import real

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERED = 25  # classes; more numbers than that cannot be read in a picture


def plot_confusion_matrix(
    matrix: Any,
    labels: Sequence[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    normalize: bool = False,
) -> Figure:
    """Draw a confusion matrix, the truth from top to bottom and the predictions from left to right.

    Parameters
    ----------
    matrix : array-like, shape (K, K)
        As `confusion_matrix` returns it.
    labels : sequence of K names, optional
        Of the classes; by default their numbers.
    path : str or path, optional
        The picture to write; its ending (.png, .svg, .pdf) says which kind. Without it the figure is pyplot's, for
        `matplotlib.pyplot.show()`.
    normalize : bool
        Whether to show each row in per cent of its sum.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the matrix is not square or has numbers below 0, or there are not as many labels as classes.

    Examples
    --------
    >>> from fastnn.metrics import confusion_matrix, plot_confusion_matrix
    >>> matrix = confusion_matrix([0, 1, 1, 0], [0, 1, 0, 0])
    >>> figure = plot_confusion_matrix(matrix, ["cat", "dog"], "confusion.png")  # doctest: +SKIP
    """
    where = "plot_confusion_matrix"
    counts, names = _checked(where, matrix, labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    normalize = flag(where, "normalize", normalize)
    try:
        from matplotlib import pyplot
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"{where}: expected matplotlib, got {error}: pip install 'fastnn[plot]' installs it"
        ) from None
    size = min(max(2.6 + 0.42 * len(names), 3.8), 14.0)
    figure: Figure = (Figure if path is not None else pyplot.figure)(figsize=(size * 1.12, size), layout="constrained")
    axes = figure.add_subplot()
    shown = 100 * shares if normalize else counts
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=100 if normalize else max(shown.max(), 1))
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="% of the class" if normalize else "rows")
    bar.outline.set_visible(False)
    slanted: Any = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    wide = max(map(len, names)) > max(3, 24 // len(names))  # letters that fit below a column
    axes.set_xticks(range(len(names)), names, **(slanted if wide else {}))
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(names) <= MOST_NUMBERED:
        _write_numbers(axes, shown, normalize)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _checked(where: str, matrix: Any, labels: Sequence[Any] | None) -> tuple[np.ndarray, list[str]]:
    """The matrix in float64, and the names of its classes."""
    counts = real(where, "matrix", matrix).astype(np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"{where}: expected matrix of shape (K, K), got {counts.shape}")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError(f"{where}: expected finite numbers from 0 in matrix, got others")
    names = [str(label) for label in (range(len(counts)) if labels is None else labels)]
    if len(names) != len(counts):
        raise ValueError(f"{where}: expected {len(counts)} labels, got {len(names)}")
    return counts, names


def _write_numbers(axes: Any, shown: np.ndarray, percent: bool) -> None:
    """Every number in its place, light on dark; zeros are left faint."""
    whole = not percent and (shown == np.floor(shown)).all()
    fontsize = 10 if len(shown) <= 12 else 7
    for (row, col), value in np.ndenumerate(shown):
        text = f"{value:.0f}" if whole else f"{value:.1f}" if percent else f"{value:.2g}"
        dark = value > 0.55 * (100 if percent else shown.max())
        color = "white" if dark else "0.75" if value == 0 else "0.15"
        axes.text(col, row, text, ha="center", va="center", color=color, fontsize=fontsize)

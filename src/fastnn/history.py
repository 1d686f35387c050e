"""The numbers of every epoch of a training: to read, to draw, to write down."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .callbacks.monitors import direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 30  # epochs, up to which each is marked in a picture
PANELS = 3  # of a picture beside each other
WIDE = 30  # a loss that falls by more has a logarithmic axis, on which its end is seen too
TRAINING, VALIDATION = "#4477aa", "#ee6677"  # apart in grey and for every kind of colour vision (Paul Tol's "bright")


class History:
    """What `Trainer.fit` returns: one number an epoch of each quantity.

    Attributes
    ----------
    history : dict of str to list of float
        `loss` and `accuracy` over the training batches as they were trained on, `val_loss`, `val_accuracy` and the
        metrics (`val_...`) after the epoch, `lr`, and the `seconds` that the epoch's training took, validation
        excluded. What there was none of (accuracies without class targets, `val_...` without validation data) is
        absent.

    Examples
    --------
    >>> from fastnn import History
    >>> history = History()
    >>> history.append({"loss": 0.5})
    >>> history.append({"loss": 0.25})
    >>> history.history
    {'loss': [0.5, 0.25]}
    >>> history.best("loss")
    (2, 0.25)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}

    @classmethod
    def of(cls, history: Mapping[str, Sequence[float]]) -> History:
        """A history of these numbers, copied.

        Raises
        ------
        TypeError
            These are no lists of numbers by name.
        """
        if not isinstance(history, Mapping):
            raise TypeError(f"History.of: expected lists of numbers by name, got {type(history).__name__}")
        made = cls()
        for name, values in history.items():
            if not isinstance(values, Sequence) or not all(isinstance(value, (int, float)) for value in values):
                raise TypeError(f"History.of: expected {name} as a list of numbers, got another value")
            made.history[name] = [float(value) for value in values]
        return made

    def append(self, record: Mapping[str, float]) -> None:
        """Add the numbers of one epoch."""
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)

    def __len__(self) -> int:
        return max(map(len, self.history.values()), default=0)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise KeyError(f"History: expected one of {', '.join(self.history) or 'no names yet'}, got {name!r}")
        return self.history[name]

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self)} epochs{'; last: ' if last else ''}{last})"

    def _repr_html_(self) -> str:
        """The table of the epochs, for notebooks."""
        import html

        heads = "".join(f"<th>{html.escape(name)}</th>" for name in self.history)
        rows = "".join(
            f"<tr><th>{number}</th>{''.join(f'<td>{value:.4g}</td>' for value in row)}</tr>"
            for number, row in enumerate(zip(*self.history.values(), strict=False), 1)
        )
        return f"<table><thead><tr><th>epoch</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    def best(self, name: str, mode: str = "min") -> tuple[int, float]:
        """The epoch, from 1, with the least (or with "max" the greatest) value of a quantity, and that value.

        Raises
        ------
        KeyError
            There is no such quantity.
        ValueError
            The mode is another.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"History.best: expected mode 'min' or 'max', got {mode!r}")
        values = self[name]
        sign = 1 if mode == "min" else -1
        place = min(range(len(values)), key=lambda index: (values[index] != values[index], sign * values[index]))
        return place + 1, values[place]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a row an epoch: its number, then every quantity.

        Parameters
        ----------
        path : str or path
            The file.
        """
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["epoch", *self.history])
            table.writerows([number, *row] for number, row in enumerate(zip(*self.history.values(), strict=False), 1))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the losses and, where there are any, the accuracies and the metrics over the epochs.

        A ring marks the best epoch in validation, of the loss and of scores.

        Parameters
        ----------
        path : str or path, optional
            The picture to write; its ending (.png, .svg, .pdf) says which kind. Without it the figure is pyplot's,
            for `matplotlib.pyplot.show()`.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from matplotlib import pyplot
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                f"History.plot: expected matplotlib, got {error}: pip install 'fastnn[plot]' installs it"
            ) from None
        drawn = [name for name, values in self.history.items() if values and name not in ("lr", "seconds")]
        names = dict.fromkeys(name.removeprefix("val_") for name in drawn)
        columns = min(len(names), PANELS) or 1
        rows = -(-len(names) // columns) or 1
        size = 5.0 * columns, 3.5 * rows
        figure: Figure = (Figure if path is not None else pyplot.figure)(figsize=size, layout="constrained")
        for place, name in enumerate(names, 1):
            self._draw(figure.add_subplot(rows, columns, place), name)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def _draw(self, axes: Axes, name: str) -> None:
        """One quantity over the epochs, in training and in validation, and its best epoch in validation."""
        from matplotlib import ticker

        shown: list[float] = []
        for key, label, color in ((name, "training", TRAINING), (f"val_{name}", "validation", VALIDATION)):
            if values := self.history.get(key):
                marker: Any = "o" if len(values) < FEW else None
                axes.plot(range(1, len(values) + 1), values, label=label, color=color, marker=marker, markersize=3)
                shown += values
        if self.history.get(f"val_{name}") and (name == "loss" or direction("History.plot", name, "auto") == "max"):
            epoch, value = self.best(f"val_{name}", "min" if name == "loss" else "max")
            ring: dict[str, Any] = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "linestyle": "none"}
            axes.plot([epoch], [value], label=f"best: {value:.4g} in epoch {epoch}", color=VALIDATION, **ring)
        if name == "loss" and min(shown) > 0 and min(shown) * WIDE < max(shown) < math.inf:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(ticker.FuncFormatter(_plain))
            axes.yaxis.set_minor_formatter(ticker.FuncFormatter(_plain))
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        margin = min(0.02 * len(self), 0.9)
        axes.set_xlim(1 - margin, len(self) + margin)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)


def _plain(value: float, place: int | None) -> str:
    """The label of a logarithmic axis at 1, 2 and 5 times a power of ten, without an exponent where it is short."""
    return f"{value:g}" if f"{value:.0e}"[0] in "125" else ""

"""What is shown on the standard error stream while a model trains: a bar, or a line an epoch."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

OnRows = Callable[[int], object]  # called now and then with the number of rows that were trained on since
OnEpoch = Callable[[Mapping[str, Any]], object]  # called after each epoch with its record
FORMS = {"loss": ".4g", "accuracy": ".4f", "val_loss": ".4g", "val_accuracy": ".4f"}
APART = "epoch", "lr", "seconds"  # what is no measure of the model


@contextlib.contextmanager
def shown(show: bool, epochs: int, rows: int, done: int = 0) -> Iterator[tuple[OnRows, OnEpoch]]:
    """Show the progress of `epochs` epochs of `rows` rows each, of which `done` epochs are done before."""
    if not show:
        yield (lambda rows: None), (lambda record: None)
        return
    make_bar: Any = None
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            make_bar = importlib.import_module("tqdm").tqdm
    if make_bar is None:
        yield (lambda rows: None), lambda record: print(line(record, epochs, rows), file=sys.stderr, flush=True)
        return
    with make_bar(
        total=epochs * rows, initial=done * rows, unit=" samples", unit_scale=True, file=sys.stderr, dynamic_ncols=True
    ) as bar:
        yield bar.update, lambda record: bar.set_postfix_str(line(record, epochs))


def line(record: Mapping[str, Any], epochs: int, rows: int | None = None) -> str:
    """The record of an epoch as one line; with its rows how many were trained on in a second."""
    names = [*(name for name in FORMS if name in record), *(name for name in record if name not in (*FORMS, *APART))]
    values = "".join(f"  {name} {record[name]:{FORMS.get(name, '.4g')}}" for name in names)
    text = f"epoch {record['epoch']}/{epochs}{values}  {record['seconds']:.2f} s"
    return text if rows is None else f"{text}  {rows / max(record['seconds'], 1e-9):,.0f} samples/s"

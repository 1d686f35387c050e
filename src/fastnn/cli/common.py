"""What several commands check: options for DATA, and the files to write."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .options import UsageError
from .tables import TableOptions, is_table

OF_TABLES = {"target": None, "ignore": None, "categorical": None, "header": "auto", "delimiter": None, "decimal": None}


def table_options(arguments: argparse.Namespace, target: int | str | None) -> TableOptions:
    """The options for a table; columns of digits are places. Refused for other data."""
    given: dict[str, Any] = {name: getattr(arguments, name, default) for name, default in OF_TABLES.items()}
    for name, value in given.items():
        if value != OF_TABLES[name] and not is_table(arguments.data):
            raise UsageError(f"argument --{name}: expected a .csv file as DATA, got {arguments.data}")
    if arguments.missing and not (is_table(arguments.data) or arguments.data.lower().endswith(".npz")):
        raise UsageError(f"argument --missing: expected a .csv or an .npz file as DATA, got {arguments.data}")
    delimiter = {"\\t": "\t", "tab": "\t"}.get(given["delimiter"], given["delimiter"])
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(f"argument --delimiter: expected one character, got {delimiter!r}")
    if given["decimal"] == "comma" and delimiter == ",":
        raise UsageError("argument --decimal: expected another --delimiter than a comma where it is the decimal one")
    return TableOptions(
        target if given["target"] is None else _column(given["target"]),
        given["header"] if given["header"] == "auto" else given["header"] == "yes",
        delimiter,
        tuple(map(_column, given["ignore"] or ())),
        tuple(map(_column, given["categorical"] or ())),
        given["decimal"] == "comma",
    )


def _column(text: str) -> int | str:
    return int(text) if text.removeprefix("-").isdecimal() else text


@contextlib.contextmanager
def last_ctrl_c() -> Iterator[None]:
    """Within the block a Ctrl-C stops, and those after it are ignored, so that nothing is left half tidied up."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def check_outputs(inputs: list[str], *outputs: str | None) -> None:
    """Raise unless a file can be written at each output, none of which may be an input or another output."""
    paths = [path for path in outputs if path is not None]
    for number, path in enumerate(paths):
        if not path:
            raise UsageError("expected the name of a file to write, got ''")
        if os.path.realpath(path) in map(os.path.realpath, [*inputs, *paths[:number]]):
            raise UsageError(f"expected different files to read and to write, got {path} twice")
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "expected a file to write, got a folder", path)
        if os.path.exists(path) and not (os.path.isfile(path) and os.access(path, os.W_OK)):
            raise PermissionError(errno.EACCES, "expected a file that can be written", path)
        folder = os.path.dirname(os.path.realpath(path))
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise type(error)(error.errno, error.strerror, path) from None


def check_picture(path: str) -> None:
    """Raise unless matplotlib is there and writes such files."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"--plot: expected matplotlib, got {error}: pip install 'fastnn[plot]' installs it") from None
    kinds = Figure().canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1].removeprefix(".").lower()
    if kind not in kinds:
        raise UsageError(f"argument --plot: expected a name that ends in .{', .'.join(sorted(kinds))}, got {path!r}")

"""What `fastnn train` and `fastnn predict` share."""

from __future__ import annotations

import argparse
import errno
import os
import tempfile

import numpy as np

from .preparation import CLASSIFICATION, Preparation
from .sources import CsvOptions


class UsageError(Exception):
    """Options that do not go together."""


def csv_options(arguments: argparse.Namespace, target: int | str) -> CsvOptions:
    """The options for a .csv file; a target of digits is a place."""
    if arguments.target is not None:
        is_place = arguments.target.removeprefix("-").isdecimal()
        target = int(arguments.target) if is_place else arguments.target
    delimiter = {"\\t": "\t", "tab": "\t"}.get(arguments.delimiter, arguments.delimiter)
    if len(delimiter) != 1:
        raise UsageError(f"argument --delimiter: expected one character, got {delimiter!r}")
    header = arguments.header if arguments.header == "auto" else arguments.header == "yes"
    return CsvOptions(target, header, delimiter)


def check_outputs(inputs: list[str], *outputs: str | None) -> None:
    """Raise unless a file can be written at each output, none of which may be an input or another output."""
    paths = [path for path in outputs if path is not None]
    for number, path in enumerate(paths):
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


def score(preparation: Preparation, predicted: np.ndarray, truth: np.ndarray) -> str:
    """Accuracy, or root mean squared error and the share of the variance that is explained."""
    if preparation.task == CLASSIFICATION:
        right = int((predicted.astype(str) == truth.astype(str)).sum())
        return f"accuracy: {100 * right / len(truth):.2f} % ({right} of {len(truth)})"
    errors = predicted - truth.astype(np.float64)
    explained = 1 - (errors**2).mean() / truth.var(dtype=np.float64) if truth.min() < truth.max() else float("nan")
    return f"error: {np.sqrt((errors**2).mean()):.6g} (root mean square), R2: {explained:.4f}"

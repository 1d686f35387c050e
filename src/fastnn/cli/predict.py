"""`fastnn predict`: the predictions of a saved model, and their score where the data has targets."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import Any

import numpy as np

from .common import check_outputs
from .options import DATA_HELP, command, json_option, missing_option, threads_option
from .options import table_options as add_table_options
from .preparation import CLASSIFICATION
from .report import Report
from .saved import load, outputs, rows, truth_of
from .scores import in_words, scores

HELP = f"""\
{DATA_HELP}
A table needs no target column. Its columns are found by name, in any order; columns that the model was not trained on
are not used. A category that training did not have counts as none of them, and is told.

examples:
  fastnn train digits --out digits.safetensors
  fastnn predict digits.safetensors digits --out labels.csv
  fastnn predict digits.safetensors digits --probabilities --out probabilities.csv
  fastnn predict houses.safetensors new-houses.csv
  cat new-houses.csv | fastnn predict houses.safetensors - --json
"""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    summary = "predict with a model that `fastnn train` saved, one line a row"
    parser = command(subparsers, "predict", run, summary, HELP)
    parser.add_argument("model", metavar="MODEL", help="the file that `fastnn train --out` wrote")
    parser.add_argument("data", metavar="DATA", help="what to predict, see below; of a folder, its test files")
    parser.add_argument("--out", metavar="FILE", help="write the predictions there and print the score alone")
    parser.add_argument(
        "--probabilities", action="store_true", help="write the probability of every class too, in columns"
    )
    missing_option(parser, ("error", "mean"), "as in training; error where that was drop")
    threads_option(parser)
    json_option(parser)
    add_table_options(parser, "target column, if it is another than in training", fitting=False)


def run(arguments: argparse.Namespace) -> None:
    """Print the predictions, one a line, or write them to a file; then the score if the data has targets."""
    report = Report(arguments.json)
    check_outputs([arguments.model, arguments.data], arguments.out)
    saved = load(arguments.model)
    task = saved.preparation.task
    if arguments.probabilities and task != CLASSIFICATION:
        raise ValueError(f"{arguments.model}: expected a classification for --probabilities, got a regression")
    source = rows(arguments, saved, report, training=False)
    output = outputs(arguments.model, saved, source.X)
    predicted = saved.preparation.outputs(output)
    found = None
    if source.y is not None and len(source.y):
        known = slice(None) if source.known is None else source.known
        found = scores(task, predicted[known], truth_of(arguments.data, task, source.y))
    shares = saved.preparation.probabilities(output) if arguments.probabilities else output[:, :0]
    probabilities = dict(zip(map(str, saved.preparation.classes), shares.T, strict=False))
    _deliver(arguments, report, predicted, probabilities, found)


def _deliver(
    arguments: argparse.Namespace,
    report: Report,
    predicted: np.ndarray,
    probabilities: dict[str, np.ndarray],
    found: dict[str, Any] | None,
) -> None:
    """Write predictions and probabilities where they are asked for, and say the score."""
    names, columns = ["prediction", *probabilities], [predicted, *probabilities.values()]
    if arguments.out is not None:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            _write(file, columns, names)
    summary = [] if found is None else [in_words(found)]
    if report.as_json:
        values = {"command": "predict", "model": arguments.model, "data": arguments.data, "rows": len(predicted)}
        if arguments.out is None:
            values |= {"predictions": predicted, **({"probabilities": probabilities} if probabilities else {})}
        report.result({**values, "out": arguments.out, "score": found})
    elif arguments.out is None:
        _write(sys.stdout, columns, names if probabilities else [])
        print(*summary, sep="\n", end="\n" if summary else "", file=sys.stderr)
    else:
        print(*summary, f"predictions: {arguments.out}", sep="\n")


def _write(file: Any, columns: list[np.ndarray], header: list[str]) -> None:
    """One row a prediction; text is quoted where a table needs it."""
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows(zip(*map(_cells, columns), strict=True))


def _cells(column: np.ndarray) -> list[Any]:
    digits = ".6g" if column.dtype == np.float32 else ".9g"
    return [f"{value:{digits}}" for value in column.tolist()] if column.dtype.kind == "f" else column.tolist()

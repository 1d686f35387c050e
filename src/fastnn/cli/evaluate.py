"""`fastnn evaluate`: how good a saved model is on data that has targets."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .. import metrics, nn
from . import scores
from .common import check_outputs, check_picture
from .options import DATA_HELP, command, json_option, missing_option, threads_option
from .options import table_options as add_table_options
from .preparation import CLASSIFICATION
from .report import Report, count, listed
from .saved import Saved, load, outputs, rows, truth_of

HELP = f"""\
{DATA_HELP}
Of a classification: the loss (cross entropy), the accuracy, precision, recall and F1 of every class, and the confusion
matrix, whose rows are the true classes. Of a regression: the root of the mean squared error (RMSE), the mean absolute
error (MAE), both in the unit of the target, and R2, the share of the variance that is explained.

examples:
  fastnn train digits --out digits.safetensors
  fastnn evaluate digits.safetensors digits --plot confusion.png
  fastnn evaluate houses.safetensors houses-2026.csv --json
"""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = command(subparsers, "evaluate", run, "measure how good a saved model is on data with targets", HELP)
    parser.add_argument("model", metavar="MODEL", help="the file that `fastnn train --out` wrote")
    parser.add_argument("data", metavar="DATA", help="rows with targets, see below; of a folder, its test files")
    parser.add_argument(
        "--plot", metavar="FILE",
        help="draw the confusion matrix, or predictions over targets, such as confusion.png (needs matplotlib)",
    )  # fmt: skip
    missing_option(parser, ("error", "mean", "drop"), "as in training; error where that was drop")
    threads_option(parser)
    json_option(parser)
    add_table_options(parser, "target column, if it is another than in training", fitting=False)


def run(arguments: argparse.Namespace) -> None:
    """Print the measures of a classification or a regression."""
    report = Report(arguments.json)
    check_outputs([arguments.model, arguments.data], arguments.plot)
    if arguments.plot:
        check_picture(arguments.plot)
    saved = load(arguments.model)
    source = rows(arguments, saved, report, training=True)
    if source.y is None:
        raise ValueError(f"{arguments.data}: expected targets to compare with, got none")
    truth = truth_of(arguments.data, saved.preparation.task, source.y)
    output = outputs(arguments.model, saved, source.X)
    predicted = saved.preparation.outputs(output)
    found = scores.scores(saved.preparation.task, predicted, truth)
    report.say(f"data: {arguments.data}: {count(len(truth), 'row')}")
    if saved.preparation.task == CLASSIFICATION:
        found |= _classification(saved, output, predicted, truth, report, arguments.plot)
    else:
        _regression(found, predicted, truth, report, arguments.plot)
    if arguments.plot:
        report.say(f"picture: {arguments.plot}")
    report.result({"command": "evaluate", "model": arguments.model, "data": arguments.data, **found})


def _classification(
    saved: Saved, output: np.ndarray, predicted: np.ndarray, truth: np.ndarray, report: Report, plot: str | None
) -> dict[str, Any]:
    found = scores.by_class(saved.preparation.classes, predicted, truth)
    known = np.isin(truth.astype(str), np.array(saved.preparation.classes).astype(str))
    loss = float("nan")
    if known.any():
        loss = nn.CrossEntropyLoss().forward(output[known], saved.preparation.targets(truth[known]))
    if not known.all():
        others = listed(found["labels"][len(saved.preparation.classes) :])
        missed = count(int((~known).sum()), "row")
        report.note(f"{missed} of classes that the model does not know ({others}), which the loss leaves out")
    report.say(f"loss: {loss:.6g} (cross entropy)")
    report.say(scores.in_words(scores.scores(CLASSIFICATION, predicted, truth)))
    matrix = scores.confusion_table(found["labels"], found["confusion_matrix"])
    report.say(f"\n{scores.class_table(found)}\n\n{matrix}")
    if plot:
        metrics.plot_confusion_matrix(found["confusion_matrix"], found["labels"], plot)
    return {"loss": loss, **found}


def _regression(
    found: dict[str, Any], predicted: np.ndarray, truth: np.ndarray, report: Report, plot: str | None
) -> None:
    report.say(f"RMSE: {found['rmse']:.6g}\nMAE: {found['mae']:.6g}\nR2: {found['r2']:.4f}")
    if plot:
        scores.plot_numbers(plot, predicted, truth)

"""The parser of a command, the kinds of its options, and the options that several commands have."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from typing import Any, NoReturn

INTERRUPTED = 130  # the status after Ctrl-C
DATA_HELP = """\
DATA is one of
  digits     1,797 images of handwritten digits that come with fastnn
  FOLDER     MNIST's files (train-images-idx3-ubyte, t10k-..., also .gz); without train files, the
             last part of the t10k files, in file order, is for testing
  FILE.npz   arrays X (one row a sample) and y
  FILE.csv   a table (.csv, .tsv or .txt) with one target column; columns of text become categories
  -          such a table from the standard input
"""


class UsageError(Exception):
    """Options that do not go together."""


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage above it; an unknown option is refused by the command it was given to."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help explains the options)\n")


def command(subparsers: Any, name: str, run: Callable[..., int | None], summary: str, epilog: str) -> Any:
    """The parser of a command."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def table_options(parser: Any, target: str, fitting: bool) -> None:
    """How to read a .csv file; `fitting` tells the choices that a saved model remembers."""
    group = parser.add_argument_group("a .csv file")
    group.add_argument("--target", metavar="COLUMN", help=target)
    if fitting:
        group.add_argument(
            "--ignore", type=names, metavar="COLUMNS",
            help="columns to leave out, such as id,name, by name or place, from 0",
        )  # fmt: skip
        group.add_argument(
            "--categorical", type=names, metavar="COLUMNS",
            help="columns of numbers that are categories, such as zip,month",
        )  # fmt: skip
    group.add_argument(
        "--header", choices=("auto", "yes", "no"), default="auto", metavar="YES|NO",
        help="whether the first row is names (default: if it has no numbers)",
    )  # fmt: skip
    group.add_argument(
        "--delimiter",
        metavar="C",
        help="between the cells, such as ';' or tab (default: a comma, or what the first row has)",
    )
    group.add_argument(
        "--decimal", choices=("point", "comma"), metavar="MARK",
        help="point or comma: what stands before the fractions of numbers (default: point)",
    )  # fmt: skip


def missing_option(parser: Any, choices: tuple[str, ...], default: str) -> None:
    """What to do about cells without a value."""
    meanings = {
        "error": "error: refuse the data",
        "mean": "mean: take the mean of the training rows, no category for text",
        "drop": "drop: leave out the rows",
    }
    parser.add_argument(
        "--missing", choices=choices, metavar="HOW",
        help="cells of a .csv that are empty, NA, N/A, NaN, null or ?, and NaN in X of an .npz: "
        f"{'; '.join(meanings[choice] for choice in choices)} (default: {default})",
    )  # fmt: skip


def threads_option(parser: Any) -> None:
    """How many threads."""
    parser.add_argument(
        "--threads", type=integer(1, 4096), metavar="N", help="most threads to use (default: as many as pay)"
    )


def json_option(parser: Any) -> None:
    """The report for programs."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; progress and notes go to the standard error"
    )


def names(text: str) -> list[str]:
    """Names with commas between them; a name with a comma stands in quotes."""
    found = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [""])]
    if "" in found:
        raise argparse.ArgumentTypeError(f"expected names or places of columns with commas between, got {text!r}")
    return found


def sizes(text: str) -> list[int]:
    """Sizes with commas between them, or none."""
    return [] if text == "none" else [integer(1)(size) for size in text.split(",")]


def integer(low: int, high: int = 1 << 31) -> Callable[[str], int]:
    """A whole number of these limits."""

    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def number(low: float, below: float = float("inf"), above: bool = False) -> Callable[[str], float]:
    """A number of these limits."""

    def parse(text: str) -> float:
        limits = f"{'above' if above else 'from'} {low:g}{f' and below {below:g}' if below < float('inf') else ''}"
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not (low < number < below or (number == low and not above)):
            raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")
        return number

    return parse

"""The command `fastnn`: train a network on a file, predict with it, port a program, show the configuration."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .. import __version__, get_num_threads, show_config, threads
from ..compat.migration.evidence import DIALECTS
from . import port, predict, train
from .common import UsageError
from .train import ACTIVATIONS, OPTIMIZERS

DATA_HELP = """\
DATA is one of
  digits        1,797 images of handwritten digits that come with fastnn
  FOLDER        MNIST's files (train-images-idx3-ubyte, t10k-..., also .gz); without train files, the
                last part of the t10k files, in file order, is for testing
  FILE.npz      arrays X (one row a sample) and y
  FILE.csv      a table of numbers with one target column, which may be text
"""

TRAIN_HELP = f"""\
{DATA_HELP}
examples:
  fastnn train digits
  fastnn train mnist/ --hidden 256,128 --dropout 0.2 --epochs 20 --out mnist.safetensors --plot mnist.png
  fastnn train houses.csv --target price --task regression --out houses.safetensors
"""

PREDICT_HELP = f"""\
{DATA_HELP}
examples:
  fastnn train digits --out digits.safetensors
  fastnn predict digits.safetensors digits --out predictions.csv
"""

PORT_HELP = """\
FILE is a program (.py) or a notebook (.ipynb) written against a "write your own PyTorch" framework: one that imports
the framework, or the framework itself. It is read, and executed for --verify alone. Names that fastnn does not have
stay imported from your own file.

examples:
  fastnn port train.py
  fastnn port homework.ipynb --write
  fastnn port train.py --dialect torch7_2017
  fastnn port train.py --verify --write
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for bad data, 2 for bad options, 130 for Ctrl-C."""
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    where = f"fastnn {arguments.command}"
    try:
        run: Callable[[argparse.Namespace], None] = arguments.run
        # A training that diverges is reported as an error of its own, not by NumPy's warnings as well.
        with threads(getattr(arguments, "threads", None) or get_num_threads()), np.errstate(all="ignore"):
            run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"{where}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        print(f"{where}: error: {error}", file=sys.stderr)
        return 2
    except (ArithmeticError, ImportError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
        print(f"{where}: error: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "expected more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage above it; an unknown option is refused by the command it was given to."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help explains the options)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastnn",
        description="Train a neural network on a file and predict with it.",
        epilog="example: fastnn train digits --out digits.safetensors",
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="train | predict | port | info")
    _train_parser(subparsers)
    _predict_parser(subparsers)
    _port_parser(subparsers)
    info = subparsers.add_parser("info", help="show back end, instruction set, BLAS and threads")
    info.set_defaults(run=lambda arguments: show_config())
    return parser


def _command(subparsers: Any, name: str, run: Callable[..., None], summary: str, epilog: str) -> Any:
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _train_parser(subparsers: Any) -> None:
    parser = _command(subparsers, "train", train.run, "train a network and test it", TRAIN_HELP)
    parser.add_argument("data", metavar="DATA", help="what to train on, see below")
    network = parser.add_argument_group("the network")
    network.add_argument(
        "--hidden", type=_sizes, default=[256, 128], metavar="SIZES",
        help="sizes of the hidden layers, or 'none' (default: 256,128)",
    )  # fmt: skip
    network.add_argument(
        "--activation", choices=ACTIVATIONS, default="relu", metavar="NAME",
        help=f"after each hidden layer: {', '.join(ACTIVATIONS)} (default: relu)",
    )  # fmt: skip
    network.add_argument(
        "--dropout", type=_number(0, 1), metavar="P",
        help="probability of dropping a hidden unit in training (default: 0.2 for classification, else 0)",
    )  # fmt: skip
    network.add_argument(
        "--batch-norm", action=argparse.BooleanOptionalAction,
        help="normalise each hidden layer over the batch or not (default: for classification)",
    )  # fmt: skip
    training = parser.add_argument_group("the training")
    training.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="adam", metavar="NAME",
        help=f"one of {', '.join(OPTIMIZERS)} (default: adam)",
    )  # fmt: skip
    rates = ", ".join(f"{rate:g} for {name}" for name, (_, rate) in OPTIMIZERS.items())
    training.add_argument(
        "--lr", type=_number(0, above=True), metavar="RATE",
        help=f"learning rate at first; it falls to 0 along a cosine (default: {rates})",
    )  # fmt: skip
    training.add_argument(
        "--epochs", type=_integer(1), default=20, metavar="N", help="passes over the data (default: 20)"
    )
    training.add_argument("--batch-size", type=_integer(1), default=32, metavar="N", help="rows a step (default: 32)")
    training.add_argument("--seed", type=_integer(0), default=0, metavar="N", help="of all randomness (default: 0)")
    training.add_argument(
        "--threads", type=_integer(1, 4096), metavar="N", help="most threads to use (default: as many as pay)"
    )
    data = parser.add_argument_group("the data")
    data.add_argument(
        "--task", choices=("auto", "classification", "regression"), default="auto", metavar="TASK",
        help="classification or regression (default: regression if the target has fractions, else classification)",
    )  # fmt: skip
    data.add_argument(
        "--test-size", type=_number(0, 1), metavar="SHARE",
        help="share of the rows to test on, 0 for none (default: 0.2, or the data's own test files)",
    )  # fmt: skip
    _csv_options(data, "target column of a .csv file by name or place, from 0 (default: the last)")
    results = parser.add_argument_group("the results")
    results.add_argument("--out", metavar="FILE", help="save the model, such as model.safetensors")
    results.add_argument(
        "--plot", metavar="FILE", help="save a picture of the loss, such as curve.png (needs matplotlib)"
    )


def _predict_parser(subparsers: Any) -> None:
    summary = "predict with a model that `fastnn train` saved, one line a row"
    parser = _command(subparsers, "predict", predict.run, summary, PREDICT_HELP)
    parser.add_argument("model", metavar="MODEL", help="the file that `fastnn train --out` wrote")
    parser.add_argument("data", metavar="DATA", help="what to predict, see below; of a folder, its test files")
    parser.add_argument("--out", metavar="FILE", help="write the predictions there and print the score alone")
    parser.add_argument(
        "--threads", type=_integer(1, 4096), metavar="N", help="most threads to use (default: as many as pay)"
    )
    _csv_options(parser, "target column of a .csv file, if it is another than in training")


def _port_parser(subparsers: Any) -> None:
    summary = "make a program that was written against a course framework run on fastnn"
    parser = _command(subparsers, "port", port.run, summary, PORT_HELP)
    parser.add_argument("file", metavar="FILE", help="a .py file or a notebook, see below")
    parser.add_argument("--write", action="store_true", help="change the import in FILE")
    parser.add_argument(
        "--verify", action="store_true",
        help="run the framework's file and compare its numbers with those of fastnn; a difference is status 1, and "
        "nothing is written",
    )  # fmt: skip
    parser.add_argument(
        "--dialect", choices=DIALECTS, metavar="NAME",
        help=f"one of {', '.join(DIALECTS)} (default: the one that FILE and its framework fit best)",
    )  # fmt: skip


def _csv_options(parser: Any, target: str) -> None:
    parser.add_argument("--target", metavar="COLUMN", help=target)
    parser.add_argument(
        "--header", choices=("auto", "yes", "no"), default="auto", metavar="YES|NO",
        help="whether the first row of a .csv file is names (default: if it has no numbers)",
    )  # fmt: skip
    parser.add_argument(
        "--delimiter", default=",", metavar="C", help="between the cells of a .csv file (default: a comma)"
    )


def _sizes(text: str) -> list[int]:
    return [] if text == "none" else [_integer(1)(size) for size in text.split(",")]


def _integer(low: int, high: int = 1 << 31) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def _number(low: float, below: float = float("inf"), above: bool = False) -> Callable[[str], float]:
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

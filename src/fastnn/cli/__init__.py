"""The command `fastnn`: train on a file, predict, evaluate, describe, measure, convert, and port programs."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from .. import __version__, get_num_threads, threads
from .options import INTERRUPTED, Parser, UsageError

COMMANDS = "train", "predict", "evaluate", "info", "bench", "convert", "port"  # a module each
HELP = """\
examples:
  fastnn train digits --out digits.safetensors
  fastnn predict digits.safetensors digits --out labels.csv
  fastnn evaluate digits.safetensors digits

`fastnn COMMAND --help` explains the options of a command and has examples. Status: 0 fine, 1 bad data or a failure,
2 bad options, 130 Ctrl-C.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for bad data, 2 for bad options, 130 for Ctrl-C."""
    words = [word for word in (sys.argv[1:] if argv is None else argv) if not word.startswith("-")]
    parser = _parser(words[:1] if words and words[0] in COMMANDS else COMMANDS)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    where = f"fastnn {arguments.command}"
    before = signal.getsignal(signal.SIGINT)
    try:
        run: Callable[[argparse.Namespace], int | None] = arguments.run
        # A training that diverges is reported as an error of its own, not by NumPy's warnings as well.
        with threads(getattr(arguments, "threads", None) or get_num_threads()), np.errstate(all="ignore"):
            status = run(arguments)
        if status == INTERRUPTED:
            _ignore_ctrl_c(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _ignore_ctrl_c(argv)
        print(f"{where}: interrupted", file=sys.stderr)
        if argv is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)  # a program of the user's own goes on
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough
        _drop_output()
        return 1
    except UsageError as error:
        print(f"{where}: error: {error}", file=sys.stderr)
        return 2
    except (
        ArithmeticError,
        ImportError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        print(f"{where}: error: {_one_line(error)}", file=sys.stderr)
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            _drop_output()
        return 1
    return status or 0


def _drop_output() -> None:
    """Let what cannot be written go, which Python would try to write once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ignore_ctrl_c(argv: Sequence[str] | None) -> None:
    """Once the process is about to end, another one could but make it end with a traceback or without its status."""
    if argv is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "expected more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of these commands, whose modules alone are imported: those of the others are not all small."""
    parser = Parser(
        prog="fastnn",
        description="Train a neural network on a file, predict with it, and measure it.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar=" | ".join(COMMANDS))
    for name in names:
        import_module(f".{name}", __package__).add_parser(subparsers)
    return parser

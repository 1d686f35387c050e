"""`fastnn port`: a program written against a course framework, made to import it from fastnn."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ..compat.migration.evidence import DIALECTS
from ..compat.migration.porting import port
from ..compat.migration.verification import verify
from .options import command, json_option
from .report import Report

HELP = """\
FILE is a program (.py) or a notebook (.ipynb) written against a "write your own PyTorch" framework: one that imports
the framework, or the framework itself. It is read, and executed for --verify alone. Names that fastnn does not have
stay imported from your own file.

examples:
  fastnn port train.py
  fastnn port homework.ipynb --write
  fastnn port train.py --dialect torch7_2017
  fastnn port train.py --verify --write
"""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    summary = "make a program that was written against a course framework run on fastnn"
    parser = command(subparsers, "port", run, summary, HELP)
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
    json_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print what fastnn serves of the framework and the change of the import; make the change if it was asked for."""
    report = Report(arguments.json)
    verification = verify(arguments.file, arguments.dialect) if arguments.verify else None
    different = verification.different if verification is not None else ()
    ported = port(arguments.file, arguments.write and not different, arguments.dialect)
    report.say(str(ported))
    if verification is not None:
        report.say(f"\n{verification}")
    found = {name: value for name, value in asdict(ported).items() if name != "text"}
    verified = None if verification is None else asdict(verification)
    report.result({"command": "port", "file": arguments.file, **found, "verification": verified})
    if different:
        names = ", ".join(dict.fromkeys(line.partition(":")[0] for line in different))
        got = f"other numbers in {names} than in fastnn.compat.{ported.report.dialect}"
        raise ValueError(f"{arguments.file}: {got}; nothing was written")
    if ported.diff:
        written = f"\nwritten: {arguments.file}"
        report.say(written if ported.written else "\nnothing was written (--write makes the change)")

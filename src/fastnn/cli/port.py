"""`fastnn port`: a program written against a course framework, made to import it from fastnn."""

from __future__ import annotations

import argparse

from ..compat.porting import port


def run(arguments: argparse.Namespace) -> None:
    """Print what fastnn serves of the framework and the change of the import; make the change if it was asked for."""
    ported = port(arguments.file, arguments.write, arguments.dialect)
    print(ported)
    if ported.diff:
        print(f"\nwritten: {arguments.file}" if ported.written else "\nnothing was written (--write makes the change)")

"""`fastnn port`: a program written against a course framework, made to import it from fastnn."""

from __future__ import annotations

import argparse

from ..compat.migration.porting import port
from ..compat.migration.verification import verify


def run(arguments: argparse.Namespace) -> None:
    """Print what fastnn serves of the framework and the change of the import; make the change if it was asked for."""
    verification = verify(arguments.file, arguments.dialect) if arguments.verify else None
    different = verification.different if verification is not None else ()
    ported = port(arguments.file, arguments.write and not different, arguments.dialect)
    print(ported)
    if verification is not None:
        print(f"\n{verification}")
    if different:
        names = ", ".join(dict.fromkeys(line.partition(":")[0] for line in different))
        got = f"other numbers in {names} than in fastnn.compat.{ported.report.dialect}"
        raise ValueError(f"{arguments.file}: {got}; nothing was written")
    if ported.diff:
        print(f"\nwritten: {arguments.file}" if ported.written else "\nnothing was written (--write makes the change)")

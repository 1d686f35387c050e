"""What the commands print: text, or one JSON object on the standard output with all else on the standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


class Report:
    """Where a command's lines go."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str) -> None:
        """A line of the report, or of the progress beside a JSON object."""
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def note(self, text: str) -> None:
        """A line that explains what was done with the data."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    def result(self, values: dict[str, Any]) -> None:
        """The JSON object, if that is asked for."""
        if self.as_json:
            print(json.dumps(plain(values), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count(number: int, singular: str, plural: str | None = None) -> str:
    """ "1 row", "2 rows": a number with its noun; thousands are set apart."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(names: Sequence[object], most: int = 10) -> str:
    """Names with commas between them, the first ones if there are many."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells in columns: the first `left` of them flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)

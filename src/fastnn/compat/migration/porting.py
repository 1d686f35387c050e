"""The one-line change that makes a program run on fastnn: its framework's import becomes that of a dialect."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

from .inspection import Inspection, Report
from .porter import Porter
from .sources import LINE

LONG = 1000  # characters of a line that nobody reads, such as a notebook in one line


@dataclass(frozen=True)
class Port:
    """What `port` changes; `print(port)` shows the report and the difference."""

    report: Report
    text: str
    """The new text of the file."""
    diff: str
    """A unified diff, empty where nothing is to change; of the cells alone if a notebook's JSON has no short lines."""
    notes: tuple[str, ...]
    """Where the imports stand, and why."""
    written: bool

    def __str__(self) -> str:
        notes = [f"  {'note:':<13} {note}" for note in self.notes]
        return "\n".join([str(self.report), *notes, *(["", self.diff.rstrip("\n")] if self.diff else [])])


def port(path: str | os.PathLike[str], write: bool = False, dialect: str | None = None) -> Port:
    """Change the imports of a framework into those of `fastnn.compat`; every other character stays.

    Names that fastnn does not serve are still imported from the user's file, in a second line. In a file that defines
    the framework itself an import is put below its classes, so that the names stand for fastnn's from there on.

    Parameters
    ----------
    path : path
        A .py file or a notebook (.ipynb).
    write : bool, optional
        Write the new text into the file, all of it or nothing.
    dialect : str, optional
        As in `check`.

    Returns
    -------
    Port

    Raises
    ------
    ValueError
        As in `check`; where no framework was recognised, and where its import cannot be changed.
    OSError
        The file cannot be read or written.
    """
    path = os.fspath(path)
    found = Inspection(path, dialect)
    if found.dialect is None:
        raise ValueError(f"{path}: expected a framework or a program that uses one, got {found.not_told}")
    porter = Porter(found)
    if found.ported is not None:
        porter.notes.append(f"nothing to change: fastnn.compat.{found.ported} is imported already")
    text = found.program.text if found.ported is not None else found.program.edited(porter.edits())
    changes = text != found.program.text
    if not changes and found.ported is None:
        why = "; ".join([*found.kept_elsewhere(), *porter.notes])
        reason = f"got none that fastnn serves{': ' * bool(why)}{why}"
        raise ValueError(f"{path}: expected an import of a framework or its classes, {reason}")
    if write and changes:
        found.program.save(text)
    diff = _diff(path, found.program.text, text)
    if max(map(len, diff.split("\n"))) > LONG:
        diff = _diff(path, found.program.code(found.program.text), found.program.code(text))
    return Port(found.report(), text, diff, tuple(porter.notes), write and changes)


def _diff(path: str, old: str, new: str) -> str:
    """A unified diff; a last line without a newline is marked as `patch` wants it."""
    lines = difflib.unified_diff(LINE.findall(old), LINE.findall(new), path, path)
    return "".join(line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n" for line in lines)

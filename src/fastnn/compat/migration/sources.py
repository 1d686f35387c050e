"""A user's program or notebook as Python text and syntax trees that know their places in the file; nothing is executed.

The text of a file is kept as it is: an edit replaces a piece of one cell and no other character of the file. A program
is one cell. A notebook is JSON (nbformat 3 and 4): each character of a cell has its place in the JSON text.
"""

from __future__ import annotations

import ast
import codecs
import contextlib
import io
import json
import json.decoder
import json.scanner
import os
import re
import secrets
import shutil
import tokenize
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # Python's own lines: str.splitlines knows more ends than these
MAGIC = re.compile(r"\s*(?:[%!?]|[\w.,\[\] ]+=\s*[%!]|.*\?\s*$)")
PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")  # cell magics whose cells are Python
RUN = re.compile(r"\s*%run\s+(?:-\w\s+)*(['\"]?)([^'\"\s]+)\1")
ESCAPE = re.compile(r"\\u[dD][89abAB]\w{2}\\u[dD][c-fC-F]\w{2}|\\u\w{4}|\\.|[^\\]", re.DOTALL)  # one decoded character


class Edit(NamedTuple):
    """`text` in place of the characters from `start` to `end` of a cell."""

    cell: Cell
    start: int
    end: int
    text: str


class Cell:
    """The Python text of a program or of one code cell, its syntax tree, and its places in the file."""

    def __init__(self, place: str, text: str, pieces: Sequence[_Located] = (), newline: str = "\n", json: bool = True):
        self.place = place
        """"modules.py" or "net.ipynb, code cell 3"."""
        self.text = text
        self.tree = ast.Module([], [])
        self.magics: dict[int, str] = {}
        """Lines that are IPython's, by number from 1."""
        self._pieces, self._newline, self.is_json = pieces, newline, json

    @cached_property
    def starts(self) -> list[int]:
        """Where each line starts, and the end of the text."""
        return [*(line.start() for line in LINE.finditer(self.text)), len(self.text)]

    def at(self, line: int, column: int) -> int:
        """The place in the text of a line, from 1, and a column in bytes of UTF-8, as syntax trees count them."""
        start = self.starts[line - 1]
        return start + len(self.text[start : self.starts[line]].encode("utf-8", "replace")[:column].decode("utf-8"))

    def line_end(self, line: int) -> int:
        """The end of a line, from 1, before its newline."""
        start = self.starts[line - 1]
        return start + len(self.text[start : self.starts[line]].rstrip("\r\n"))

    @cached_property
    def places(self) -> Sequence[int]:
        """The place in the file's text of each character, and of the end."""
        if not self.is_json:
            return range(len(self.text) + 1)
        places = [piece.start + match.start() for piece in self._pieces for match in ESCAPE.finditer(piece.raw)]
        return [*places, self._pieces[-1].end] if self._pieces else [0]

    def written(self, text: str) -> str:
        """`text` as the file spells it: JSON in a notebook, the file's newlines in a program."""
        lines = text.split("\n")
        return self._newline.join(
            json.dumps(line, ensure_ascii=False)[1:-1] if self.is_json else line for line in lines
        )

    def read(self) -> None:
        """Make the tree; IPython's lines count as `pass`. Raises ValueError where the rest is no Python."""
        lines = LINE.findall(self.text)
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if lines and self.is_json and lines[first].startswith("%%"):
            self.magics[first + 1] = lines[first]
            if lines[first].split()[0] not in PYTHON_CELLS:
                return
            lines[first] = _passed(lines[first])
        while True:
            try:
                self.tree = _parse("".join(lines))
            except SyntaxError as error:
                number = min(max(error.lineno or 1, 1), len(lines))
                if not self.is_json or not lines or number in self.magics or not MAGIC.match(lines[number - 1]):
                    raise ValueError(_unreadable(self.place, LINE.findall(self.text), number)) from None
                self._pass_over(lines, number)
            except (RecursionError, ValueError):
                raise ValueError(f"{self.place}: expected Python, got what cannot be read") from None
            else:
                return

    def _pass_over(self, lines: list[str], number: int) -> None:
        line = lines[number - 1]
        self.magics[number] = line
        lines[number - 1] = _passed(line)
        while line.rstrip("\r\n").endswith("\\") and number < len(lines):  # it goes on in the next line
            line = lines[number]
            lines[number] = "\n"
            number += 1
            self.magics[number] = line


class Source:
    """A file of Python: `path`, `text`, `cells`, and what could not be read of a notebook, in `warnings`."""

    def __init__(self, path: str) -> None:
        self.path = path
        name = os.path.basename(path)
        kind = os.path.splitext(path)[1].lower()
        if kind not in (".py", ".ipynb"):
            os.stat(path)
            got = "a folder" if os.path.isdir(path) else f"a {kind} file" if kind else "another file"
            raise ValueError(f"{path}: expected a .py or .ipynb file, got {got}")
        with open(path, "rb") as file:
            raw = file.read()
        self.warnings: list[str] = []
        self._encoding = _encoding(name, raw) if kind == ".py" else "utf-8"
        if raw.startswith(codecs.BOM_UTF8):
            self._encoding = "utf-8-sig"
        try:
            self.text = raw.decode(self._encoding)
        except UnicodeDecodeError:
            raise ValueError(f"{name}: expected text in {self._encoding}, got other bytes") from None
        if kind == ".py":
            newline = re.search(r"\r\n|\r|\n", self.text)
            self.cells = [Cell(name, self.text, newline=newline.group() if newline else "\n", json=False)]
            self.cells[0].read()
        else:
            self.cells = _cells(name, self.text)
            self._read_cells()

    def _read_cells(self) -> None:
        for cell in self.cells:
            try:
                cell.read()
            except ValueError as error:
                self.warnings.append(f"{error}: this cell is passed over")
        if self.cells and len(self.warnings) == len(self.cells):
            raise ValueError(self.warnings[0].removesuffix(": this cell is passed over"))

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text of the file after edits that do not overlap."""
        text = self.text
        for edit in sorted(edits, key=lambda edit: -edit.cell.places[edit.start]):
            start, end = edit.cell.places[edit.start], edit.cell.places[edit.end]
            text = text[:start] + edit.cell.written(edit.text) + text[end:]
        return text

    def code(self, text: str) -> str:
        """The Python of a text of this file: all of it, or its cells one below the other."""
        is_json = any(cell.is_json for cell in self.cells)
        return "\n".join(cell.text for cell in _cells(self.path, text)) if is_json else text

    def save(self, text: str) -> None:
        """Write another text into the file, all of it or nothing; the permissions stay."""
        target = os.path.realpath(self.path)
        raw = text.encode(self._encoding)
        beside = f"{target}.{secrets.token_hex(4)}.part"
        try:
            with open(beside, "xb") as file:
                file.write(raw)
            shutil.copymode(target, beside)
            os.replace(beside, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.remove(beside)
            if isinstance(error, OSError):
                raise type(error)(error.errno, error.strerror, self.path) from None
            raise


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text's invalid escapes are not ours
        tree = compile(text, "<text>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def _passed(line: str) -> str:
    body = line.rstrip("\r\n")
    return body[: len(body) - len(body.lstrip())] + "pass" + line[len(body) :]


def _unreadable(place: str, lines: list[str], number: int) -> str:
    line = " ".join(lines[number - 1].split()) if lines else ""
    got = repr(line if len(line) <= 60 else line[:57] + "...") if line else "the end of the text"
    return f"{place}, line {number}: expected Python, got {got}"


def _encoding(name: str, raw: bytes) -> str:
    """As Python finds it: a byte order mark, a coding line, or UTF-8."""
    try:
        return tokenize.detect_encoding(io.BytesIO(raw).readline)[0]
    except SyntaxError as error:
        raise ValueError(f"{name}: expected text in an encoding of Python, got {error}") from None


class _Located(str):
    """A string of a JSON text with the place of what stands between its quotes."""

    __slots__ = ("end", "raw", "space", "start")
    start: int
    end: int
    raw: str
    space: str


class _Decoder(json.JSONDecoder):
    """Strings know their places; the scanner in C would not call `parse_string`."""

    def __init__(self) -> None:
        super().__init__()
        self.parse_string = _parse_string
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def _parse_string(text: str, start: int, strict: bool) -> tuple[_Located, int]:
    value, end = json.decoder.scanstring(text, start, strict)  # type: ignore[attr-defined]
    located = _Located(value)
    located.start, located.end, located.raw = start, end - 1, text[start : end - 1]
    space = start - 1
    while text[space - 1] in " \t\r\n":
        space -= 1
    located.space = text[space : start - 1]
    return located, end


def _cells(name: str, text: str) -> list[Cell]:
    """The code cells of a notebook."""
    try:
        book: Any = _Decoder().decode(text)
    except (RecursionError, ValueError):
        raise ValueError(f"{name}: expected a notebook, got no JSON") from None
    try:
        language = book.get("metadata", {}).get("language_info", {}).get("name", "python")
        sheets = book.get("worksheets", [book])  # of nbformat 3
        found = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        sources = [cell["input" if "input" in cell else "source"] for cell in found]
        pieces: list[list[Any]] = [[source] if isinstance(source, str) else list(source) for source in sources]
        texts = ["".join(piece) for piece in pieces]
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"{name}: expected a notebook, got other JSON") from None
    if not str(language).lower().startswith(("python", "ipython")):
        raise ValueError(f"{name}: expected a notebook of Python, got one of {language}")
    cells = []
    for number, (whole, piece, source) in enumerate(zip(texts, pieces, sources, strict=True), 1):
        # A cell is one string, or a list of a string a line: a new line is then a new string of the list.
        newline = "\\n" if isinstance(source, str) or not piece else f'\\n",{piece[-1].space}"'
        cells.append(Cell(f"{name}, code cell {number}", str(whole), piece, newline))
    return cells

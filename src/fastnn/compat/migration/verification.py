"""`verify`: do the classes that `check` would replace compute what fastnn computes? The user's file is executed.

It runs in a process of its own, which prints one line of JSON a name. The framework's file is imported from its folder;
of a notebook, and of a program that has the classes in it and uses them, only imports, definitions and constants run.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .comparison import compare
from .inspection import Inspection, check
from .sources import Source

LIMIT = 60  # seconds
CHILD = """\
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["path"]
from fastnn.compat.migration.verification import answer
answer(job)
"""
NOT_FOUND: dict[str, list[str]] = {"different": [], "notes": [], "skipped": ["defined in no file that was found"]}
READERS = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap"}  # of numpy: not needed for classes


@dataclass(frozen=True)
class Verification:
    """What `verify` found; `print(verification)` shows it in a few lines."""

    path: str
    dialect: str
    same: tuple[str, ...]
    """Names of classes and functions that compute the same."""
    different: tuple[str, ...]
    """Such as "SoftMax: backward differs (largest difference 0.31)"."""
    notes: tuple[str, ...]
    """What is another way to the same, such as a mask of Dropout that is drawn in another manner."""
    skipped: tuple[str, ...]
    """What was not compared, or not to its end, with the reason."""

    def __str__(self) -> str:
        parts = [
            ("same", (", ".join(self.same),) if self.same else ()),
            ("different", self.different),
            ("note", self.notes),
            ("not compared", self.skipped),
        ]
        named = [(f"{name}:" * (place == 0), line) for name, lines in parts for place, line in enumerate(lines)]
        head = f"{self.path}: compared with fastnn.compat.{self.dialect}"
        return "\n".join([head, *(f"  {name:<13} {line}" for name, line in named)])


def verify(path_or_module: str | os.PathLike[str] | ModuleType, dialect: str | None = None) -> Verification:
    """Compare the numbers of the classes and optimisers that `check` calls served with those of fastnn.

    Unlike `check`, this runs the file that defines them: a process of its own imports it (of a notebook, and of a
    program with the classes in it, only imports, definitions and constants run), makes each object on both sides from
    the same seed, and puts the same small float64 arrays through it: forward, backward, gradients of the parameters,
    both modes of BatchNormalization and Dropout, losses, three steps of an optimiser, the lists of a Sequential. Values
    that differ by more than 1e-9, relative to the largest of an array, are different.

    Parameters
    ----------
    path_or_module : path or module
        As in `check`.
    dialect : str, optional
        As in `check`.

    Returns
    -------
    Verification

    Raises
    ------
    ValueError
        As in `check`; where no framework was recognised; where the user's file raises an error, or does not end within
        60 seconds.
    TypeError, OSError
        As in `check`.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.compat.migration.verification import verify
    >>> framework = '''import numpy as np
    ... class Module:
    ...     def forward(self, input):
    ...         return self.updateOutput(input)
    ...     def backward(self, input, gradOutput):
    ...         return self.updateGradInput(input, gradOutput)
    ... class ReLU(Module):
    ...     def updateOutput(self, input):
    ...         return np.maximum(input, 0)
    ...     def updateGradInput(self, input, gradOutput):
    ...         return gradOutput
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "modules.py")
    ...     _ = open(path, "w").write(framework)
    ...     verification = verify(path, "torch7")
    >>> verification.different
    ('ReLU: backward differs (largest difference 2.4)',)
    """
    report = check(path_or_module, dialect)
    found = Inspection(report.path, dialect)
    if found.dialect is None:
        raise ValueError(f"{report.path}: expected a framework or a program that uses one, got {found.not_told}")
    places = _places(found, report.served)
    answers = _answers(found, places)
    outcomes = {name: answers.get(name, NOT_FOUND) for name in report.served}
    same = tuple(name for name, outcome in outcomes.items() if not outcome["different"] and not outcome["skipped"])
    lines = (_lines(outcomes, part) for part in ("different", "notes", "skipped"))
    return Verification(report.path, found.dialect, same, *lines)


def _lines(outcomes: dict[str, dict[str, list[str]]], part: str) -> tuple[str, ...]:
    """The lines of one kind, each with its names."""
    names: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        for number, line in enumerate(outcome[part]):
            key = line if part == "skipped" else f"{name} {number}"  # a reason is given once
            names.setdefault(key, [line]).append(name)
    return tuple(f"{', '.join(found)}: {line}" for line, *found in names.values())


def _places(found: Inspection, served: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Of each name, the file that defines it and its name there; for an alias, a file where it may stand."""
    places: dict[str, tuple[str, str]] = {}
    for path, source in found.project.sources.items():
        definitions = found.project.definitions(source)
        for name in served:
            node = found.nodes.get(name)
            if node is not None and definitions.get(node.name) is node:
                places[name] = (path, node.name)
    for path in dict.fromkeys(path for path, _ in places.values()):
        provided = found.project.provided(found.project.sources[path])
        places = {**{name: (path, name) for name in served if name in provided}, **places}
    return {name: places[name] for name in served if name in places}


def _answers(found: Inspection, places: dict[str, tuple[str, str]]) -> dict[str, dict[str, list[str]]]:
    """What the process finds for each name."""
    if not places:
        return {}
    program = os.path.realpath(found.path)
    paths = [os.path.abspath(path) for path in sys.path]
    job = {"path": paths, "program": program, "dialect": found.dialect, "places": places}
    lines, end = _run(job, os.path.dirname(program))
    loaded = next((line["loaded"] for line in lines if "loaded" in line), end)
    if loaded:
        raise ValueError(f"{found.path}: expected a framework that can be run, got {loaded}")
    answers = {line.pop("name"): line for line in lines if "name" in line}
    missing = next((name for name in places if name not in answers), None)
    if missing is not None:
        raise ValueError(f"{found.path}: expected a {missing} that can be run, got {end}")
    return answers


def _run(job: dict[str, Any], folder: str) -> tuple[list[dict[str, Any]], str]:
    """The lines that a process printed, and how it ended."""
    with tempfile.TemporaryFile() as printed:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", CHILD],
                input=json.dumps(job).encode(),
                stdout=printed,
                stderr=subprocess.DEVNULL,
                timeout=LIMIT,
                cwd=folder,
                env={**os.environ, "MPLBACKEND": "Agg"},  # plots open no windows
            )
            end = f"an end of Python with status {done.returncode}"
        except subprocess.TimeoutExpired:
            end = f"no end within {LIMIT} seconds"
        printed.seek(0)
        return [json.loads(line) for line in printed if line.endswith(b"\n")], end


# ---------------------------------------------------------------------------------------------------------------
# in the other process
# ---------------------------------------------------------------------------------------------------------------


def answer(job: dict[str, Any]) -> None:
    """Run the files of a job and print what was found, a line of JSON a name. Ends the process."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the user's code prints
        for line in _found(job):
            print(json.dumps(line), file=out, flush=True)
    os._exit(0)  # whatever threads the user's code has started


def _found(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {}
    for path, _ in job["places"].values():
        try:
            files[path] = files.get(path) or _loaded(path, job["program"])
        except BaseException as error:
            yield {"loaded": _described(error, os.path.dirname(job["program"]))}
            return
    yield {"loaded": ""}
    dialect = importlib.import_module(f"fastnn.compat.{job['dialect']}")
    for name, (path, own_name) in job["places"].items():
        yield {"name": name, **_of_name(name, files[path].get(own_name), dialect)}


def _of_name(name: str, mine: Any, dialect: ModuleType) -> dict[str, Any]:
    if mine is None or str(getattr(mine, "__module__", "")).startswith("fastnn."):
        why = "its definition cannot be run alone" if mine is None else "fastnn's own already"
        return {"different": [], "notes": [], "skipped": [why]}
    outcome = compare(name, mine, getattr(dialect, name), dialect.__name__.rpartition(".")[2])
    skipped = [outcome.skipped] if outcome.skipped is not None else []
    return {"different": outcome.different, "notes": outcome.notes, "skipped": skipped}


def _described(error: BaseException, folder: str) -> str:
    """An error in one line, with the last line of the user's that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((each for each in reversed(frames) if os.path.realpath(each.filename).startswith(folder)), None)
    where = f" ({os.path.basename(place.filename)}, line {place.lineno})" if place is not None else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ") + where


def _loaded(path: str, program: str) -> dict[str, Any]:
    """The names of a file that was run."""
    for folder in (os.path.dirname(program), _module_of(path)[0]):
        if folder not in sys.path[:2]:
            sys.path.insert(0, folder)
    source = Source(path)
    if path.endswith(".ipynb") or (path == program and _does_something(source)):
        return _definitions_of(source)
    return vars(_imported(path))


def _module_of(path: str) -> tuple[str, str]:
    """The folder from which a file is imported, and its name there, such as nn.layers."""
    folder, stem = os.path.split(os.path.splitext(path)[0])
    names = [] if stem == "__init__" else [stem]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        names.insert(0, name)
    return folder, ".".join(names)


def _imported(path: str) -> ModuleType:
    name = _module_of(path)[1]
    known = sys.modules.get(name)
    if known is None or os.path.realpath(getattr(known, "__file__", None) or "") == path:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_user", path)  # such as a copy.py
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _does_something(source: Source) -> bool:
    """Whether a program has more at its top than imports, definitions and values."""
    actions = (ast.For, ast.While, ast.With, ast.Expr)
    nodes = [node for cell in source.cells for node in cell.tree.body]
    return any(
        isinstance(each, actions) and not isinstance(getattr(each, "value", None), ast.Constant) for each in nodes
    )


def _definitions_of(source: Source) -> dict[str, Any]:
    """The names of a file of which imports, definitions and constants alone are run, each where that is possible."""
    names: dict[str, Any] = {"__name__": "verified", "__file__": source.path}
    for cell in source.cells:
        for node in filter(_is_definition, cell.tree.body):
            with contextlib.suppress(Exception):
                exec(compile(ast.Module([node], []), source.path, "exec"), names)
    return names


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)):
        return True
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return all(_is_constant(call) for call in ast.walk(node) if isinstance(call, ast.Call))
    if isinstance(node, ast.Try):
        return all(map(_is_definition, [*node.body, *(each for part in node.handlers for each in part.body)]))
    return isinstance(node, ast.If) and all(map(_is_definition, [*node.body, *node.orelse]))


def _is_constant(call: ast.Call) -> bool:
    """Such as np.finfo(float)."""
    function = ast.unparse(call.func)
    return function.startswith(("np.", "numpy.", "math.")) and function.rpartition(".")[2] not in READERS

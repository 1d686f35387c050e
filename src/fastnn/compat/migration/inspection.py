"""What fastnn does for a program written against a framework: its dialect, what is served, what stays Python."""

from __future__ import annotations

import ast
import builtins
import importlib
import os
from dataclasses import dataclass
from types import ModuleType

from .cautions import of_arguments, of_container, of_gradients, of_kept_files, of_linear, of_state
from .evidence import DIALECTS, Facts, Verdict, all_exports, exports, judge, methods, ported_dialect
from .project import Definition, Import, Project, bound_names, is_package, top_nodes, used_names
from .serving import NO_CALLS, calls_of, defaults_lost, difference, lineage
from .sources import Source

BUILTINS = {*dir(builtins), "get_ipython", "display", "In", "Out"}
HOOKS = {"forward", "updateOutput", "update_output", "backward", "updateGradInput", "update_grad_input"}


@dataclass(frozen=True)
class Report:
    """What `check` found; `print(report)` shows it in a few lines."""

    path: str
    dialect: str | None
    """Such as "torch7", or None where nothing tells."""
    evidence: tuple[str, ...]
    """Why this dialect."""
    served: tuple[str, ...]
    """Names of classes and functions that fastnn has in the same way."""
    own: tuple[str, ...]
    """The user's own, which stay Python, each with the reason: "MyLayer: not in fastnn.compat.torch7"."""
    missing: tuple[str, ...]
    """Names that are used, that no file defines and that fastnn does not have."""
    import_line: str | None
    """The import that serves the served names."""
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            ("why", self.evidence),
            ("served", (", ".join(self.served),) if self.served else ()),
            ("stays Python", self.own),
            ("missing", (", ".join(self.missing),) if self.missing else ()),
            ("import", (self.import_line,) if self.import_line else ()),
            ("warning", self.warnings),
        ]
        head = f"{self.path}: {f'fastnn.compat.{self.dialect}' if self.dialect else 'no dialect of fastnn.compat'}"
        named = [(f"{name}:" * (place == 0), line) for name, lines in parts for place, line in enumerate(lines)]
        return "\n".join([head, *(f"  {name:<13} {line}" for name, line in named)])


def check(path_or_module: str | os.PathLike[str] | ModuleType, dialect: str | None = None) -> Report:
    """Tell the dialect of a framework or of a program that uses one; nothing of it is executed.

    Parameters
    ----------
    path_or_module : path or module
        A .py file, a notebook (.ipynb), or a module, whose source file is read. Files beside it that it imports
        are read too.
    dialect : str, optional
        "torch7", "torch7_2017", "snake", "plain" or "seminar", where the text itself does not tell.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        No Python, no notebook, another kind of file, an unknown dialect.
    TypeError
        No path and no module, or a module without source.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.compat.migration.inspection import check
    >>> program = '''from modules import *
    ... net = Sequential()
    ... net.add(Linear(784, 10))
    ... net.zeroGradParameters()
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "train.py")
    ...     _ = open(path, "w").write(program)
    ...     report = check(path)
    >>> report.dialect, report.served, report.import_line
    ('torch7', ('Linear', 'Sequential'), 'from fastnn.compat.torch7 import *')
    """
    return Inspection(_path_of(path_or_module), dialect).report()


def _path_of(value: object) -> str:
    if isinstance(value, ModuleType):
        path = getattr(value, "__file__", None)
        if path is None or not path.endswith((".py", ".ipynb")):
            raise TypeError(f"check: expected a module with a source file, got {value.__name__} without one")
        return str(path)
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"check: expected a path or a module, got {type(value).__name__}")
    path = os.fspath(value)
    return path if isinstance(path, str) else os.fsdecode(path)


class Inspection:
    """A project, its dialect, and for each name of its framework whether fastnn serves it."""

    def __init__(self, path: str, dialect: str | None = None) -> None:
        if dialect is not None and dialect not in DIALECTS:
            raise ValueError(f"check: expected a dialect of {', '.join(DIALECTS)}, got {dialect!r}")
        self.path = path
        self.program = Source(path)
        self.project = Project(self.program)
        known = all_exports()
        self.imports: list[Import] = self.project.framework_imports()
        self.defined = self.project.definitions(self.program)
        """Classes and functions of the file itself."""
        self.brought: dict[str, Definition | None] = {}
        """Names that the framework imports bring from files that were found."""
        for found in self.imports:
            self.brought.update(self.project.brought(found))
        has_framework = any(known & self.project.definitions(source).keys() for source in self.project.sources.values())
        self.facts = Facts(self._trees(known), self.project.foreign(self.program))
        self.ported = ported_dialect(cell.tree for cell in self.program.cells)
        self.verdict = self._judged(dialect, bool(self.imports) or has_framework)
        self.dialect = self.verdict.dialect
        self.nodes: dict[str, Definition | None] = {**self.brought, **self.defined}
        self.reasons: dict[str, str] = {}
        """Why a name that is defined is not served, for those that are the user's own."""
        self.lost_defaults: dict[str, list[str]] = {}
        """Of names that are served, the parameters whose default the dialect lacks."""
        if self.dialect is not None:
            self._compare()

    def _trees(self, known: frozenset[str]) -> list[ast.Module]:
        """The trees of the program and of the files that define something of a framework."""
        sources = [
            source
            for source in self.project.sources.values()
            if source is self.program or known & self.project.definitions(source).keys()
        ]
        return [cell.tree for source in sources for cell in source.cells]

    def _judged(self, dialect: str | None, has_framework: bool) -> Verdict:
        if dialect is None and self.ported is not None:
            return Verdict(self.ported, (f"it imports fastnn.compat.{self.ported} already",), ())
        told = judge(self.facts, dialect)
        if dialect is not None:
            return told
        return told if has_framework or told.dialect is None else Verdict(None, (), ())

    def _compare(self) -> None:
        assert self.dialect is not None
        module = importlib.import_module(f"fastnn.compat.{self.dialect}")
        theirs = exports(self.dialect)
        classes = {name: node for name, node in self.nodes.items() if isinstance(node, ast.ClassDef)}
        calls = calls_of(cell.tree for source in self.project.sources.values() for cell in source.cells)
        borrowed = {name for source in self.project.sources.values() for name in self.project.foreign(source)}
        for name, node in self.nodes.items():
            if node is None and name in theirs & borrowed:
                self.reasons[name] = "from another library"
            if node is None:
                continue
            if name not in theirs:
                self.reasons[name] = f"not in fastnn.compat.{self.dialect}"
            elif reason := difference(node, getattr(module, name), classes, calls.get(name, NO_CALLS), self.dialect):
                self.reasons[name] = reason
            else:
                self.lost_defaults[name] = defaults_lost(node, getattr(module, name), classes)

    @property
    def not_told(self) -> str:
        """Why there is no dialect."""
        return "; ".join(self.verdict.evidence) or "nothing that tells a dialect"

    def is_served(self, name: str) -> bool:
        """Whether the dialect has a name, and in the same way as the user's file where that defines it."""
        return self.dialect is not None and name in exports(self.dialect) and name not in self.reasons

    def needed(self) -> set[str]:
        """The names of the framework that matter here: those that the file defines or uses."""
        used = used_names(self.program) | set(self.defined)
        if is_package(self.program):  # others take from it what it does not use
            used |= set(self.brought)
        for found in self.imports:
            if found.alias is not None:
                used |= self.project.taken(found)
            elif isinstance(found.node, ast.ImportFrom):
                used |= {alias.name for alias in found.node.names}
        return used

    def unbound(self) -> set[str]:
        """The names that the program uses and that nothing in it binds."""
        nodes = [node for cell in self.program.cells for node in ast.walk(cell.tree)]
        read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        return {name for name in read - bound_names(nodes) - BUILTINS if not name.startswith("_")}

    def report(self) -> Report:
        """What was found."""
        if self.dialect is None:
            return Report(self.path, None, (self.not_told,), (), (), (), None, tuple(self.project.warnings))
        needed = self.needed()
        bound = bound_names(top_nodes(self.program)) - self.defined.keys() - self._imported_by_name()
        served = sorted(
            name
            for name in needed - bound
            if self.is_served(name) and (self.nodes.get(name) or self.imports or self.ported)
        )
        own = [f"{name}: {why}" for name, why in sorted(self.reasons.items()) if name in needed and self._matters(name)]
        return Report(
            self.path,
            self.dialect,
            self.verdict.evidence,
            tuple(served),
            tuple(own),
            tuple(sorted(self._missing())),
            f"from fastnn.compat.{self.dialect} import *",
            tuple(self.warnings()),
        )

    def _imported_by_name(self) -> set[str]:
        statements = [found.node for found in self.imports if isinstance(found.node, ast.ImportFrom)]
        return {alias.asname or alias.name for node in statements for alias in node.names}

    def _matters(self, name: str) -> bool:
        """Whether a definition is a layer, a criterion, an optimiser or another version of a name of fastnn."""
        node = self.nodes[name]
        if isinstance(node, ast.ClassDef):
            family = lineage(node, self.nodes)
            bases = {ast.unparse(base).rpartition(".")[2] for each in family for base in each.bases}
            return (
                name in all_exports()
                or any(HOOKS & methods(each).keys() for each in family)
                or bool(bases & all_exports())
            )
        return node is not None and (
            name in all_exports() or [a.arg for a in node.args.args][-2:] == ["config", "state"]
        )

    def _missing(self) -> set[str]:
        """Names that an import of a framework has to bring, and that neither its file nor fastnn defines."""
        assert self.dialect is not None
        theirs = exports(self.dialect) | {"np"}
        unknown = [found for found in self.imports if found.path is None]
        wanted: set[str] = set()
        for found in unknown:
            if found.is_star:
                wanted |= {name for name in self.unbound() if name[:1].isupper()}
            elif found.alias is not None:
                wanted |= self.project.taken(found)
            elif isinstance(found.node, ast.ImportFrom):
                wanted |= {alias.name for alias in found.node.names}
        return wanted - theirs - self.brought.keys()

    def warnings(self) -> list[str]:
        """Where served names give other numbers than the user's or need another call, and what was not read."""
        assert self.dialect is not None
        dialect = self.dialect
        lines = [f"{text}: not as in {dialect}" for text in self.verdict.against if not text.startswith("Linear: W")]
        linear, container = self.nodes.get("Linear"), self.nodes.get("Sequential")
        if isinstance(linear, ast.ClassDef) and self.is_served("Linear"):
            lines += of_linear(linear, dialect)
        convolution = self.nodes.get("Conv2d")
        if isinstance(convolution, ast.ClassDef) and self.is_served("Conv2d"):
            lines += of_gradients(convolution, dialect)
        if isinstance(container, ast.ClassDef) and self.is_served("Sequential"):
            lines += of_container(container, dialect)
        lines += of_arguments({name: self.lost_defaults.get(name, []) for name in sorted(self.needed())}, dialect)
        lines += of_state(self.project, self.is_served, dialect)
        for base in ("Module", "Criterion"):
            if "a method of its own" in self.reasons.get(base, ""):
                lines.append(f"{base} {self.reasons[base]}, which served classes lack")
        return [*lines, *self.kept_elsewhere(), *self.project.warnings]

    def kept_elsewhere(self) -> list[str]:
        """What the program takes from files that are not ported, and that uses the framework there."""
        return list(of_kept_files(self.project, self.is_served))

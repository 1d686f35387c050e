"""A program and the files beside it that it imports: what a name stands for, and which imports bring a framework."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .evidence import all_exports
from .sources import RUN, Cell, Source

LIBRARIES = """
    torch torchvision tensorflow keras jax flax optax mxnet paddle chainer theano lasagne tinygrad autograd sklearn
    skimage numpy scipy pandas matplotlib seaborn pylab sympy tqdm IPython cv2 PIL nltk gensim plotly fastnn
"""
FOREIGN = {*sys.stdlib_module_names, *LIBRARIES.split()}
USUAL = re.compile(
    r"modules?|layers?|criterions?|loss(es)?|optimi[sz]ers?|optim|nn|net|networks?|activations?|containers?"
)
MOST_FILES = 50
Definition = ast.ClassDef | ast.FunctionDef


class Import(NamedTuple):
    """A statement that imports from one module, or a line `%run`; `path` is the module's file where it was found."""

    cell: Cell
    node: ast.Import | ast.ImportFrom | None
    line: int
    module: str
    """With its leading dots; the file of a `%run`."""
    alias: ast.alias | None
    """The one name of `import module`, or of `from package import module`."""
    path: str | None

    @property
    def is_star(self) -> bool:
        """Whether all names come."""
        return self.node is None or (isinstance(self.node, ast.ImportFrom) and self.node.names[0].name == "*")


class Project:
    """A file and those that it imports from its own folder; `sources` by path, the file itself first."""

    def __init__(self, program: Source) -> None:
        self.program = program
        self.sources = {os.path.realpath(program.path): program}
        self.warnings = list(program.warnings)
        self._imports: dict[str, list[Import]] = {}
        self._provided: dict[str, dict[str, Definition | None]] = {}
        queue = [program]
        while queue and len(self.sources) < MOST_FILES:
            source = queue.pop(0)
            self._imports[source.path] = list(_imports(source))
            for found in self._imports[source.path]:
                if found.path is not None and os.path.realpath(found.path) not in self.sources:
                    queue += self._read(found.path)

    def _read(self, path: str) -> list[Source]:
        try:
            source = Source(path)
        except (OSError, ValueError) as error:
            self.warnings.append(f"{error}: passed over")
            return []
        self.sources[os.path.realpath(path)] = source
        return [source]

    def imports_of(self, source: Source) -> list[Import]:
        """The imports of a file, in order."""
        return self._imports.get(source.path, [])

    def shown(self, source: Source) -> str:
        """The path of a file from where the program's own path starts."""
        folder = os.path.dirname(self.program.path)
        return os.path.normpath(os.path.join(folder, os.path.relpath(source.path, os.path.abspath(folder))))

    def foreign(self, source: Source) -> set[str]:
        """Names that a file has from libraries such as torch; those of a dialect are none."""
        names: set[str] = set()
        for cell in source.cells:
            for node in ast.walk(cell.tree):
                if isinstance(node, ast.Import):
                    aliases = [alias for alias in node.names if _is_foreign(alias.name)]
                    names |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
                elif isinstance(node, ast.ImportFrom) and _is_foreign("." * node.level + (node.module or "")):
                    names |= {alias.asname or alias.name for alias in node.names}
        return names - {"*", "np"}

    def definitions(self, source: Source) -> dict[str, Definition]:
        """The classes and functions at the top of a file, those without a base of a foreign library."""
        foreign, found = self.foreign(source), dict[str, Definition]()
        for cell in source.cells:
            for node in cell.tree.body:
                if isinstance(node, ast.FunctionDef) or (
                    isinstance(node, ast.ClassDef) and not foreign & {first_name(base) for base in node.bases}
                ):
                    found[node.name] = node
        return found

    def provided(self, source: Source) -> dict[str, Definition | None]:
        """What `from file import *` would bring: name, and its definition if that is in one of the files."""
        if source.path in self._provided:
            return self._provided[source.path]
        names: dict[str, Definition | None] = {}
        self._provided[source.path] = names  # of a circle of imports, what is known so far
        names.update(dict.fromkeys(bound_names(top_nodes(source))))
        for found in self.imports_of(source):
            other = self.source_of(found)
            if other is None or found.alias is not None or isinstance(found.node, ast.Import):
                continue
            theirs = self.provided(other)
            if found.is_star:
                names.update(theirs)
            elif isinstance(found.node, ast.ImportFrom):
                names.update({a.asname or a.name: theirs.get(a.name) for a in found.node.names})
        names.update(self.definitions(source))
        for name in [name for name in names if name.startswith("_")]:
            del names[name]
        return names

    def modules_in(self, source: Source, depth: int = 2) -> dict[str, Source]:
        """The names that stand for files in a file, such as `nn`, and `nn.layers` where nn is a package."""
        modules: dict[str, Source] = {}
        for found in self.imports_of(source):
            other = self.source_of(found)
            if other is None:
                continue
            if found.alias is not None:
                name = found.alias.asname or found.alias.name
            elif is_package(source) and re.fullmatch(r"\.\w+", found.module):  # a package's own module
                name = found.module[1:]
            else:
                continue
            modules[name] = other
            if depth > 1:
                inner = self.modules_in(other, depth - 1)
                modules.update({f"{name}.{word}": module for word, module in inner.items()})
        return modules

    def inner_modules(self, found: Import) -> dict[str, Source | None]:
        """Of `import nn`, the modules within nn that the program uses, such as `nn.layers`; None for one not found."""
        assert found.alias is not None
        name = found.alias.asname or found.alias.name
        modules: dict[str, Source | None] = {
            word: source for word, source in self.modules_in(self.program).items() if word.startswith(f"{name}.")
        }
        if found.path is None:
            words = (f"{name}.{word}" for word in attributes_of(self.program, name))
            modules.update(dict.fromkeys(word for word in words if attributes_of(self.program, word) & all_exports()))
        return {word: source for word, source in modules.items() if attributes_of(self.program, word)}

    def taken(self, found: Import) -> set[str]:
        """The names that the program takes from `import nn`: of nn.Linear and of nn.layers.Linear the last."""
        assert found.alias is not None
        name = found.alias.asname or found.alias.name
        inner = self.inner_modules(found)
        names = set().union(*(attributes_of(self.program, word) for word in (name, *inner)))
        return names - {word.rpartition(".")[2] for word in inner}

    def brought(self, found: Import) -> dict[str, Definition | None]:
        """What an import brings from files that were found, and from the modules within such a package."""
        inner = self.inner_modules(found).values() if found.alias is not None else ()
        sources = (source for source in (self.source_of(found), *inner) if source is not None)
        return {name: node for source in sources for name, node in self.provided(source).items()}

    def source_of(self, found: Import) -> Source | None:
        """The file that an import reads."""
        return self.sources.get(os.path.realpath(found.path)) if found.path is not None else None

    def framework_imports(self) -> list[Import]:
        """The imports of the program that bring a framework, in order."""
        known, candidates = all_exports(), []
        for found in self._imports[self.program.path]:
            if self.source_of(found) is not None:
                if any(node is not None for name, node in self.brought(found).items() if name in known):
                    candidates.append(found)
            elif found.path is None and found.module.lstrip(".").partition(".")[0] not in FOREIGN:
                candidates.append(found)
        unknown = [found for found in candidates if found.path is None]
        likely = [found for found in unknown if self._is_likely(found, known, unknown)]
        return [found for found in candidates if found.path is not None or found in likely]

    def _is_likely(self, found: Import, known: frozenset[str], unknown: list[Import]) -> bool:
        """Whether a module that was not found beside the program is a framework."""
        if found.is_star:
            last = re.split(r"[./]", found.module.removesuffix(".py").removesuffix(".ipynb"))[-1]
            return bool(USUAL.search(last.lower())) or [other for other in unknown if other.is_star] == [found]
        if found.alias is not None:
            return bool(self.taken(found) & known)
        return isinstance(found.node, ast.ImportFrom) and any(alias.name in known for alias in found.node.names)


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] in FOREIGN and not module.startswith("fastnn.compat.")


def is_package(source: Source) -> bool:
    """Whether other files import from a file what it does not use itself."""
    return os.path.basename(source.path) == "__init__.py"


def first_name(node: ast.expr) -> str:
    """The first name of `nn.layers.Linear`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def attributes_of(source: Source, name: str) -> set[str]:
    """The attributes of a name that a file uses: of `m`, the `Linear` of `m.Linear`."""
    nodes = (node for cell in source.cells for node in ast.walk(cell.tree) if isinstance(node, ast.Attribute))
    found = {node.attr for node in nodes if ast.unparse(node.value) == name}
    lines = (line for cell in source.cells for line in cell.magics.values())
    return found | {word for line in lines for word in re.findall(rf"\b{re.escape(name)}\.(\w+)", line)}


def top_nodes(source: Source) -> Iterator[ast.AST]:
    """The nodes of a file outside functions and classes, their definitions included."""
    queue: list[ast.AST] = [cell.tree for cell in source.cells]
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            queue += ast.iter_child_nodes(node)


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that nodes bind, but by `import *`."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
    return names - {"*"}


def used_names(source: Source) -> set[str]:
    """The names that a file reads, IPython's lines included."""
    nodes = (node for cell in source.cells for node in ast.walk(cell.tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    lines = (line for cell in source.cells for line in cell.magics.values())
    return names | {word for line in lines for word in re.findall(r"\b[^\W\d]\w*", line)}


def _imports(source: Source) -> Iterator[Import]:
    folder = os.path.dirname(os.path.abspath(source.path))
    for cell in source.cells:
        found = [node for node in ast.walk(cell.tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        runs = [(line, match.group(2)) for line, text in cell.magics.items() if (match := RUN.match(text))]
        for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
            yield from _of_statement(folder, cell, node)
        for line, target in runs:
            name = target if target.endswith((".py", ".ipynb")) else f"{target}.py"
            path = os.path.join(folder, name)
            yield Import(cell, None, line, target, None, path if os.path.isfile(path) else None)


def _of_statement(folder: str, cell: Cell, node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(cell, node, node.lineno, alias.name, alias, _file_of(folder, alias.name))
        return
    dots = "." * node.level
    module = dots + (node.module or "")
    submodules = {
        alias.name: _file_of(folder, f"{dots}{'.'.join(filter(None, (node.module, alias.name)))}")
        for alias in node.names
    }
    whole = [alias for alias in node.names if submodules[alias.name] is None]
    for alias in node.names:
        if submodules[alias.name] is not None:
            yield Import(cell, node, node.lineno, f"{module.rstrip('.')}.{alias.name}", alias, submodules[alias.name])
    if whole:
        yield Import(cell, node, node.lineno, module, None, _file_of(folder, module))


def _file_of(folder: str, module: str) -> str | None:
    """The file of a module that lies in the folder of its importer, or in one of its package's folders."""
    name = module.lstrip(".")
    dots = len(module) - len(name)
    for _ in range(dots - 1):
        folder = os.path.dirname(folder)
    stem = os.path.join(folder, *name.split(".")) if name else folder
    for path in (f"{stem}.py", f"{stem}.ipynb", os.path.join(stem, "__init__.py")):
        if os.path.isfile(path):
            return path
    inside_package = not dots and os.path.isfile(os.path.join(folder, "__init__.py"))
    return _file_of(os.path.dirname(folder), module) if inside_package and os.path.dirname(folder) != folder else None

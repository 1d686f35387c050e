"""The edits that make a program import its framework from `fastnn.compat`, and the notes on them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .evidence import exports, ported_dialect
from .inspection import Inspection
from .project import Import, attributes_of, bound_names, is_package, top_nodes, used_names
from .serving import lineage
from .sources import Cell, Edit, Source

MODULE = re.compile(r"from(\s*[.\w]+)\s+import\b")


class Porter:
    """Makes the edits of one file, and the notes on them."""

    def __init__(self, found: Inspection) -> None:
        self.found = found
        self.module = f"fastnn.compat.{found.dialect}"
        self.theirs = exports(str(found.dialect))
        self.notes: list[str] = []
        self._all_imported = False

    def edits(self) -> Iterator[Edit]:
        """Of the imports of a framework, then of the classes in the file itself."""
        statements: list[ast.AST] = []
        for item in self.found.imports:
            if item.node is None:
                yield from self._of_run(item)
            elif item.node not in statements:
                statements.append(item.node)
                renamed = self._renamed(item)
                if renamed is not None:
                    yield renamed
                    continue
                lines = self._lines(item.node, [each for each in self.found.imports if each.node is item.node])
                if lines is not None:
                    yield self._replaced(item.cell, item.node, [*self._submodule(item, lines), *lines])
        yield from self._below_definitions()

    def _submodule(self, item: Import, lines: list[str]) -> list[str]:
        """In a package, `from .layers import *` binds `layers` too: an import of it, unless another line does that."""
        is_own = is_package(self.found.program) and item.alias is None and re.fullmatch(r"\.\w+", item.module)
        if not is_own or any(line.startswith(f"from {item.module} ") for line in lines):
            return []
        return [f"from . import {item.module[1:]}"]

    def _renamed(self, item: Import) -> Edit | None:
        """The module's name alone, where all names that are imported from it are served."""
        node = item.node
        if not isinstance(node, ast.ImportFrom) or item.is_star or item.alias is not None or self._submodule(item, []):
            return None
        start, end = _span(item.cell, node)
        match = MODULE.match(item.cell.text[start:end])
        if match is None or not all(self._is_served(alias.name) for alias in node.names):
            return None
        return Edit(item.cell, start + match.start(1), start + match.end(1), f" {self.module}")

    def _lines(self, node: ast.Import | ast.ImportFrom, items: list[Import]) -> list[str] | None:
        """The statements in place of one; None if it stays."""
        if items[0].is_star:
            return self._of_star(items[0])
        lines, rest = [], list(node.names)
        for item in items:
            line = self._of_module(item) if item.alias is not None else None
            if item.alias is not None and line is not None:
                lines.append(line)
                rest.remove(item.alias)
        named = [item for item in items if item.alias is None]
        if named:
            served = [alias for alias in rest if self._is_served(alias.name)]
            rest = [alias for alias in rest if alias not in served]
            lines += [_from(self.module, served)] if served else []
        if not lines:
            return None
        if rest and isinstance(node, ast.ImportFrom):
            return [*lines, _from("." * node.level + (node.module or ""), rest)]
        return [*([f"import {', '.join(map(_name, rest))}"] if rest else []), *lines]

    def _is_served(self, name: str) -> bool:
        """Whether a dialect's module gives a name; `np` is one too."""
        return name == "np" or self.found.is_served(name)

    def _of_star(self, item: Import) -> list[str]:
        """`from modules import *`: names of the file that fastnn does not serve are imported by name, after it."""
        source = self.found.project.source_of(item)
        star = f"from {self.module} import *"
        if source is None:
            return self._of_unknown_star(item, star)
        brought = self.found.project.provided(source)
        bound = bound_names(top_nodes(self.found.program)) - {"np"}
        kept = sorted(
            name
            for name in brought
            if (
                is_package(self.found.program)
                or (name in used_names(self.found.program) and (name not in bound or name in self.theirs))
            )
            and not self._is_served(name)
        )
        kept_line = f"from {item.module} import {', '.join(kept)}"
        again = self._all_imported
        self._all_imported = True
        return [*([] if again else [star]), *([kept_line] if kept else [])]

    def _of_unknown_star(self, item: Import, star: str) -> list[str]:
        """The same where the file was not found: names that nothing binds are taken to be from there."""
        unknown = sorted(self.found.unbound() - self.theirs - {"np"} - self.found.brought.keys())
        again = self._all_imported
        self._all_imported = True
        if unknown and len(self._unknown_stars()) > 1:
            self.notes.append(f"{item.module} was not found and may have names of its own: its import stays, above")
            return [f"from {item.module} import *", star]
        if unknown:
            return [star, f"from {item.module} import {', '.join(unknown)}"]
        return [] if again else [star]

    def _unknown_stars(self) -> list[ast.ImportFrom]:
        """All `import *` of files that were not found."""
        nodes = [node for cell in self.found.program.cells for node in ast.walk(cell.tree)]
        known = [item.node for item in self.found.imports if item.path is not None]
        stars = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
        return [node for node in stars if node not in known]

    def _of_module(self, item: Import) -> str | None:
        """`import modules as m`, which needs all that the program takes from m to be served; None if it stays."""
        assert item.alias is not None
        name = item.alias.asname or item.alias.name
        own = self._not_served(item, name)
        if own and is_package(self.found.program):
            listed = f"{', '.join(own[:3])}{', ...' * (len(own) > 3)}"
            remedy = "".join(f", {what}" for what in self._files_to_port(item))
            self.notes.append(f"{name} has {listed}, which {self.module} does not serve: its import stays{remedy}")
            return None
        if own:
            by_name = [] if self._inner(item) else ["import it by its own name first"]
            remedies = [*by_name, *self._files_to_port(item)] or ["import what it has by name first"]
            raise ValueError(
                f"{item.cell.place}, line {item.line}: expected only names of {self.module} from {name}, "
                f"got {name}.{own[0]}: {' or '.join(remedies)}"
            )
        if "." in name:
            raise ValueError(f"{item.cell.place}, line {item.line}: expected 'import {name} as m', got no name")
        return f"import {self.module} as {name}"

    def _not_served(self, item: Import, name: str) -> list[str]:
        """What the program takes from a module and a dialect does not give; of a package, what others may take."""
        used = attributes_of(self.found.program, name)
        source = self.found.project.source_of(item)
        if source is not None and is_package(self.found.program):
            used |= self.found.project.provided(source).keys() - self.found.project.foreign(source)
        return sorted(word for word in used if not self._is_served(word))

    def _inner(self, item: Import) -> dict[str, Source | None]:
        return self.found.project.inner_modules(item)

    def _files_to_port(self, item: Import) -> list[str]:
        """What to do instead: port the module's own file, or those within a package that define what is served."""
        project = self.found.project
        source = project.source_of(item)
        if source is None:
            return []
        inner = [module for module in self._inner(item).values() if module is not None]
        files = [each for each in inner if any(map(self._is_served, project.definitions(each)))] or [source]
        ported = [each for each in files if ported_dialect(cell.tree for cell in each.cells) is not None]
        paths = sorted({project.shown(each) for each in files if each not in ported})
        if not paths:
            return [f"{project.shown(ported[0])} is ported already"]
        return [f"port {', '.join(paths)} {'itself' if len(paths) == 1 else 'themselves'}"]

    def _of_run(self, item: Import) -> Iterator[Edit]:
        """`%run modules.ipynb`, which goes if nothing else of that file is used."""
        source = self.found.project.source_of(item)
        brought = self.found.project.provided(source) if source is not None else {}
        used = used_names(self.found.program)
        kept = [name for name in brought if name in used - {"np"} and not self.found.is_served(name)]
        line = item.cell.magics[item.line]
        indent = line[: len(line) - len(line.lstrip())]
        if source is not None and not kept:
            start, end = item.cell.starts[item.line - 1], item.cell.line_end(item.line)
            yield Edit(item.cell, start, end, f"{indent}from {self.module} import *")
            return
        held = self._held_by(kept) if source is not None and source.path.endswith(".ipynb") else set()
        names = sorted(name for name in used - held if self.found.is_served(name))
        end = item.cell.line_end(item.line)
        yield Edit(item.cell, end, end, f"\n{indent}from {self.module} import {', '.join(names)}")

    def _held_by(self, kept: list[str]) -> set[str]:
        """Bases of kept classes that call `super(Base, self)`, which fails once that name stands for another class."""
        found = [self.found.nodes[name] for name in kept]
        bases = [base for node in found if isinstance(node, ast.ClassDef) for base in lineage(node, self.found.nodes)]
        return {base.name for base in bases if f"super({base.name}," in ast.unparse(base)}

    def _replaced(self, cell: Cell, node: ast.Import | ast.ImportFrom, lines: list[str]) -> Edit:
        """An edit of one statement; what else stands in its line stays there."""
        assert node.end_lineno is not None
        start, end = _span(cell, node)
        before = cell.text[cell.starts[node.lineno - 1] : start]
        after = cell.text[end : cell.line_end(node.end_lineno)]
        if not lines and node in cell.tree.body and not before and not after.strip():
            if node.lineno > 1:
                return Edit(cell, cell.line_end(node.lineno - 1), cell.line_end(node.end_lineno), "")
            return Edit(cell, start, cell.starts[node.end_lineno], "")
        alone = not before.strip() and (not after.strip() or after.lstrip().startswith("#"))
        return Edit(
            cell, start, end, (f"\n{before}" if alone else "; ").join(lines or [f"from {self.module} import *"])
        )

    def _below_definitions(self) -> Iterator[Edit]:
        """Imports below the file's own classes that fastnn serves.

        One import stands below the last of them. Where a class of the user's own is derived from one of them further
        up, another stands below the classes that come before it: derived from a class whose name is bound again later,
        `super(Linear, self)` in that class would fail.
        """
        pending: list[str] = []
        last: tuple[Cell, ast.stmt] | None = None
        places = []
        for cell in self.found.program.cells:
            for node in cell.tree.body:
                served = isinstance(node, (ast.ClassDef, ast.FunctionDef)) and self.found.is_served(node.name)
                if isinstance(node, ast.ClassDef) and not served and last is not None:
                    bases = {each.name for each in lineage(node, self.found.defined)}
                    if bases & set(pending):
                        places.append((*last, pending))
                        pending = []
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and served:
                    pending = [*pending, node.name]
                    last = cell, node
        if pending and last is not None:
            places.append((*last, pending))
        names = self._names_of_file()
        for cell, node, bound in places:
            assert node.end_lineno is not None
            end = cell.line_end(node.end_lineno)
            listed = "*" if names is None else ", ".join(dict.fromkeys(bound))
            yield Edit(cell, end, end, f"\n\n\nfrom {self.module} import {listed}")
        if places:
            self.notes.append("the file's own classes stay; below them the import makes their names stand for fastnn's")
        if len(places) > 1:
            self.notes.append("a class of yours that is derived from them further up needs the import above itself too")

    def _names_of_file(self) -> set[str] | None:
        """None if `import *` would bind nothing of the file again but what is served."""
        bound = bound_names(top_nodes(self.found.program)) & self.theirs
        kept = {name for name in bound if not (name in self.found.defined and self.found.is_served(name))}
        return kept or None


def _span(cell: Cell, node: ast.stmt) -> tuple[int, int]:
    """The places of a statement in its cell."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    return cell.at(node.lineno, node.col_offset), cell.at(node.end_lineno, node.end_col_offset)


def _from(module: str, names: list[ast.alias]) -> str:
    return f"from {module} import {', '.join(map(_name, names))}"


def _name(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name

"""Whether a class or a function of a user's file can be replaced by the one of the same name in a dialect."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .evidence import methods, takes_probabilities

Definition = ast.ClassDef | ast.FunctionDef

ON_EVERY_OBJECT = {"__init__", "__repr__", "__str__"}
HIDDEN = {"training"}  # a method in one text, which its own attribute hides
CONFIG = {"learning_rate", "momentum", "beta1", "beta2", "epsilon"}  # what the optimisers read
UNKNOWN = object()  # a default that is no constant


class Parameters(NamedTuple):
    """The parameters of a call, without self."""

    positional: list[str]
    named: list[str]
    defaults: dict[str, Any]
    more: bool
    """Whether there is *args."""
    more_named: bool

    def __str__(self) -> str:
        names = [*self.positional, *(["*"] if self.more else []), *self.named]
        return f"({', '.join(self.with_default(name) for name in names)})"

    def with_default(self, name: str) -> str:
        """`alpha=0.0`, or the name alone where there is no default."""
        if name not in self.defaults:
            return name
        return f"{name}={'...' if self.defaults[name] is UNKNOWN else repr(self.defaults[name])}"

    @property
    def least(self) -> int:
        """The fewest positional arguments of a call."""
        return sum(name not in self.defaults for name in self.positional)

    @property
    def most(self) -> float:
        """The most positional arguments of a call."""
        return float("inf") if self.more else len(self.positional)


class Calls(NamedTuple):
    """What the calls of one name give."""

    keywords: frozenset[str]
    least: float
    """The arguments of the call that has the fewest."""


NO_CALLS = Calls(frozenset(), float("inf"))


def difference(
    node: Definition, theirs: Any, classes: Mapping[str, ast.ClassDef], calls: Calls, dialect: str
) -> str | None:
    """What the user's version has that the dialect's lacks, or None.

    Parameters are compared by place; a parameter that has another name is the same one unless a call names it, and a
    default that the dialect lacks is no difference unless a call needs it. Names that start with _ do not count.
    """
    if isinstance(node, ast.ClassDef) != isinstance(theirs, type):
        kinds = ("a class", "a function")
        return "{} here, {} in {}".format(*(kinds if isinstance(node, ast.ClassDef) else kinds[::-1]), dialect)
    if isinstance(node, ast.FunctionDef):
        mine, other = _both(node, theirs, classes)
        return _keys_differ(node, dialect) or _parameters_differ("arguments", mine, other, calls, dialect)
    if node.name == "ClassNLLCriterion" and takes_probabilities(node) != (dialect == "torch7_2017"):
        here, there = ("probabilities", "log-probabilities")[:: 1 if takes_probabilities(node) else -1]
        return f"takes {here} here, {there} in {dialect}"
    return (
        _methods_differ(node, theirs, dialect)
        or _parameters_differ("constructor arguments", *_both(node, theirs, classes), calls, dialect)
        or _constants_differ(node, theirs, dialect)
    )


def defaults_lost(node: Definition, theirs: Any, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """The parameters with a default, such as `state=None`, that have none in the dialect."""
    mine, other = _both(node, theirs, classes)
    places = range(min(len(mine.positional), len(other.positional)))
    lost = [place for place in places if mine.positional[place] in mine.defaults and place < other.least]
    return [mine.with_default(mine.positional[place]) for place in lost]


def _both(node: Definition, theirs: Any, classes: Mapping[str, ast.ClassDef]) -> tuple[Parameters, Parameters]:
    """The parameters of the user's function or constructor, and those of the dialect's."""
    if isinstance(node, ast.FunctionDef):
        return _of_node(node, 0), _of_signature(theirs, 0)
    start = next((methods(each)["__init__"] for each in lineage(node, classes) if "__init__" in methods(each)), None)
    mine = _of_node(start, 1) if start is not None else Parameters([], [], {}, False, False)
    return mine, _of_signature(theirs.__init__, 1)


def lineage(node: ast.ClassDef, classes: Mapping[str, Any]) -> list[ast.ClassDef]:
    """A class and those of its bases that are defined in the files at hand."""
    found = [node]
    for each in found:
        for base in each.bases:
            parent = classes.get(ast.unparse(base).rpartition(".")[2])
            if isinstance(parent, ast.ClassDef) and parent not in found:
                found.append(parent)
    return found


def calls_of(trees: Iterable[ast.AST]) -> dict[str, Calls]:
    """What the calls of each name give."""
    calls: dict[str, Calls] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            words = {word.arg for word in node.keywords if word.arg}
            is_open = len(words) < len(node.keywords) or any(isinstance(value, ast.Starred) for value in node.args)
            count = float("inf") if is_open else len(node.args) + len(words)
            before = calls.get(name, NO_CALLS)
            calls[name] = Calls(before.keywords | words, min(before.least, count))
    return calls


def _methods_differ(node: ast.ClassDef, theirs: type, dialect: str) -> str | None:
    for name, method in methods(node).items():
        special = name.startswith("__") and name.endswith("__")
        if name in ON_EVERY_OBJECT | HIDDEN or (name.startswith("_") and not special):
            continue
        if not any(name in vars(base) for base in theirs.__mro__ if base is not object):
            return f"has a method of its own, {name}"
        got, expected = _of_node(method, 1), _of_signature(getattr(theirs, name), 1)
        if _is_plain(method) and not (expected.least <= got.least and got.most <= expected.most):
            return f"{name} takes {got}, {expected} in {dialect}"
    return None


def _is_plain(method: ast.FunctionDef) -> bool:
    """Whether the first parameter is self."""
    return not method.decorator_list


def _parameters_differ(what: str, mine: Parameters, theirs: Parameters, calls: Calls, dialect: str) -> str | None:
    whole = f"{what} {mine}, {theirs} in {dialect}"
    if (mine.more and not theirs.more) or (mine.more_named and not theirs.more_named):
        return whole
    for place, name in enumerate(mine.positional + mine.named):
        there = theirs.positional[place] if place < min(len(theirs.positional), len(mine.positional)) else None
        same = name
        if name in theirs.positional + theirs.named:
            if place < len(mine.positional) and there != name and name in theirs.positional:
                return whole
        elif there is not None and there not in mine.positional + mine.named and name not in calls.keywords:
            same = there
        elif not (theirs.more and place < len(mine.positional)):
            return f"has {what} of its own, {name}"
        value, other = mine.defaults.get(name, UNKNOWN), theirs.defaults.get(same, UNKNOWN)
        is_needed = same in theirs.positional and same not in theirs.defaults
        if name in mine.defaults and is_needed and calls.least <= place:
            return whole
        if UNKNOWN not in (value, other) and value != other:
            return f"{name}={value!r} by default, {other!r} in {dialect}"
    return whole if theirs.least > len(mine.positional) else None


def _keys_differ(node: ast.FunctionDef, dialect: str) -> str | None:
    """An optimiser that reads other settings."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name) and part.value.id == "config":
            key = _constant(part.slice)
            if isinstance(key, str) and key not in CONFIG:
                return f"reads config[{key!r}], which is not read in {dialect}"
    return None


def _constants_differ(node: ast.ClassDef, theirs: type, dialect: str) -> str | None:
    """Such as EPS."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            value, other = _constant(statement.value), getattr(theirs, name, UNKNOWN)
            if isinstance(value, (int, float)) and isinstance(other, (int, float)) and value != other:
                return f"{name} = {value!r}, {other!r} in {dialect}"
    return None


def _constant(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else UNKNOWN
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def _of_node(node: ast.FunctionDef, skipped: int) -> Parameters:
    arguments = node.args
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    named = [argument.arg for argument in arguments.kwonlyargs]
    count = len(arguments.defaults)
    defaults = dict(zip(positional[len(positional) - count :], map(_constant, arguments.defaults), strict=True))
    pairs = zip(named, arguments.kw_defaults, strict=True)
    defaults.update({name: _constant(value) for name, value in pairs if value is not None})
    more = arguments.vararg is not None
    return Parameters(positional[skipped:], named, defaults, more, arguments.kwarg is not None)


def _of_signature(function: Any, skipped: int) -> Parameters:
    if function is object.__init__:
        return Parameters([], [], {}, False, False)
    parameters = list(inspect.signature(function).parameters.values())
    by_kind = {kind: [each.name for each in parameters if each.kind is kind] for kind in inspect._ParameterKind}
    positional = by_kind[inspect.Parameter.POSITIONAL_ONLY] + by_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return Parameters(
        positional[skipped:],
        by_kind[inspect.Parameter.KEYWORD_ONLY],
        {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty},
        bool(by_kind[inspect.Parameter.VAR_POSITIONAL]),
        bool(by_kind[inspect.Parameter.VAR_KEYWORD]),
    )

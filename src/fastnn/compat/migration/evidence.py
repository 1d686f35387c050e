"""Which dialect a text speaks: the clues, what each of them is worth, and the dialect that they fit best."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

DIALECTS = ("torch7", "torch7_2017", "snake", "plain", "seminar")
CAMEL = ("torch7", "torch7_2017", "seminar")

# The spelling decides first, by the methods that a text defines or calls.
SPELLINGS = {
    "camelCase hooks": (
        CAMEL,
        "updateOutput updateGradInput accGradParameters zeroGradParameters getParameters getGradParameters gradInput",
    ),
    "snake_case hooks": (
        ("snake",),
        "update_output update_grad_input update_grad_params zero_grad_params get_parameters get_grad_params get_params",
    ),
    "forward, backward and parameters": (("plain",), "grad_parameters grad_W grad_b _train"),
}
WORTH = {"get_parameters": 0, "get_params": 0, "grad_W": 1, "grad_b": 1, "_train": 1}  # others 2
STRANGE = {"_compute_output", "_compute_input_grad", "_update_parameters_grad", "get_parameters_grad"}

# Names that a text defines or uses: what they are worth to which dialect.
NAMES: dict[str, dict[str, int]] = {
    "ClassNLLCriterionUnstable": {"torch7": 3, "seminar": 1},
    "LogClassNLLCriterion": {"torch7_2017": 3},
    "ClassNLLCriterion": dict.fromkeys(CAMEL, 1),
    "BatchNormalization": {"torch7": 1, "snake": 1},
    "ChannelwiseScaling": {"torch7": 1},
    "adam_optimizer": {"torch7": 1},
    "NLLCriterionUnstable": {"snake": 3},
    "NLLCriterion": {"snake": 2},
    "Scaling": {"snake": 2},
    "CrossEntropy": {"plain": 1},
    "MSE": {"plain": 1},
}
SHAPES = {
    "(n_out, n_in)": {"torch7": 2, "seminar": 2, "plain": 1},
    "(n_in, n_out)": {"torch7_2017": 2, "snake": 2},
}
ACCUMULATING = ("torch7",)
HOOKS_OF_GRADIENTS = ("accGradParameters", "update_grad_params", "backward")
W_SHAPE = {dialect: "(in, out)" if dialect in SHAPES["(n_in, n_out)"] else "(out, in)" for dialect in DIALECTS}


class Clue(NamedTuple):
    """One line of evidence and its points."""

    text: str
    points: dict[str, int]


class Verdict(NamedTuple):
    """The dialect that fits best, or None; the clues that speak for it, and those that speak against it."""

    dialect: str | None
    evidence: tuple[str, ...]
    against: tuple[str, ...]


def exports(dialect: str) -> frozenset[str]:
    """The names of a dialect."""
    return frozenset(importlib.import_module(f"fastnn.compat.{dialect}").__all__) - {"np"}


def all_exports() -> frozenset[str]:
    """The names of all dialects."""
    return frozenset[str]().union(*map(exports, DIALECTS))


class Facts:
    """What texts define and use: `names`, `attributes`, `strings`, `classes`."""

    def __init__(self, trees: Iterable[ast.AST], foreign: Iterable[str] = ()) -> None:
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.strings: set[str] = set()
        self.classes: dict[str, ast.ClassDef] = {}
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
                self.attributes.update(methods(node))
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.alias)):
                self.names.add(node.name)
            elif isinstance(node, ast.Name):
                self.names.add(node.id)
            elif isinstance(node, ast.Attribute):
                self.attributes.add(node.attr)
                root = node.value.id if isinstance(node.value, ast.Name) else ""
                if root and root not in foreign:
                    self.names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.strings.add(node.value)
        self.names -= set(foreign)


def judge(facts: Facts, given: str | None = None) -> Verdict:
    """The dialect that the facts fit best: its spelling first, then the meanings that tell siblings apart.

    A dialect that is given is taken; the clues are then those for and against it.
    """
    clues = list(_clues(facts))
    if given is None:
        strange = sorted(STRANGE & facts.attributes)
        if len(strange) > 1:
            return Verdict(None, (f"{', '.join(strange)}: a spelling that fastnn has no dialect for",), ())
        totals = {dialect: sum(clue.points.get(dialect, 0) for clue in clues) for dialect in DIALECTS}
        best = max(DIALECTS, key=lambda dialect: totals[dialect])  # the first of equals, which most programs speak
        if not _is_told(facts, next(name for name, (dialects, _) in SPELLINGS.items() if best in dialects)):
            return Verdict(None, (), ())
    else:
        best = given
    return Verdict(
        best,
        (*(["as you said"] if given else []), *(clue.text for clue in clues if clue.points.get(best))),
        tuple(clue.text for clue in clues if not clue.points.get(best) and max(clue.points.values()) > 1),
    )


def _is_told(facts: Facts, spelling: str) -> bool:
    """Whether there is a method or a name that only a framework of this spelling has."""
    dialects, words = SPELLINGS[spelling]
    theirs = [name for name in words.split() if name in facts.attributes and WORTH.get(name, 2) > 1]
    few = [name for name in words.split() if name in facts.attributes and WORTH.get(name) == 1]
    names = [name for name in facts.names & NAMES.keys() if NAMES[name].keys() & set(dialects)]
    names += ["Sequential(*layers)"] if spelling.startswith("forward") and _layers_at_once(facts) else []
    return bool(theirs) or len(few) > 1 or bool(set(names) - {"BatchNormalization", "MSE"}) or len(names) > 1


def _clues(facts: Facts) -> Iterator[Clue]:
    for spelling, (dialects, words) in SPELLINGS.items():
        found = [name for name in words.split() if name in facts.attributes]
        if found:
            worth = sum(WORTH.get(name, 2) for name in found)
            text = f"{', '.join(found[:3])}{', ...' * (len(found) > 3)}: {spelling}"
            yield Clue(text, dict.fromkeys(dialects, max(worth, 1)))
    for name in NAMES:
        if name in facts.names and not (name == "ClassNLLCriterion" and name in facts.classes):
            yield Clue(name, NAMES[name])
    yield from _clues_of_linear(facts)
    yield from _clues_of_others(facts)


def _clues_of_linear(facts: Facts) -> Iterator[Clue]:
    linear = facts.classes.get("Linear")
    shape = weight_shape(linear)
    if linear is None or shape is None:
        return
    yield Clue(f"Linear: W of shape {shape}", SHAPES[shape])
    adds = accumulates(linear)
    if adds is not None:
        points = {dialect: 1 for dialect in DIALECTS if (dialect in ACCUMULATING) is adds}
        if "b" in assigned(linear):
            points.pop("seminar", None)
        yield Clue(f"Linear: gradients {'accumulate' if adds else 'are overwritten'}", points)
    if "b" not in assigned(linear):
        yield Clue("Linear: no b", {"seminar": 3})


def _clues_of_others(facts: Facts) -> Iterator[Clue]:
    module = facts.classes.get("Module")
    nll = facts.classes.get("ClassNLLCriterion")
    if nll is not None:
        takes = takes_probabilities(nll)
        points = {"torch7_2017": 3} if takes else {"torch7": 2, "seminar": 2}
        yield Clue(f"ClassNLLCriterion: takes {'' if takes else 'log-'}probabilities", points)
    elif {"ClassNLLCriterion", "SoftMax"} <= facts.names and not {"LogSoftMax"} & facts.names:
        yield Clue("ClassNLLCriterion after SoftMax: takes probabilities", {"torch7_2017": 2})
    if "dumb_forward" in facts.attributes:
        yield Clue("dumb_forward", {"seminar": 3})
    if module is not None and "updateGradInput" in methods(module) and "updateOutput" not in methods(module):
        yield Clue("Module: forward is what layers override", {"seminar": 2})
    if module is not None and "training" in methods(module):
        yield Clue("Module: a method training()", {"torch7_2017": 2})
    if "old_grad" in facts.strings:
        yield Clue("state['old_grad']", {"torch7_2017": 2})
    if _layers_at_once(facts):
        yield Clue("Sequential(*layers)", {"plain": 2})


def _layers_at_once(facts: Facts) -> bool:
    container = facts.classes.get("Sequential")
    start = methods(container).get("__init__") if container is not None else None
    return start is not None and start.args.vararg is not None


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """The methods that a class defines."""
    return {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}


def weight_shape(linear: ast.ClassDef | None) -> str | None:
    """Whether Linear makes its W as (n_out, n_in) or (n_in, n_out), of its first two arguments; None if neither."""
    start = methods(linear).get("__init__") if linear is not None else None
    if start is None or len(start.args.args) < 3:
        return None
    n_in, n_out = (argument.arg for argument in start.args.args[1:3])
    shapes: dict[tuple[str, ...], str] = {(n_in, n_out): "(n_in, n_out)", (n_out, n_in): "(n_out, n_in)"}
    for node in ast.walk(start):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and "W" in targets(node) and node.value is not None:
            for call in ast.walk(node.value):
                parts = call.elts if isinstance(call, ast.Tuple) else call.args if isinstance(call, ast.Call) else []
                shape = shapes.get(tuple(part.id for part in parts if isinstance(part, ast.Name)))
                if shape is not None:
                    return shape
    return None


def takes_probabilities(criterion: ast.ClassDef) -> bool:
    """Whether a negative log-likelihood takes the logarithm itself."""
    calls = (node.func for node in ast.walk(criterion) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in ("log", "clip") for call in calls)


def accumulates(layer: ast.ClassDef) -> bool | None:
    """Whether a layer adds to gradW: `+=`, `out=self.gradW`, `self.gradW = self.gradW + ...`; None if it has no hook.

    What is added to a new array is not added to the gradients before.
    """
    hooks = [node for name, node in methods(layer).items() if name in HOOKS_OF_GRADIENTS]
    found = [re.search(r"\bself\.grad_?W\b", ast.unparse(hook)) for hook in hooks]
    name = next((match.group() for match in found if match is not None), None)
    if name is None:
        return None
    nodes = [node for hook in hooks for node in ast.walk(hook)]
    if any(isinstance(node, ast.Assign) and _renews(node, name) for node in nodes):
        return False
    for node in nodes:
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and name in ast.unparse(node.target):
            return True
        if isinstance(node, ast.keyword) and node.arg == "out" and name in ast.unparse(node.value):
            return True
        if isinstance(node, ast.Assign) and name.removeprefix("self.") in targets(node):
            is_scaled = isinstance(node.value, ast.BinOp) and isinstance(node.value.op, (ast.Div, ast.Mult))
            if name in ast.unparse(node.value) and not is_scaled:
                return True
    return False


def _renews(node: ast.Assign, name: str) -> bool:
    """Whether an assignment rebinds `self.gradW` to what has nothing of it."""
    return name in map(ast.unparse, node.targets) and name not in ast.unparse(node.value)


def ported_dialect(trees: Iterable[ast.AST]) -> str | None:
    """The dialect whose module a program imports already."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        for module in modules:
            last = names if module == "fastnn.compat" else [module.removeprefix("fastnn.compat.")]
            if module.startswith("fastnn.compat") and set(last) & set(DIALECTS):
                return next(name for name in last if name in DIALECTS)
    return None


def assigned(node: ast.ClassDef) -> set[str]:
    """The attributes of self that a class assigns."""
    assignments = (child for child in ast.walk(node) if isinstance(child, (ast.Assign, ast.AnnAssign)))
    return {name for child in assignments for name in targets(child)}


def targets(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> set[str]:
    """The attributes that a statement assigns."""
    places = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {part.attr for place in places for part in ast.walk(place) if isinstance(part, ast.Attribute)}

"""What `check` warns of: served names that give other numbers than the user's, and nets that are built elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

from .evidence import (
    ACCUMULATING,
    W_SHAPE,
    accumulates,
    all_exports,
    assigned,
    methods,
    ported_dialect,
    targets,
    weight_shape,
)
from .project import Definition, Project, first_name
from .sources import Source

GRADIENTS = ("gradW", "gradb", "grad_W", "grad_b")
PARAMETERS = ("getParameters", "get_parameters", "get_params", "parameters")
SHOWN = 4  # names in one line


def of_linear(linear: ast.ClassDef, dialect: str) -> Iterator[str]:
    """Where the numbers of the user's Linear are others."""
    shape = (weight_shape(linear) or W_SHAPE[dialect]).replace("n_", "")
    if shape != W_SHAPE[dialect]:
        there = f"{W_SHAPE[dialect]} in {dialect}"
        yield f"Linear is W {shape} here but {there}: the same seed gives other weights"
    if dialect == "seminar" and "b" in assigned(linear):
        yield "Linear has b here and none in seminar"
    yield from of_gradients(linear, dialect)


def of_gradients(layer: ast.ClassDef, dialect: str) -> Iterator[str]:
    """Where the gradients of the user's Linear or Conv2d are others."""
    adds = accumulates(layer)
    if adds is False and dialect in ACCUMULATING:
        clear = "call zeroGradParameters() before each backward()"
        yield f"{layer.name} overwrites its gradients here and adds to them in {dialect}: {clear}"
    elif adds and dialect not in ACCUMULATING:
        yield f"{layer.name} adds to its gradients here and overwrites them in {dialect}"
    for name, how in _averages(layer).items():
        yield f"{layer.name}: {name} is {how} here, the sum in {dialect}"


def _averages(linear: ast.ClassDef) -> dict[str, str]:
    """The gradients that are no sums over the batch, and what they are."""
    found: dict[str, str] = {}
    for method in (method for name, method in methods(linear).items() if name != "__init__"):
        changes = [node for node in ast.walk(method) if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign))]
        local = _local_values(changes)
        for node in changes:
            how = _average_of(node, local)
            found.update({name: how for name in GRADIENTS if how is not None and name in targets(node)})
    return found


def _local_values(changes: Iterable[ast.Assign | ast.AnnAssign | ast.AugAssign]) -> dict[str, list[ast.AST]]:
    """The values of the local names of a method, and what divides them in place."""
    local: dict[str, list[ast.AST]] = {}
    for node in changes:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                local.setdefault(target.id, []).append(node)
    return local


def _average_of(node: ast.AST, local: Mapping[str, list[ast.AST]], seen: frozenset[str] = frozenset()) -> str | None:
    """What a value is if it is divided by the size of a batch; values of local names are followed."""
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and part.func.attr in ("mean", "average")
        ):
            return "the mean over the batch"
        divisor = part.right if isinstance(part, ast.BinOp) else part.value if isinstance(part, ast.AugAssign) else None
        is_division = isinstance(part, (ast.BinOp, ast.AugAssign)) and isinstance(part.op, ast.Div)
        if is_division and divisor is not None and not isinstance(divisor, ast.Constant):
            return f"divided by {ast.unparse(divisor)}"
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and part.id not in seen:
            for value in local.get(part.id, ()):
                how = _average_of(value, local, seen | {part.id})
                if how is not None:
                    return how
    return None


def of_container(container: ast.ClassDef, dialect: str) -> Iterator[str]:
    """Where Sequential gives its parameters in another form."""
    for name, method in methods(container).items():
        flat = _is_flat(method) if name in PARAMETERS else None
        if flat is not None and flat is not (dialect == "plain"):
            here, there = ("one flat list", "a list a layer")[:: 1 if flat else -1]
            yield f"Sequential.{name}() is {here} here, {there} in {dialect}"


def _is_flat(method: ast.FunctionDef) -> bool | None:
    """Whether a method joins the parameters of layers into one list; None where that is not to be seen."""
    loops = [part for part in ast.walk(method) if isinstance(part, ast.For) and _asks_a_layer(part.iter)]
    single = {part.id for loop in loops for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
    for part in ast.walk(method):
        if isinstance(part, ast.Call) and part.args:
            word = ast.unparse(part.func).rpartition(".")[2]
            if word in ("sum", "chain", "from_iterable"):
                return True
            if word == "extend":
                return _adds_flat(part.args[0])
            if word == "append":
                return isinstance(part.args[0], ast.Name) and part.args[0].id in single
        elif isinstance(part, ast.AugAssign) and not isinstance(part.value, ast.Constant):
            return _adds_flat(part.value)
        elif isinstance(part, ast.Assign) and isinstance(part.value, ast.BinOp) and _asks_a_layer(part.value.right):
            return _adds_flat(part.value.right)
        elif isinstance(part, ast.ListComp):
            return _adds_flat(part)
    return None


def _adds_flat(value: ast.expr) -> bool:
    """Whether a list that is added to another holds arrays, and not lists of them."""
    if isinstance(value, ast.List):
        return any(isinstance(part, ast.Starred) for part in value.elts)
    return not (isinstance(value, (ast.ListComp, ast.GeneratorExp)) and _asks_a_layer(value.elt))


def _asks_a_layer(node: ast.AST) -> bool:
    """Whether parameters of a layer are asked for."""
    calls = (part.func for part in ast.walk(node) if isinstance(part, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in PARAMETERS for call in calls)


def of_arguments(lost: Mapping[str, list[str]], dialect: str) -> Iterator[str]:
    """Arguments that the user's version has a default for and the dialect's has not."""
    for name, parameters in lost.items():
        for parameter in parameters:
            yield f"{name}: {parameter} by default here, no default in {dialect}: give it in each call"


def of_state(project: Project, is_served: Callable[[str], bool], dialect: str) -> Iterator[str]:
    """The early name of what sgd_momentum keeps, read outside of what fastnn replaces."""
    queue: list[ast.AST] = [cell.tree for source in project.sources.values() for cell in source.cells]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Constant) and node.value == "old_grad":
            yield f"state['old_grad'] is not there in {dialect}: sgd_momentum keeps state['accumulated_grads']"
            return
        if not (isinstance(node, (ast.ClassDef, ast.FunctionDef)) and is_served(node.name)):
            queue += ast.iter_child_nodes(node)


def of_kept_files(project: Project, is_served: Callable[[str], bool]) -> Iterator[str]:
    """Functions and classes that the program takes from another file, which make layers of the framework there."""
    kept: dict[str, tuple[Source, Definition]] = {}
    for cell in project.program.cells:
        for found in _definitions_used(project, project.program, cell.tree):
            if found[0] is not project.program and not is_served(found[1].name):
                kept[found[1].name] = found
    for name, (source, node) in sorted(kept.items()):
        used = sorted(_served_calls(project, source, node, is_served, set()))
        if used:
            path = project.shown(source)
            listed = ", ".join([*used[:SHOWN], *(["..."] if len(used) > SHOWN else [])])
            yield f"{name}, kept from {path}, uses {listed} there: port {path} too"


def _definitions_used(project: Project, source: Source, tree: ast.AST) -> Iterator[tuple[Source, Definition]]:
    """The functions and classes that a piece of a file reads, each with the file that defines it."""
    provided: dict[str, Definition | None] = {**project.provided(source), **project.definitions(source)}
    modules = project.modules_in(source)
    for part in ast.walk(tree):
        node: Definition | None = None
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            node = provided.get(part.id)
        elif isinstance(part, ast.Attribute):
            module = modules.get(ast.unparse(part.value))
            node = project.provided(module).get(part.attr) if module is not None else None
        if node is not None:
            yield from ((each, node) for each in project.sources.values() if _defines(project, each, node))


def _defines(project: Project, source: Source, node: Definition) -> bool:
    return project.definitions(source).get(node.name) is node


def _is_ported(source: Source) -> bool:
    return ported_dialect(cell.tree for cell in source.cells) is not None


def _served_calls(
    project: Project, source: Source, node: Definition, is_served: Callable[[str], bool], seen: set[ast.AST]
) -> set[str]:
    """The served names that a definition calls, in other functions of its file too; none where those are fastnn's."""
    if node in seen or _is_ported(source):
        return set()
    seen.add(node)
    foreign = project.foreign(source)
    calls = [
        part.func for part in ast.walk(node) if isinstance(part, ast.Call) and first_name(part.func) not in foreign
    ]
    names = {ast.unparse(call).rpartition(".")[2] for call in calls} & all_exports()
    inner = [found for call in calls for found in _definitions_used(project, source, call)]
    found = {
        name
        for name in names
        if is_served(name) and any(each.name == name and not _is_ported(other) for other, each in inner)
    }
    for other, each in inner:
        if not is_served(each.name):
            found |= _served_calls(project, other, each, is_served, seen)
    return found

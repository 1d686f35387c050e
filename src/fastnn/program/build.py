"""From a model to native programs: lowering, numbering, and what a program has to watch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np

from .. import backend
from ..nn import Criterion, Module
from ..optim import Optimizer
from .layouts import lane_count
from .recorder import INPUT, OUTPUT, Array, Place, Unsuited, Value, numbered
from .tape import CHUNK, LABEL, Tape, compilable

FEW = 0.7  # of the lanes: below, a batch of planes is faster row by row, whose columns fill the lanes
# Which number of an instruction that updates is the parameter's.
UPDATES = {"linear_backward_params": 2, "column_sums": 3, "update": 0, "conv_backward_params": 1, "plane_sums": 2,
           "embedding_backward": 4}  # fmt: skip
LOOKUPS = {"embedding_forward", "embedding_backward"}  # alone read integers


def check(model: Module, criterion: Criterion | None = None, optimizer: Optimizer | None = None) -> None:
    """Raise unless all of it has a compiled form.

    Raises
    ------
    TypeError
        Something is no module, criterion or optimiser, or has no compiled form: the line names it.
    """
    for part, kind, name in ((model, Module, "a model"), (criterion, Criterion, "a criterion"),
                             (optimizer, Optimizer, "an optimizer")):  # fmt: skip
        if part is not None and not isinstance(part, kind):
            raise TypeError(f"compile: expected {name}, got {type(part).__name__}")
    for module in model.modules():
        compilable(module)
    if criterion is not None:
        compilable(criterion)
    if optimizer is not None and optimizer.native() is None:
        raise TypeError(f"compile: expected an optimizer with a compiled form, got {type(optimizer).__name__}")


def training_program(
    model: Module, criterion: Criterion, optimizer: Optimizer, x: Array, target_rows: bool, weighted: bool
) -> Any:
    """The program of a step on rows like those of x, with weights or without.

    Raises
    ------
    Unsuited
        The explicit loop has to serve.
    """
    parameters = model.parameters()
    _apart(parameters)
    numbers_of = {id(array): number for number, array in enumerate(parameters)}
    tape = Tape(float_dtype(model, x), numbers_of, target_rows, weighted, integers=x.dtype == np.int64)
    squares = _square_sums(tape, parameters, optimizer.penalty)
    output = tape.in_rows(tape.layer(model, tape.input(x.shape[1:])))
    compilable(criterion)
    criterion.lower(tape, output)
    assert tape.loss is not None
    trained = {i.numbers[at] for i in tape.code for name, at in UPDATES.items() if i.name == name}
    if len(trained) != len(parameters) or not parameters:
        raise Unsuited  # a parameter that no gradient reaches
    states, firsts = _states(optimizer, parameters)
    gathers = Place(per_row=_bytes(x)), Place(per_row=_target_bytes(tape, output)), Place(per_row=8 * weighted)
    _prepend_gathers(tape, gathers)
    wanted = optimizer._state_names()
    slots = [
        [array, *(state[name] if name in wanted else None for name in optimizer.state_names)]
        for array, state in zip(parameters, states, strict=True)
    ]
    extra = [*gathers, *(array for slot in slots for array in slot if array is not None)]
    numbers, program = _program(tape, x, output, extra)
    kind, scalars = _native(optimizer)
    loss = tape.loss
    penalised = optimizer.penalty != 0

    def rescale() -> Any:
        other = list(optimizer._state_names()) != list(wanted) or (optimizer.penalty != 0) != penalised
        if other or optimizer.native() is None:
            return None
        return _native(optimizer)[1], optimizer.penalty, _read(optimizer)

    program.train_with(
        [tuple(numbers[id(array)] for array in slot) for slot in slots],
        [(numbers[id(sums)], array.size) for array, sums in zip(parameters, squares, strict=True)],
        states,
        firsts,
        kind,
        scalars,
        optimizer.penalty,
        _read(optimizer),
        rescale,
        tape.masks,
        tape.counters,
        loss.reduction,
        loss.classes,
        loss.rows,
        weighted,
        loss.ignore_index,
        loss.size,
        numbers[id(loss.weight)],
        numbers[id(loss.losses)],
        numbers[id(tape.hits)],
        *(numbers[id(place)] for place in gathers),
    )
    program.watch([(vars(optimizer), "state", optimizer.state), (vars(optimizer), "model", optimizer.model)])
    program.watch([(optimizer.state, number, state) for number, state in enumerate(states)])
    program.watch([(state, name, state[name]) for state in states for name in wanted])
    return program


def float_dtype(model: Module, x: Array) -> np.dtype[Any]:
    """The dtype that a program computes in: that of the rows of x, or of the model where those are integers."""
    if x.dtype != np.int64:
        return x.dtype
    parameters = model.parameters()
    if not parameters or parameters[0].dtype not in (np.float32, np.float64):
        raise Unsuited
    return parameters[0].dtype


def integers(x: Array) -> Array:
    """Rows of integers as int64, if that changes none; others as they are. Contiguous in C order."""
    whole = x.dtype.kind in "iu" and np.can_cast(x.dtype, np.int64)
    return np.ascontiguousarray(x, np.int64 if whole else None)


def _native(optimizer: Optimizer) -> tuple[str, tuple[float, ...]]:
    native = optimizer.native()
    if native is None:
        raise TypeError(f"compile: expected an optimizer with a compiled form, got {type(optimizer).__name__}")
    return native


def _read(optimizer: Optimizer) -> list[tuple[dict[str, Any], str, Any]]:
    """What the numbers of an update are made of, to be watched."""
    attributes = vars(optimizer)
    return [(attributes, name, attributes.get(name)) for name in (*optimizer.rules, *optimizer.options)]


def _square_sums(tape: Tape, parameters: list[Array], penalty: float) -> list[Place | None]:
    """Where the squares of each parameter are summed up, chunk by chunk; None for what the penalty leaves out."""
    places: list[Place | None] = []
    for array in parameters:
        sums = Place(fixed=LABEL * -(-array.size // CHUNK)) if penalty and array.ndim >= 2 else None
        if sums is not None:
            tape._emit("square_sums", array, sums, numbers=(array.size,))
        places.append(sums)
    return places


def _bytes(x: Array) -> int:
    return x.dtype.itemsize * int(np.prod(x.shape[1:]))


def _target_bytes(tape: Tape, output: Value) -> int:
    assert tape.loss is not None
    return tape.dtype.itemsize * output.size if tape.loss.rows else 8


def _prepend_gathers(tape: Tape, gathers: tuple[Place, ...]) -> None:
    """Rows that are picked in any order are copied together first; labels by who sets up the step."""
    code, tape.code = tape.code, []
    tape._emit("gather", gathers[0], numbers=(gathers[0].per_row, 0))
    assert tape.loss is not None
    if tape.loss.rows:
        tape._emit("gather", gathers[1], numbers=(gathers[1].per_row, 1))
    tape.code += code


def _apart(arrays: list[Array]) -> None:
    """Raise unless no two parameters share memory: they are updated at different times."""
    ranges = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays if isinstance(array, np.ndarray))
    if any(before[1] > after[0] for before, after in pairwise(ranges)):
        raise Unsuited


def _states(optimizer: Optimizer, parameters: list[Array]) -> tuple[list[Any], list[bool]]:
    """The optimiser's state of each parameter, made where it is missing; whether it was."""
    own = optimizer.model.parameters()
    if len(own) != len(parameters) or any(a is not b for a, b in zip(own, parameters, strict=True)):
        raise Unsuited
    names = list(optimizer._state_names())
    states, firsts = [], []
    for number, param in enumerate(parameters):
        state = optimizer.state.get(number) or {"step": 0}
        missing = [name for name in names if name not in state]
        firsts.append(bool(missing))
        state = {**state, **{name: optimizer._initial(name, param) for name in missing}} if missing else state
        for name in names:
            if not _alike(state[name], param):
                raise Unsuited
        states.append(state)
    for number, state in enumerate(states):
        optimizer.state[number] = state
    return states, firsts


def _alike(state: Any, param: Array) -> bool:
    """Whether a state array lies in memory as its parameter does; strides of axes of one element do not matter."""
    return (
        type(state) is np.ndarray
        and state.shape == param.shape
        and state.dtype == param.dtype
        and state.flags.c_contiguous == param.flags.c_contiguous
        and state.flags.f_contiguous == param.flags.f_contiguous
        and state.flags.behaved
    )


def inference_program(model: Module, x: Array, packing: bool = False) -> tuple[Any, bool]:
    """The program that computes the output at rows like those of x, and whether it needs all rows at once.

    With planes, there is one for few rows and one for many.

    With `packing` it reads copies of the weights that are laid out for its products; the weights must not change.

    Raises
    ------
    Unsuited
        The layers themselves have to serve.
    """
    dtype = float_dtype(model, x)
    lanes = lane_count(dtype)
    few = len(x) < FEW * lanes
    tape = Tape(dtype, packing=packing, few=few, integers=x.dtype == np.int64)
    output = tape.in_rows(tape.layer(model, tape.input(x.shape[1:])))
    if output.place is INPUT:
        raise Unsuited
    since = tape._made[id(output.place)]
    for index, instruction in enumerate(tape.code[since:], since):
        operands = tuple(OUTPUT if operand is output.place else operand for operand in instruction.operands)
        tape.code[index] = instruction._replace(operands=operands)
    _, program = _program(tape, x, output)
    if tape.windows:
        program.limit(1 if few else ceil(FEW * lanes), ceil(FEW * lanes) - 1 if few else None)
    return program, tape.whole


def _program(tape: Tape, x: Array, output: Value, extra: Iterable[Array | Place] = ()) -> tuple[dict[int, int], Any]:
    """The native program of a tape, and the number of each place and array in its table."""
    loss = tape.loss
    needed = [] if loss is None else [loss.losses, loss.weight, tape.hits]
    numbers, places, arrays = numbered(tape, [*needed, *extra])
    code = [
        (i.name, i.meet, tuple(numbers[id(operand)] for operand in i.operands), tuple(map(int, i.numbers)), i.scalars)
        for i in tape.code
    ]
    read = {i.name for i in tape.code if any(operand is INPUT for operand in i.operands)}
    if tape.integers and (not read or read - LOOKUPS):
        raise Unsuited
    program = backend.ops.Program(
        tape.dtype,
        code,
        [(place.per_row, place.fixed) for place in places],
        arrays,
        x.shape[1:],
        output.shape,
        [(vars(owner), name, vars(owner).get(name, backend.ops.MISSING)) for owner, name in tape.watched],
        [(layers, tuple(layers)) for layers in tape.lists],
        tape.copies,
        tape.scratch,
        tape.ns,
        tape.least_rows,
    )
    if tape.windows or any(i.name == "to_lanes" for i in tape.code):
        program.slide(tape.windows)
    if tape.integers:
        program.look_up(tape.table_rows)
    program.keep(tape)
    return numbers, program

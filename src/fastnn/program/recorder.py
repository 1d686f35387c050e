"""What a tape keeps: instructions of csrc/program.def, the memory between them, parameters, what is to be watched.

Sizes are those of one row of a batch; how many rows there are is known when the program runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .. import backend

Array = np.ndarray
ELEMENTS_PER_NS, MACS_PER_NS = 2.0, 50.0  # what one thread does about


class Unsuited(Exception):
    """The arrays at hand are none that a program takes: the explicit loop computes with them, or says what is wrong."""


@dataclass(eq=False)
class Place:
    """A part of the arena: bytes a row of the batch, and bytes besides."""

    per_row: int = 0
    fixed: int = 0


# What an instruction waits for, by its split: work of those splits since the team met; "sums": gradients to be updated.
WAITS = {
    "rows": {"across"},
    "across": {"rows", "across", "params", "sums"},
    "params": {"rows", "across"},
    "update": {"rows", "across", "sums"},
}
# What makes gradients, or sums of some.
GRADIENTS = "linear_backward_params", "column_sums", "conv_backward_params", "plane_sums", "embedding_backward"
INPUT, TARGET, OUTPUT, WEIGHTS = Place(), Place(), Place(), Place()  # what a run fills in
Operand = Place | Array | None
Back = Callable[[Place], Place | None]  # from the gradient by an output to that by the input, None where it ends
Numbers = tuple[int, ...]


class Value(NamedTuple):
    """An array of the computation: where it is, the shape of a row, and whether a gradient has to come back to it."""

    place: Place
    shape: tuple[int, ...]
    trained: bool
    spare: bool  # its memory may be written over once the next layer has read it
    lanes: bool = False  # rows are in lanes, shape is (channels, ...)

    @property
    def size(self) -> int:
        return _elements(self.shape, self.lanes)


def _elements(shape: tuple[int, ...], lanes: bool) -> int:
    """Of a row; in lanes every plane has one position more than it needs."""
    return shape[0] * (prod(shape[1:]) + 1) if lanes else prod(shape)


class Instruction(NamedTuple):
    """One instruction of a program; `meet` says that a team of threads meets before it."""

    name: str
    meet: bool
    operands: tuple[Operand, ...]
    numbers: tuple[int, ...]
    scalars: tuple[float, ...]


@dataclass
class Loss:
    """How the losses of a batch become one."""

    reduction: str
    losses: Place
    size: int  # elements of a row
    rows: bool  # whether targets are rows, in a loss of classes
    classes: bool
    weight: Array | None = None
    ignore_index: int = 0


@dataclass
class Recorder:
    """A program under construction, for rows of one shape and dtype.

    Parameters
    ----------
    dtype : dtype
        Of all arrays of the model, and of the rows that go in unless those are integers.
    numbers : dict, optional
        Number of a parameter in the optimiser's order by the id of its array; without it nothing is trained.
    target_rows : bool
        Whether the targets are rows rather than labels.
    weighted : bool
        Whether the rows have weights.
    packing : bool
        Whether weights never change, so that products read packed copies.
    few : bool
        Whether there are too few rows for lanes.
    integers : bool
        Whether the rows that go in are of integers.
    """

    dtype: np.dtype[Any]
    numbers: dict[int, int] | None = None
    target_rows: bool = False
    weighted: bool = False
    packing: bool = False
    few: bool = False
    integers: bool = False
    code: list[Instruction] = field(default_factory=list)
    masks: list[Any] = field(default_factory=list)  # dropout layers, whose key and step are read
    counters: list[Array] = field(default_factory=list)  # go up by one a step
    watched: list[tuple[Any, str]] = field(default_factory=list)  # objects and their attributes that are built in
    lists: list[list[Any]] = field(default_factory=list)  # lists of layers that are built in
    loss: Loss | None = None
    hits: Place | None = None
    least_rows: int = 1
    table_rows: int = 0  # of the table with the fewest of those that the rows that go in are numbers of
    whole: bool = False  # rows depend on one another: inference must not cut a batch
    scratch: int = 0  # bytes
    ns: float = 0.0  # of a row
    windows: list[tuple[int, ...]] = field(default_factory=list)  # that slide over planes
    copies: list[tuple[Array, Array]] = field(default_factory=list)  # arrays and their converted copies
    _back: list[tuple[bool, Back]] = field(default_factory=list)  # whether it leads anywhere
    _uses: dict[int, int] = field(default_factory=dict)  # of parameters, by id
    _grads: dict[int, Place] = field(default_factory=dict)  # of parameters that are used more than once
    _pending: set[str] = field(default_factory=set)  # what the team has done since it met
    _free: list[Place] = field(default_factory=list)
    _held: list[Place] = field(default_factory=list)  # free once the team has met
    _readers: dict[int, int] = field(default_factory=dict)  # still to come, of places that have had several, by id
    _made: dict[int, int] = field(default_factory=dict)  # where in the code a place was taken last

    @property
    def training(self) -> bool:
        return self.numbers is not None

    # What layers ask

    def input(self, shape: tuple[int, ...]) -> Value:
        """The rows that go in."""
        return Value(INPUT, shape, False, False)

    def watch(self, owner: Any, *names: str) -> None:
        """The program is only right as long as these attributes are the same objects."""
        self.watched += [(owner, name) for name in names]

    def watch_list(self, layers: list[Any]) -> None:
        """The program is only right as long as the list holds the same layers."""
        self.lists.append(layers)

    def mask(self, module: Any) -> int:
        """The number of the stream of masks of a layer with `key` and `step`."""
        if any(module is known for known in self.masks):
            raise Unsuited  # used twice: each forward has a mask of its own
        self.masks.append(module)
        return len(self.masks) - 1

    # Instructions and memory

    def _emit(
        self, name: str, *operands: Operand, numbers: tuple[int, ...] = (), scalars: tuple[float, ...] = ()
    ) -> None:
        """Append an instruction; the team meets before it if it reads what others may still be writing.

        Members work on the same rows in every instruction that is split by rows, so those need not wait.
        """
        split = backend.ops.INSTRUCTIONS[name][1]
        meet = bool(self._pending & WAITS["update" if name == "update" else split])
        if meet:
            self._pending.clear()
            self._free += self._held
            self._held.clear()
        adds = name in GRADIENTS and operands[-1] is not None
        self._pending.add("sums" if adds else split)
        self.code.append(Instruction(name, meet, operands, numbers, scalars))

    def _bytes(self, size: int) -> int:
        return size * self.dtype.itemsize

    def _take(self, size: int) -> Place:
        """Memory for `size` elements a row, until it is given back."""
        place = self._free.pop() if self._free else Place()
        place.per_row = max(place.per_row, self._bytes(size))
        self._made[id(place)] = len(self.code)
        return place

    def _give_back(self, place: Place) -> None:
        """One reader has read it; after the last one others may write there, a team once it has met.

        Members may lag behind within an instruction, and rows of another size begin at other places.
        """
        if place is INPUT:
            return
        left = self._readers.get(id(place), 1) - 1
        if left:
            self._readers[id(place)] = left
            return
        self._readers.pop(id(place), None)
        (self._held if self.training else self._free).append(place)

    def _share(self, place: Place, readers: int) -> None:
        """So many will read what one would have read: nobody writes there, and each gives it back."""
        if place is not INPUT and readers > 1:
            self._readers[id(place)] = self._readers.get(id(place), 1) + readers - 1

    def _over(self, place: Place, size: int) -> Place:
        """Where a gradient goes that takes the place of another: in its memory, if that has no other readers.

        The caller gives the other one back if they are not the same.
        """
        return self._take(size) if id(place) in self._readers else place

    def _result(
        self, input: Value, shape: tuple[int, ...], trained: bool = False, spare: bool = True, lanes: bool = False
    ) -> Value:
        """A new value that is computed from the input; in inference the input's memory is free afterwards."""
        if self.training:
            place = Place(self._bytes(_elements(shape, lanes)))
            return Value(place, shape, trained or input.trained, spare, lanes)
        place = self._take(_elements(shape, lanes))
        self._give_back(input.place)
        return Value(place, shape, False, True, lanes)

    def array(self, array: Any, shape: tuple[int, ...], written: bool = False) -> Array | None:
        """An array of the model, of the dtype of the input, contiguous in C order; None stays None."""
        if array is None:
            return None
        if not isinstance(array, np.ndarray) or array.shape != shape or not array.flags.c_contiguous:
            raise Unsuited
        return self._behaved(array, written)

    def _behaved(self, array: Array, written: bool) -> Array:
        flags = array.flags
        if type(array) is not np.ndarray or array.dtype != self.dtype or not flags.aligned:
            raise Unsuited
        if written and not flags.writeable:
            raise Unsuited
        return array

    # Parameters

    def _number(self, array: Array) -> int:
        assert self.numbers is not None
        try:
            return self.numbers[id(array)]
        except KeyError:
            raise Unsuited from None

    def _use(self, *arrays: Array | None) -> bool:
        """Count the use of parameters; whether there are any to train."""
        used = [array for array in arrays if array is not None]
        for array in used if self.training else []:
            self._number(array)
            self._uses[id(array)] = self._uses.get(id(array), 0) + 1
        return self.training and bool(used)

    def _sum_of(self, array: Array) -> tuple[Place | None, bool]:
        """Where a gradient is summed up, None where it is used at once; whether there is something to add to."""
        if self._uses[id(array)] == 1 and id(array) not in self._grads:
            return None, False
        known = id(array) in self._grads
        return self._grads.setdefault(id(array), Place(fixed=self._bytes(array.size))), known

    def _used(self, array: Array) -> None:
        """The gradient of one use is there; after the last one, the parameter is updated."""
        self._uses[id(array)] -= 1
        if self._uses[id(array)] == 0 and id(array) in self._grads:
            self._emit("update", self._grads[id(array)], numbers=(self._number(array), array.size))


def numbered(tape: Recorder, extra: list[Operand]) -> tuple[dict[int, int], list[Place], list[Array]]:
    """The number of each place and array in a program's table by id, the places of the arena, the arrays."""
    numbers = {id(place): number for number, place in enumerate((None, INPUT, TARGET, OUTPUT, WEIGHTS))}
    filled = len(numbers)
    places: list[Place] = []
    arrays: list[Array] = []
    operands = [operand for instruction in tape.code for operand in instruction.operands] + extra
    for operand in operands:
        if id(operand) not in numbers and isinstance(operand, Place):
            numbers[id(operand)] = filled + len(places)
            places.append(operand)
    for operand in operands:
        if id(operand) not in numbers and isinstance(operand, np.ndarray):
            numbers[id(operand)] = filled + len(places) + len(arrays)
            arrays.append(operand)
    return numbers, places, arrays

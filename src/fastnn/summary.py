"""What a model is made of: the table of `Module.summary` and the tree that notebooks show.

The shapes come from one forward of two rows of zeros through a copy of the model in evaluation mode, so layers of a
user's own have theirs too, and the model itself stays as it is.
"""

from __future__ import annotations

import copy
import numbers
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .checks import FLOATS
from .nn.module import Array, Module
from .random import generator

ROWS = 2  # of the batch: with one, batch normalisation without running statistics has nothing to divide by
Shape = tuple[int, ...]
Call = tuple[Any, Any]  # shapes of input and output in one forward, None where they are no arrays
HEADINGS = ("layer", "type", "output shape", "parameters", "MACs")


class LayerSummary(NamedTuple):
    """One line of a summary.

    Attributes
    ----------
    name : str
        The path as in `state_dict()`: "0", "2.1"; "" for the model itself.
    type : str
        The name of the class.
    output_shape : tuple of int or None
        With the rows, 2, in front; None if the model did not call the layer, or it returned no array.
    parameters : int
        Own ones, without those of children and of what a line above has counted.
    macs : int
        Multiply-adds for a row, without those of children.
    """

    name: str
    type: str
    output_shape: Shape | None
    parameters: int
    macs: int


class Summary:
    """What `Module.summary` returns: printed, it is a table.

    Attributes
    ----------
    layers : list of LayerSummary
        The model, then all below it, in the order of the tree.
    parameters : int
        Number of all parameters, each array once.
    macs : int
        Multiply-adds for one row of input.
    parameter_bytes : int
        Memory of the parameters. Gradients take as much again, and an optimiser as much for each of its states.
    dtypes : tuple of str
        Of the parameters, each once.
    input_shape : tuple of int
        Of a row.
    input_dtype : str
        Of the input that the shapes were found with.
    """

    def __init__(self, layers: list[LayerSummary], arrays: list[Array], input_shape: Shape, input_dtype: str) -> None:
        self.layers = layers
        self.parameters = sum(array.size for array in arrays)
        self.macs = sum(layer.macs for layer in layers)
        self.parameter_bytes = sum(array.nbytes for array in arrays)
        self.dtypes = tuple(dict.fromkeys(str(array.dtype) for array in arrays))
        self.input_shape, self.input_dtype = input_shape, input_dtype

    def __str__(self) -> str:
        rows = self._cells()
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        lines = [self._line(row, widths) for row in (HEADINGS, *rows)]
        rule = "-" * max(map(len, lines))
        return "\n".join([f"{self._title()}", rule, lines[0], rule, *lines[1:], rule, *self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        from html import escape

        def line(cells: Sequence[str], tag: str) -> str:
            sides = ["left", "left", "left", "right", "right"]
            parts = [
                f'<{tag} style="text-align:{side};white-space:pre">{escape(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            ]
            return f"<tr>{''.join(parts)}</tr>"

        body = "".join(line(row, "td") for row in self._cells())
        totals = "".join(f"<div>{escape(text)}</div>" for text in self._totals())
        head = f"<caption>{escape(self._title())}</caption><thead>{line(HEADINGS, 'th')}</thead>"
        return f"<div><table>{head}<tbody>{body}</tbody></table>{totals}</div>"

    def _title(self) -> str:
        return f"{self.layers[0].type} of rows {self.input_shape}, {self.input_dtype}"

    def _cells(self) -> list[tuple[str, ...]]:
        """The text of every line but the model's own, unless it is the only one or has something of its own."""
        first = self.layers[0]
        below = self.layers if len(self.layers) == 1 or first.parameters or first.macs else self.layers[1:]
        return [
            (
                "  " * max(layer.name.count("."), 0) + (layer.name or "(itself)"),
                layer.type,
                _shape_text(layer.output_shape),
                f"{layer.parameters:,}",
                f"{layer.macs:,}",
            )
            for layer in below
        ]

    @staticmethod
    def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    def _totals(self) -> list[str]:
        memory = f" ({', '.join(self.dtypes)}, {_bytes_text(self.parameter_bytes)})" if self.parameters else ""
        return [f"parameters: {self.parameters:,}{memory}", f"multiply-adds for a row: {self.macs:,}"]


def summarize(model: Module, input_shape: Any, dtype: Any = None) -> Summary:
    """What `Module.summary` returns; see there."""
    where = f"{type(model).__name__}.summary"
    sizes = row_shape(where, input_shape)
    if dtype is None:
        dtype = next((array.dtype for array in model.parameters() if array.dtype in FLOATS), np.float32)
    x = np.zeros((ROWS, *sizes), dtype)
    calls = _calls(where, model, x)
    places = list(_places(model))
    uses = Counter(id(module) for _, module in places)
    met: Counter[int] = Counter()
    layers: list[LayerSummary] = []
    arrays: dict[int, Array] = {}
    for number, (name, module) in enumerate(places):
        new = {id(array): array for array in _own_parameters(module) if id(array) not in arrays}
        arrays.update(new)
        here = calls[number] if uses[id(module)] == 1 else calls[number][met[id(module)] :][:1]
        met[id(module)] += 1
        macs = sum(module.macs(shape[1:]) for shape, _ in here if shape is not None)
        output = next((shape for _, shape in reversed(here)), None)
        layers.append(LayerSummary(name, type(module).__name__, output, sum(a.size for a in new.values()), macs))
    return Summary(layers, list(arrays.values()), sizes, str(x.dtype))


def row_shape(where: str, input_shape: Any, low: int = 0) -> Shape:
    """The shape of a row: a sequence of sizes from `low`, or one size."""
    sizes = (input_shape,) if isinstance(input_shape, numbers.Integral) else input_shape
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise TypeError(f"{where}: expected input_shape as the sizes of a row, got {type(input_shape).__name__}")
    for size in sizes:
        if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < low:
            raise ValueError(
                f"{where}: expected input_shape of sizes from {low}, without the rows, got {input_shape!r}"
            )
    return tuple(map(int, sizes))


def _places(model: Module) -> Iterator[tuple[str, Module]]:
    """Every place in the tree with its path; a module that is used twice has two."""
    stack = [("", model)]
    while stack:
        name, module = stack.pop()
        yield name, module
        children = [(f"{name}.{key}" if name else key, child) for key, child in module.named_children()]
        stack.extend(reversed(children))


def _own_parameters(module: Module) -> list[Array]:
    """The parameters of the module itself; those that a class of a user's own lists by a method of its own."""
    if type(module).parameters is not Module.parameters:
        return list(module.parameters())
    found = (getattr(module, name) for name in module.param_names)
    return [array for array in found if array is not None]


def _calls(where: str, model: Module, x: Array) -> list[list[Call]]:
    """For each place in the tree, the shapes of each forward of the module there."""
    try:
        twin = copy.deepcopy(model)
    except Exception as error:
        raise TypeError(f"{where}: expected a model that copy.deepcopy copies, got {error}") from error
    places = [module for _, module in _places(twin)]
    made: dict[int, list[Call]] = {id(module): [] for module in places}
    for module in {id(module): module for module in places}.values():
        vars(module)["forward"] = _recording(module.forward, made[id(module)])
    with _random_state_kept():
        twin.eval().forward(x)
    return [made[id(module)] for module in places]


def _recording(forward: Any, calls: list[Call]) -> Any:
    def recorded(input: Any, *arguments: Any, **options: Any) -> Any:
        output = forward(input, *arguments, **options)
        calls.append((getattr(input, "shape", None), getattr(output, "shape", None)))
        return output

    return recorded


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Give NumPy's global generator and the package's their states back: a user's layer may draw from them."""
    own, numpys = generator(None).bit_generator.state, np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        generator(None).bit_generator.state = own
        np.random.set_state(numpys)  # noqa: NPY002


def _shape_text(shape: Shape | None) -> str:
    """A shape with N for the rows of the batch."""
    if shape is None:
        return "-"
    sizes = ["N" if axis == 0 and size == ROWS else str(size) for axis, size in enumerate(shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _bytes_text(count: float) -> str:
    """A number of bytes with a unit: multiples of 1024."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def tree_html(model: Module) -> str:
    """The tree of a model for notebooks, with the numbers of parameters; containers open and close."""
    return f'<div style="font-family:monospace">{_branch_html("", model)}</div>'


def _branch_html(name: str, module: Module) -> str:
    from html import escape

    below = [(key, child) for key, child in module.named_children()]
    own = {id(array): array.size for _, place in _places(module) for array in _own_parameters(place)}
    count = f' <span style="opacity:0.6">{sum(own.values()):,} parameters</span>' if own else ""
    label = f'<span style="opacity:0.6">({escape(name)})</span> ' if name else ""
    text = f"{escape(type(module).__name__)}({escape(module.extra_repr())})"
    if not below:
        return f'<div style="margin-left:1.2em">{label}{text}{count}</div>'
    inner = "".join(_branch_html(key, child) for key, child in below)
    text = text.removesuffix("()")
    return f'<details open style="margin-left:1.2em"><summary>{label}{text}{count}</summary>{inner}</details>'

"""An ONNX graph while it grows: values with their shapes and dtypes, nodes, initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
FLOAT32 = np.dtype(np.float32)


class Value(NamedTuple):
    """A named array of the graph: its shape, in which None is the number of rows and -1 a multiple of it; its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class Graph:
    """Nodes and initializers in the order in which they are needed; `path` is where the layer at work stands.

    Parameters
    ----------
    onnx : module
        The package.
    opset : int
        The version of the operators.
    """

    def __init__(self, onnx: Any, opset: int) -> None:
        self._onnx = onnx
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.path = ""
        self._counts: dict[str, int] = {}
        self._values: dict[str, Value] = {}

    def op(self, kind: str, inputs: list[Value], like: Value | None = None, **attributes: Any) -> Value:
        """The output of a new node, of shape and dtype of `like`, or of the first input."""
        like = like or inputs[0]
        name = self._unique(f"{self.path}/{kind}" if self.path else kind)
        names = [value.name for value in inputs]
        self.nodes.append(self._onnx.helper.make_node(kind, names, [f"{name}_output"], name=name, **attributes))
        return like._replace(name=f"{name}_output")

    @property
    def names(self) -> set[str]:
        """The names of all values but the input."""
        return {*self._values, *(name for node in self.nodes for name in node.output)}

    def finish(self, start: Value, end: Value, name: str) -> Value:
        """The last value under the name of the graph's output."""
        if end.name == start.name:
            end = self.op("Identity", [end])
        self.nodes[-1].output[0] = name
        return end._replace(name=name)

    def parameter(self, name: str, array: Array, dtype: Any) -> Value:
        """An array of the layer at work, converted to a dtype; one that is there already under the name is used."""
        name = f"{self.path}.{name}" if self.path else name
        array = np.ascontiguousarray(array, dtype)
        there = self._values.get(name)
        if there and there[1:] != (array.shape, array.dtype):  # a layer that is used twice, on arrays of two kinds
            name = "_".join([name, str(array.dtype), *map(str, array.shape)])
        return self._initializer(name, array)

    def constant(self, number: Any, dtype: Any) -> Value:
        """A scalar, or a list of them, of a dtype."""
        array = np.array(number, dtype)
        return self._initializer("_".join(["constant", str(array.dtype), *map(repr, array.ravel().tolist())]), array)

    def _initializer(self, name: str, array: Array) -> Value:
        """The array under the name, stored once."""
        if name not in self._values:
            self._values[name] = Value(name, array.shape, array.dtype)
            self.initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return self._values[name]

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value in a dtype."""
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        return self.op("Cast", [value], value._replace(dtype=dtype), to=self.type_of(dtype))

    def type_of(self, dtype: Any) -> int:
        """ONNX's number for a dtype."""
        number: int = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return number

    def described(self, value: Value, sizes: Sequence[str | int | None]) -> Any:
        """What the file says of an input or output; names of sizes and None stand for those that are not known."""
        return self._onnx.helper.make_tensor_value_info(value.name, self.type_of(value.dtype), sizes)

    def _unique(self, name: str) -> str:
        """The name, with a number behind it from the second time on."""
        self._counts[name] = self._counts.get(name, 0) + 1
        return name if self._counts[name] == 1 else f"{name}_{self._counts[name]}"

    # Arithmetic with numbers, in the dtype of the value

    def add(self, value: Value, other: Value | float) -> Value:
        return self._binary("Add", value, other)

    def sub(self, value: Value, other: Value | float) -> Value:
        return self._binary("Sub", value, other)

    def mul(self, value: Value, other: Value | float) -> Value:
        return self._binary("Mul", value, other)

    def div(self, value: Value, other: Value | float) -> Value:
        return self._binary("Div", value, other)

    def minimum(self, value: Value, other: Value | float) -> Value:
        return self._binary("Min", value, other)

    def maximum(self, value: Value, other: Value | float) -> Value:
        return self._binary("Max", value, other)

    def where_above(self, value: Value, bound: float, above: Value, below: Value) -> Value:
        """`above` where the value is greater than the bound, `below` elsewhere."""
        test = self._binary("Greater", value, bound)._replace(dtype=np.dtype(bool))
        return self.op("Where", [test, above, below], above)

    def _binary(self, kind: str, value: Value, other: Value | float) -> Value:
        second = other if isinstance(other, Value) else self.constant(other, value.dtype)
        return self.op(kind, [value, second])

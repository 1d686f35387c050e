"""What every operation accepts, and the one line that it raises otherwise.

The native and the reference back end call the same functions, so both raise the same type with the same text.
Each function takes the display name of the caller first and returns its arrays ready to use: NumPy arrays of one
common floating dtype (float32 or float64, by NumPy promotion). `TypeError` is for types, `ValueError` for shapes and
values, `IndexError` for class labels out of range.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = list[Any]  # of ndarray, or None where an optional one is absent
Pair = tuple[int, int]  # down and across
MAX_SIZE = 2**31 - 1

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def real(where: str, name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array of floats up to float64, integers or booleans; lists are accepted as NumPy would."""
    try:
        array = np.asarray(array)
    except ValueError:
        raise ValueError(f"{where}: expected {name} as an array, got rows of unequal length") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{where}: expected {name} of real numbers, got dtype {array.dtype}")
    return array


def floating(where: str, name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array of float32 or float64."""
    return floatings(where, **{name: array})[0]


def floatings(where: str, optional: tuple[str, ...] = (), **arrays: Any) -> Arrays:
    """Every named array as floats of their common dtype, by NumPy promotion: float32, or float64 (integers alone too).

    Those named in `optional` may be None, and stay so.
    """
    checked = [None if a is None and name in optional else real(where, name, a) for name, a in arrays.items()]
    dtype = np.result_type(*(a.dtype for a in checked if a is not None))
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    dtype = np.promote_types(dtype, np.float32)
    return [None if a is None else a.astype(dtype, copy=False) for a in checked]


def shape(where: str, name: str, array: np.ndarray, expected: tuple[int | str, ...]) -> None:
    """Raise unless `array` has the expected shape, in which a letter stands for any size."""
    if array.ndim != len(expected) or any(
        isinstance(size, int) and size != got for size, got in zip(expected, array.shape, strict=True)
    ):
        text = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"{where}: expected {name} of shape ({text}), got {array.shape}")


def same_shape(where: str, name: str, array: np.ndarray, like: np.ndarray) -> None:
    """Raise unless `array` has the shape of `like`."""
    shape(where, name, array, like.shape)


def elementwise(where: str, **arrays: Any) -> Arrays:
    """Arrays of one shape, that of the first."""
    checked = floatings(where, **arrays)
    for name, array in zip(list(arrays)[1:], checked[1:], strict=True):
        same_shape(where, name, array, checked[0])
    return checked


def rows(where: str, **arrays: Any) -> Arrays:
    """Arrays of one shape with at least one axis; the last axis holds the columns of a row."""
    checked = elementwise(where, **arrays)
    if checked[0].ndim == 0:
        raise ValueError(f"{where}: expected {next(iter(arrays))} with at least one axis, got shape ()")
    return checked


def linear(where: str, **given: Any) -> Arrays:
    """weight (out, in), input (N, in), bias (out,) or None, grad_output (N, out), in this order.

    The weight must be given; what is not stays None.
    """
    arrays = dict(zip(given, floatings(where, ("bias",), **given), strict=True))
    weight: Any = arrays["weight"]
    input, bias, grad_output = (arrays.get(name) for name in ("input", "bias", "grad_output"))
    shape(where, "weight", weight, ("out_features", "in_features"))
    n_out, n_in = weight.shape
    if input is not None:
        shape(where, "input", input, ("N", n_in))
    if bias is not None:
        shape(where, "bias", bias, (n_out,))
    if grad_output is not None:
        shape(where, "grad_output", grad_output, ("N" if input is None else len(input), n_out))
    return [weight, input, bias, grad_output]


def linear_gradients(where: str, input: Any, grad_output: Any) -> Arrays:
    """input (N, in) and grad_output (N, out)."""
    input, grad_output = floatings(where, input=input, grad_output=grad_output)
    shape(where, "input", input, ("N", "in_features"))
    shape(where, "grad_output", grad_output, (len(input), "out_features"))
    return [input, grad_output]


def mask(where: str, mask: Any, input: np.ndarray) -> np.ndarray:
    """Integers or booleans like the input, as int64."""
    mask = real(where, "mask", mask)
    if mask.dtype.kind == "f":
        raise TypeError(f"{where}: expected a mask of integers or booleans, got {mask.dtype}")
    same_shape(where, "mask", mask, input)
    return mask.astype(np.int64, copy=False)


def channels(where: str, input: Any, **given: Any) -> Arrays:
    """input (N, C) or (N, C, L), grad_output like it, vectors (C,) of which weight and bias may be None.

    They come back in the order of the call. C is the length of the first vector that is given, else the input's own.
    """
    input, *checked = floatings(where, ("weight", "bias"), input=input, **given)
    arrays = {name: array for name, array in zip(given, checked, strict=True) if array is not None}
    vector = next((array for name, array in arrays.items() if name != "grad_output"), None)
    size: int | str = "C" if vector is None or vector.ndim != 1 else len(vector)
    if input.ndim not in (2, 3) or (isinstance(size, int) and input.shape[1] != size):
        raise ValueError(f"{where}: expected input of shape (N, {size}) or (N, {size}, L), got {input.shape}")
    for name, array in arrays.items():
        shape(where, name, array, input.shape if name == "grad_output" else (input.shape[1],))
    return [input, *checked]


def pair(where: str, name: str, numbers: Any, low: int) -> None:
    """Raise unless `numbers` is two integers of at least `low`."""
    if not isinstance(numbers, tuple) or len(numbers) != 2 or not all(type(n) is int for n in numbers):
        raise TypeError(f"{where}: expected {name} as a tuple of two integers, got {type(numbers).__name__}")
    if not all(low <= n <= MAX_SIZE for n in numbers):
        raise ValueError(f"{where}: expected {name} of integers from {low} to {MAX_SIZE}, got {numbers}")


def window_counts(where: str, size: Any, kernel: Pair, stride: Pair, padding: Any, dilation: Pair = (1, 1)) -> Pair:
    """How many windows fit into a padded image of `size`, down and across: at least one of each.

    padding is ((top, bottom), (left, right)).
    """
    for name, numbers in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        pair(where, name, numbers, 1)
    if not isinstance(padding, tuple) or len(padding) != 2:
        raise TypeError(f"{where}: expected padding as ((top, bottom), (left, right)), got {type(padding).__name__}")
    for ends in padding:
        pair(where, "padding", ends, 0)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    rooms = [n + sum(ends) - span for n, ends, span in zip(size, padding, spans, strict=True)]
    if min(*rooms, size[0] - 1, size[1] - 1) < 0:
        least = " x ".join(str(max(span - sum(ends), 1)) for span, ends in zip(spans, padding, strict=True))
        raise ValueError(f"{where}: expected input of height x width from {least}, got {size[0]} x {size[1]}")
    return rooms[0] // stride[0] + 1, rooms[1] // stride[1] + 1


def even_windows(where: str, size: Pair, out_size: Pair) -> None:
    """Raise unless an image of `size` and windows that cover it evenly are both of at least one pixel."""
    pair(where, "out_size", out_size, 1)
    pair(where, "size", size, 1)


def conv(
    where: str, size: Pair | None, stride: Pair, padding: Any, dilation: Pair, groups: int, **given: Any
) -> Arrays:
    """weight (out, in / groups, kh, kw), input (N, in, H, W), bias (out,) or None, grad_output, in this order.

    The weight must be given, and either the input or the `size` (H, W) of one, whose bias is then (in,); what is not
    stays None.
    """
    arrays = dict(zip(given, floatings(where, ("bias",), **given), strict=True))
    weight: Any = arrays["weight"]
    input, bias, grad_output = (arrays.get(name) for name in ("input", "bias", "grad_output"))
    shape(where, "weight", weight, ("out_channels", "in_channels / groups", "height", "width"))
    n_out, n_in = weight.shape[:2]
    if type(groups) is not int or groups < 1 or n_out % groups:
        raise ValueError(f"{where}: expected groups that divide the {n_out} channels of the output, got {groups!r}")
    if input is not None:
        shape(where, "input", input, ("N", n_in * groups, "H", "W"))
        size = input.shape[2:]
    elif size is not None:
        pair(where, "size", size, 0)
    if bias is not None:
        shape(where, "bias", bias, (n_out if input is not None else n_in * groups,))
    counts = window_counts(where, size or (0, 0), weight.shape[2:], stride, padding, dilation)
    if grad_output is not None:
        shape(where, "grad_output", grad_output, ("N" if input is None else len(input), n_out, *counts))
    return [weight, input, bias, grad_output]


def images(where: str, **arrays: Any) -> Arrays:
    """Arrays (N, C, H, W), each of any size."""
    checked = floatings(where, **arrays)
    for name, array in zip(arrays, checked, strict=True):
        shape(where, name, array, ("N", "C", "H", "W"))
    return checked


def feature_rows(where: str, input: Any, **given: Any) -> Arrays:
    """input (rows, cols), grad_output like it, vectors (cols,) of which any may be None, in the order of the call."""
    input, *checked = floatings(where, ("weight", "bias"), input=input, **given)
    shape(where, "input", input, ("rows", "cols"))
    for name, array in zip(given, checked, strict=True):
        if array is not None:
            shape(where, name, array, input.shape if name == "grad_output" else (input.shape[1],))
    return [input, *checked]


def groups_of_channels(where: str, groups: int, input: Any, **given: Any) -> Arrays:
    """input (N, C, L), grad_output like it, vectors (C,) that may be None; `groups` divides C."""
    input, *checked = floatings(where, ("weight", "bias"), input=input, **given)
    shape(where, "input", input, ("N", "C", "L"))
    if type(groups) is not int or groups < 1 or input.shape[1] % groups:
        raise ValueError(f"{where}: expected groups that divide the {input.shape[1]} channels, got {groups!r}")
    for name, array in zip(given, checked, strict=True):
        if array is not None:
            shape(where, name, array, input.shape if name == "grad_output" else (input.shape[1],))
    return [input, *checked]


def indices(where: str, index: Any, count: int) -> np.ndarray:
    """Integers of any shape in [0, count), as contiguous int64."""
    index = real(where, "input", index)
    if index.size == 0 and index.dtype.kind == "f":
        index = index.astype(np.int64)  # the dtype of an empty list says nothing
    if index.dtype.kind not in "iu":
        raise TypeError(f"{where}: expected input of integers, got dtype {index.dtype}")
    bad = (index < 0) | (index >= count)
    if bad.any():
        raise IndexError(f"{where}: expected input in [0, {count}), got {index[bad][0]}")
    return np.ascontiguousarray(index, np.int64).reshape(index.shape)


def classes(where: str, input: Any, target: Any, weight: Any = None, ignore_index: int = -100) -> Arrays:
    """Scores (N, C) with integer labels (N,) or with rows (N, C), and optional class weights (C,).

    Returns input, labels or None, rows or None, weight or None; exactly one of labels and rows is given.
    """
    input, weight = floatings(where, ("weight",), input=input, weight=weight)
    shape(where, "input", input, ("N", "C"))
    if weight is not None:
        shape(where, "weight", weight, (input.shape[1],))
    target = np.asarray(target)
    if target.ndim == 2:
        return [input, None, class_rows(where, target, input), weight]
    return [input, class_labels(where, target, input, ignore_index), None, weight]


def class_labels(where: str, target: np.ndarray, input: np.ndarray, ignore_index: int) -> np.ndarray:
    """Integer labels (N,) as contiguous int64, each in [0, C) or equal to `ignore_index`."""
    if target.size == 0 and target.dtype.kind == "f":
        target = target.astype(np.int64)  # the dtype of an empty list says nothing
    if target.dtype.kind not in "iu":
        raise TypeError(f"{where}: expected target of integer class labels or of one-hot rows, got {target.dtype}")
    shape(where, "target", target, (len(input),))
    bad = ((target < 0) | (target >= input.shape[1])) & (target != ignore_index)
    if bad.any():
        row = int(bad.argmax())
        raise IndexError(f"{where}: expected class labels in [0, {input.shape[1]}), got {target[row]} at row {row}")
    return np.ascontiguousarray(target, np.int64)


def class_rows(where: str, target: np.ndarray, input: np.ndarray) -> np.ndarray:
    """One-hot or probability rows (N, C) of any real dtype, as floats of the dtype of `input`."""
    if target.dtype.kind not in "biuf":
        raise TypeError(f"{where}: expected target rows of a real dtype, got {target.dtype}")
    same_shape(where, "target", target, input)
    return target.astype(input.dtype, copy=False)


def row_weights(where: str, weights: Any, rows: int) -> Any:
    """Weights of the rows (N,) as contiguous float64; None stays None."""
    if weights is None:
        return None
    weights = real(where, "sample_weight", weights)
    shape(where, "sample_weight", weights, (rows,))
    return np.ascontiguousarray(weights, np.float64)


def updated(where: str, name: str, array: Any) -> np.ndarray:
    """An array that is to be written in place: floating, writeable, not a copy."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{where}: expected {name} as a NumPy array, got {type(array).__name__}")
    if array.dtype not in FLOATS or not array.dtype.isnative:
        raise TypeError(f"{where}: expected {name} of dtype float32 or float64, got {array.dtype}")
    if not array.flags.writeable:
        raise ValueError(f"{where}: expected a writeable {name}, got a read-only array")
    return array


def update(where: str, param: Any, grad: Any, optional: tuple[str, ...] = (), **states: Any) -> Arrays:
    """param and its states are written in place, so none may be a copy; grad is cast to the dtype of param.

    States named in `optional` may be None.
    """
    param = updated(where, "parameter", param)
    grad = real(where, "gradient", grad)
    if grad.dtype.kind != "f":
        raise TypeError(f"{where}: expected gradient of dtype float32 or float64, got {grad.dtype}")
    grad = grad.astype(param.dtype, copy=False)
    same_shape(where, "gradient", grad, param)
    for name, state in states.items():
        if state is None and name in optional:
            continue
        same_shape(where, name, updated(where, name, state), param)
        if state.dtype != param.dtype:
            raise TypeError(f"{where}: expected {name} of dtype {param.dtype}, got {state.dtype}")
    return [param, grad, *states.values()]


def keeping(where: str, keep: float) -> None:
    """A probability in [0, 1]."""
    if not 0 <= keep <= 1:
        raise ValueError(f"{where}: expected keep in [0, 1], got {keep}")


def probability(where: str, p: float) -> float:
    """p in [0, 1)."""
    if isinstance(p, (bool, str, bytes)) or not isinstance(p, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where}: expected p as a number, got {type(p).__name__}")
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{where}: expected p in [0, 1), got {p}")
    return float(p)

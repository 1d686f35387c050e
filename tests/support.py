"""What several test files share: variants of the native back end, layouts of arrays, one way to call, comparisons."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from fastnn import backend

ISAS = ("base", "avx2", "avx512")
VECTOR_BYTES = {"base": 16, "avx2": 32, "avx512": 64}
DTYPES = (np.float32, np.float64)


def why_not(isa):
    """The reason why the native kernels of an instruction set cannot run here, or None."""
    if backend._core is None:
        return f"the native back end is not available: {backend.native_error}"
    if isa not in backend._core.isa_names():
        return f"{isa} is not compiled in"
    return None if isa in backend.available_isas() else f"this CPU lacks {isa}"


needs_native = pytest.mark.skipif(
    backend._core is None, reason=f"the native back end is not available: {backend.native_error}"
)


def lanes(isa, dtype):
    """Elements in a vector register."""
    return VECTOR_BYTES[isa] // np.dtype(dtype).itemsize


# ---------------------------------------------------------------------------------------------------------------
# Layouts: each gives the values of an array in memory of its own, laid out otherwise. Gaps hold NaN: who reads or
# writes them is found out.
# ---------------------------------------------------------------------------------------------------------------


def _gaps(array, shape):
    return np.full(shape, np.nan if array.dtype.kind == "f" else -(2**15), array.dtype)


def _strided(array):
    if array.ndim == 0:
        return _window(array)
    wide = _gaps(array, (*array.shape[:-1], 2 * array.shape[-1]))
    wide[..., ::2] = array
    return wide[..., ::2]


def _reversed(array):
    flip = (..., *(slice(None, None, -1),) * array.ndim)
    return np.array(array[flip], order="C")[flip]


def _window(array):
    wide = _gaps(array, tuple(size + 2 for size in array.shape))
    inner = wide[(..., *(slice(1, -1),) * array.ndim)]
    inner[...] = array
    return inner


def _unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    moved = memory.view(array.dtype) if array.nbytes else np.empty(0, array.dtype)
    moved = moved.reshape(array.shape)
    moved[...] = array
    return moved


class Subclass(np.ndarray):
    """A subclass of the array type, which must be treated as the array that it is."""


LAYOUTS = {
    "contiguous": lambda array: np.array(array, order="C"),
    "fortran": lambda array: np.array(array, order="F"),
    "strided": _strided,
    "reversed": _reversed,
    "window": _window,
    "unaligned": _unaligned,
    "subclass": lambda array: np.array(array).view(Subclass),
}


def read_only(array):
    """A copy that nobody may write."""
    array = np.array(array)
    array.flags.writeable = False
    return array


# ---------------------------------------------------------------------------------------------------------------
# Calling an operation and comparing what it gives
# ---------------------------------------------------------------------------------------------------------------


def is_float_array(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def converted(arguments, dtype):
    """The same arguments with every floating array in `dtype`; values and layouts stay."""
    return {name: value.astype(dtype) if is_float_array(value) else value for name, value in arguments.items()}


def outputs_of(result, arguments, inplace):
    """The outputs of a call in one list: what it returned, then the arrays that it wrote in place."""
    returned = [] if result is None else list(result) if isinstance(result, tuple) else [result]
    return returned + [arguments[name] for name in inplace if arguments[name] is not None]


def run(function, arguments, inplace=(), layout=np.copy):
    """Call the function with laid out copies of the arrays; returns the list of its outputs.

    Asserts on the way that no input is changed and that no output shares memory with an input.
    """
    given = {name: layout(value) if isinstance(value, np.ndarray) else copy.deepcopy(value)
             for name, value in arguments.items()}  # fmt: skip
    result = function(**given)
    outputs = outputs_of(result, given, inplace)
    for name, array in given.items():
        if isinstance(array, np.ndarray) and name not in inplace:
            assert same_bits(array, arguments[name]), f"{name} was changed"
            assert not any(np.may_share_memory(array, output) for output in outputs if isinstance(output, np.ndarray))
    if inplace:
        assert result is None, "an operation that works in place returns nothing"
    return outputs


def same_bits(a, b):
    """Whether two arrays hold the same bytes in C order."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array(a).tobytes() == np.array(b).tobytes()


def assert_same_bits(got, expected, what=""):
    """All outputs are equal bit for bit."""
    assert len(got) == len(expected)
    for number, (a, b) in enumerate(zip(got, expected, strict=True)):
        a, b = np.asarray(a), np.asarray(b)
        assert same_bits(a, b), f"{what} output {number}: {np.flatnonzero((a != b).ravel())[:8]} differ"


def assert_within(got, expected, bounds, what=""):
    """|got - expected| <= bound in every element of every output; NaN and infinity in the same places."""
    assert len(got) == len(expected) == len(bounds), what
    for number, (a, b, bound) in enumerate(zip(got, expected, bounds, strict=True)):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        where = f"{what} output {number}"
        assert a.shape == b.shape, f"{where}: shape {a.shape}, expected {b.shape}"
        finite = np.isfinite(b)
        np.testing.assert_array_equal(np.where(finite, 0, b), np.where(np.isfinite(a), 0, a), err_msg=where)
        error = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
        bad = ~(error <= np.where(finite, bound, np.inf))
        assert not bad.any(), (
            f"{where}: {bad.sum()} of {bad.size} elements beyond the bound, first at {np.argwhere(bad)[0]}: "
            f"got {a[bad][0]!r}, expected {b[bad][0]!r}, error {error[bad][0]:.3g}, "
            f"bound {np.broadcast_to(bound, bad.shape)[bad][0]:.3g}"
        )


def outcome(function, *args, **kwargs):
    """What a call comes to: ("returned", value) or ("raised", type, text)."""
    try:
        return "returned", function(*args, **kwargs)
    except Exception as error:
        return "raised", type(error), str(error)


class Arrays:
    """The least that an optimiser takes for a model: lists of parameters and of their gradients."""

    def __init__(self, params, grads):
        self.params, self.grads = list(params), list(grads)

    def parameters(self):
        return self.params

    def grad_parameters(self):
        return self.grads


def model_of(dtype=np.float64, layout=np.array, seed=0):
    """A model of four parameters of 2, 1, 3 and 0 axes, its gradients zero."""
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal(shape).astype(dtype) for shape in ((5, 19), (19,), (2, 3, 4), ())]
    return Arrays([layout(array) for array in made], [layout(np.zeros_like(array)) for array in made])


def assert_slopes(grad, function, array, what=""):
    """`grad` is d function() / d array, by central differences in float64; the array is changed in place meanwhile."""
    eps, found = 1e-6, np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept, values = array[index], []
        for step in (eps, -eps):
            array[index] = kept + step
            values.append(function())
        array[index] = kept
        found[index] = (values[0] - values[1]) / (2 * eps)
    np.testing.assert_allclose(grad, found, rtol=1e-5, atol=1e-8, err_msg=what)  # differences are exact to about 1e-9

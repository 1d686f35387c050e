"""Bad calls: both back ends raise the same type with the same line, change nothing and never crash; bad arguments."""

import numpy as np
import pytest
from cases import OPERATIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import assert_same_bits, needs_native, outcome, outputs_of

from fastnn import backend, nn, reference

operations = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


def locked(array):
    array = array.copy()
    array.flags.writeable = False
    return array


WITHOUT_ARRAYS = ("dropout_bits", "bernoulli_mask")
SPOILT = {  # name: what becomes of an array argument
    "None": lambda a: None,
    "text": lambda a: "garbage",
    "a number": lambda a: 3,
    "a dict": lambda a: {"a": 1},
    "an object": lambda a: object(),
    "no axes": lambda a: a.reshape(-1)[0] if a.size else a,
    "one axis more": lambda a: a[None],
    "one axis less": lambda a: a[0],
    "ten axes": lambda a: a.reshape((1,) * (10 - a.ndim) + a.shape),
    "sixty axes": lambda a: a.reshape((1,) * (60 - a.ndim) + a.shape),
    "a row more": lambda a: np.concatenate([a, a[:1]]),
    "a row less": lambda a: a[:-1],
    "a column more": lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    "no rows": lambda a: a[:0],
    "reversed axes": lambda a: a.T,
    "a list": lambda a: a.tolist(),
    "read-only": locked,
    "complex": lambda a: a.astype(complex),
    "float16": lambda a: a.astype(np.float16),
    "longdouble": lambda a: a.astype(np.longdouble),
    "int32": lambda a: a.astype(np.int32),
    "uint8": lambda a: np.abs(a).astype(np.uint8),
    "bool": lambda a: a.astype(bool),
    "object": lambda a: a.astype(object),
    "strings": lambda a: a.astype("U8"),
    "dates": lambda a: a.astype("m8[s]"),
    "structured": lambda a: np.zeros(a.shape, [("x", np.float32), ("y", np.int8)]),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "integers out of range": lambda a: np.full(a.shape, 10**6),
    "integers below range": lambda a: np.full(a.shape, -1),
    "unsigned beyond int64": lambda a: np.full(a.shape, 2**64 - 1, np.uint64),
}


def call(function, operation, arguments):
    """The outcome of a call with copies, its outputs listed; arrays written in place stay as they were if it raises."""
    given = {n: v.copy() if n in operation.inplace and isinstance(v, np.ndarray) and v.flags.writeable else v
             for n, v in arguments.items()}  # fmt: skip
    with np.errstate(all="ignore"):
        result = outcome(function, **given)
    if result[0] == "returned":
        return "returned", outputs_of(result[1], given, operation.inplace)
    for name in operation.inplace:
        if isinstance(given[name], np.ndarray):
            assert given[name].tobytes() == arguments[name].tobytes(), f"{name} was changed by a call that raised"
    return result


def largest(arguments):
    """The largest product of elements, one of each array: what a term of a sum can be."""
    arrays = [np.asarray(a, float) for a in arguments.values() if isinstance(a, np.ndarray) and a.dtype.kind in "fiub"]
    return np.prod([np.max(np.abs(a), initial=1, where=np.isfinite(a)) for a in arrays])


def assert_alike(native, expected, what, term):
    """Both raised the same line, or both returned nearly the same, as far as sums of such terms can be."""
    if "raised" in (native[0], expected[0]):
        assert native == expected, what
        assert "\n" not in expected[2], what
        return
    for a, b in zip(native[1], expected[1], strict=True):
        assert np.shape(a) == np.shape(b), what
        np.testing.assert_allclose(
            np.asarray(a, float), np.asarray(b, float), rtol=1e-3, atol=1e-4 + 1e-14 * term, err_msg=what
        )


@needs_native
@operations
def test_spoilt_arrays_come_to_the_same_in_both_back_ends(core, operation):
    made = operation.make(np.random.default_rng(0), np.float32, 4, 6)
    raised = 0
    for name in (name for name, value in made.items() if isinstance(value, np.ndarray)):
        for how, spoil in SPOILT.items():
            arguments = {**made, name: spoil(made[name])}
            expected = call(getattr(reference, operation.name), operation, arguments)
            native = call(getattr(core, operation.name), operation, arguments)
            assert_alike(native, expected, f"{operation.id}: {name}: {how}", largest(arguments))
            raised += expected[0] == "raised"
    assert raised >= 10 or operation.name in WITHOUT_ARRAYS


X, W, B = np.zeros((4, 3), np.float32), np.zeros((2, 3), np.float32), np.zeros(2, np.float32)
LABELS = np.zeros(4, np.int64)
LINES = [  # a bad call, and the line that it raises
    ("linear_forward", (X.T, W, B), ValueError, "Linear: expected input of shape (N, 3), got (3, 4)"),
    ("linear_forward", (X, W, B[:1]), ValueError, "Linear: expected bias of shape (2,), got (1,)"),
    ("linear_forward", (X, W[0], B), ValueError,
     "Linear: expected weight of shape (out_features, in_features), got (3,)"),
    ("linear_forward", (X.astype(complex), W, B), TypeError,
     "Linear: expected input of real numbers, got dtype complex128"),
    ("sgd_update", (X.copy(), X.astype(int), None, 0.1, 0.0, 0.0, 0.0, False, False), TypeError,
     "SGD: expected gradient of dtype float32 or float64, got int64"),
    ("linear_backward_input", (X, W), ValueError, "Linear: expected grad_output of shape (N, 2), got (4, 3)"),
    ("linear_backward_params", (X, X[:3, :2], W, B), ValueError,
     "Linear: expected grad_output of shape (4, 2), got (3, 2)"),
    ("linear_backward_params", (X, X[:, :2], locked(W), B), ValueError,
     "Linear: expected a writeable grad_weight, got a read-only array"),
    ("linear_backward_params", (X, X[:, :2], W.tolist(), B), TypeError,
     "Linear: expected grad_weight as a NumPy array, got list"),
    ("unary_backward", ("ReLU", X, X.T), ValueError, "ReLU: expected grad_output of shape (4, 3), got (3, 4)"),
    ("softmax_forward", (np.float32(1),), ValueError, "Softmax: expected input with at least one axis, got shape ()"),
    ("batch_norm_forward", (X, B, None, 0.1), ValueError,
     "BatchNorm1d: expected input of shape (N, 2) or (N, 2, L), got (4, 3)"),
    ("dropout", (X, 1.0, 0, 0), ValueError, "Dropout: expected p in [0, 1), got 1.0"),
    ("nll_forward", (X, LABELS + 3), IndexError, "NLLLoss: expected class labels in [0, 3), got 3 at row 0"),
    ("nll_forward", (X, LABELS[:3]), ValueError, "NLLLoss: expected target of shape (4,), got (3,)"),
    ("cross_entropy_backward", (X, LABELS - 7, 1.0), IndexError,
     "CrossEntropyLoss: expected class labels in [0, 3), got -7 at row 0"),
    ("cross_entropy_forward", (X, LABELS.astype(float)), TypeError,
     "CrossEntropyLoss: expected target of integer class labels or of one-hot rows, got float64"),
    ("cross_entropy_forward", (X, X[:, :2]), ValueError,
     "CrossEntropyLoss: expected target of shape (4, 3), got (4, 2)"),
    ("sgd_update", (locked(X), X, None, 0.1, 0.0, 0.0, 0.0, False, False), ValueError,
     "SGD: expected a writeable parameter, got a read-only array"),
    ("adagrad_update", (X.copy(), X, X.astype(float), 0.1, 0.0, 0.0), TypeError,
     "Adagrad: expected square_sum of dtype float32, got float64"),
    ("clip_", ([1.0], 0.0, 1.0), TypeError, "clip_: expected array as a NumPy array, got list"),
]  # fmt: skip


@needs_native
@pytest.mark.parametrize("name,arguments,kind,line", LINES, ids=[f"{line[0]}-{i}" for i, line in enumerate(LINES)])
def test_bad_calls_raise_one_line_that_says_what_was_expected(core, name, arguments, kind, line):
    for module in (reference, core):
        assert outcome(getattr(module, name), *arguments) == ("raised", kind, line), module.__name__


# ---------------------------------------------------------------------------------------------------------------
# Whatever comes: no crash, and nothing changed by a call that raises
# ---------------------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(width=64), st.complex_numbers(),
    st.text(max_size=3), st.binary(max_size=3), st.just([]), st.just(()), st.just({}), st.just(np.float32(0.5)),
    st.just(np.int64(3)),
    st.just(float), st.just(np.zeros(3)), st.just(...),
)  # fmt: skip
shapes = st.one_of(st.lists(st.integers(0, 7), max_size=4), st.lists(st.just(1), min_size=20, max_size=60))
arrays = st.builds(
    lambda shape, dtype, order, value: np.full(shape, value).astype(dtype, order=order),
    shapes, st.sampled_from(["f4", "f8", ">f4", "f2", "i8", "u1", "?", "c8", "O", "U4", "m8[s]", "g"]),
    st.sampled_from("CF"), st.sampled_from([0, 1, -1, 3, 100]),
)  # fmt: skip
spoilt = st.sampled_from(sorted(SPOILT))


@needs_native
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
@given(data=st.data(), operation=st.sampled_from(OPERATIONS), rows=st.integers(1, 6), cols=st.integers(2, 20),
       dtype=st.sampled_from([np.float32, np.float64]))  # fmt: skip
def test_garbage_never_crashes(data, operation, rows, cols, dtype):
    """Some arguments are replaced by anything at all; a crash would end the run."""
    arguments = operation.make(np.random.default_rng(0), dtype, rows, cols)
    replaced = data.draw(st.sets(st.sampled_from(sorted(arguments)), min_size=1), "replaced")
    for name in sorted(replaced):
        value = arguments[name]
        if name == "size":
            arguments[name] = data.draw(scalars.filter(lambda s: not isinstance(s, int) or s < 10**6), name)
        elif isinstance(value, np.ndarray) and data.draw(st.booleans()):
            arguments[name] = SPOILT[data.draw(spoilt, name)](value)
        else:
            arguments[name] = data.draw(st.one_of(scalars, arrays), name)
    native = call(getattr(backend._core, operation.name), operation, arguments)
    with np.errstate(all="ignore"):
        again = call(getattr(backend._core, operation.name), operation, arguments)
    assert native[0] == again[0]
    if native[0] == "returned":
        assert_same_bits(native[1], again[1], operation.id)


@needs_native
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
@given(data=st.data(), operation=st.sampled_from([o for o in OPERATIONS if o.name not in WITHOUT_ARRAYS]))
def test_garbage_in_place_of_arrays_comes_to_the_same(data, operation):
    arguments = operation.make(np.random.default_rng(0), np.float32, 3, 5)
    names = [name for name, value in arguments.items() if isinstance(value, np.ndarray)]
    for name in sorted(data.draw(st.sets(st.sampled_from(names), min_size=1), "replaced")):
        arguments[name] = data.draw(
            st.one_of(arrays, st.none(), st.text(max_size=3), st.just([[1.0], [2.0, 3.0]])), name
        )
    expected = call(getattr(reference, operation.name), operation, arguments)
    native = call(getattr(backend._core, operation.name), operation, arguments)
    assert_alike(native, expected, operation.id, largest(arguments))


# ---------------------------------------------------------------------------------------------------------------
# Arguments of constructors
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call,kind,line", [
    ("Linear(0, 3)", ValueError, "Linear: expected in_features >= 1, got 0"),
    ("Linear(3, 2.0)", TypeError, "Linear: expected out_features as an integer, got 2.0"),
    ("Linear(3, True)", TypeError, "Linear: expected out_features as an integer, got True"),
    ("Linear(3, 2, bias=1)", TypeError, "Linear: expected bias as True or False, got 1"),
    ("Linear(3, 2, dtype='int8')", TypeError, "Linear: expected dtype float32 or float64, got 'int8'"),
    ("LeakyReLU('a')", TypeError, "LeakyReLU: expected negative_slope as a real number, got 'a'"),
    ("ELU(float('nan'))", ValueError, "ELU: expected a finite alpha, got nan"),
    ("Softplus(beta=0)", ValueError, "Softplus: expected beta > 0, got 0"),
    ("GELU('erf')", ValueError, "GELU: expected approximate 'none' or 'tanh', got 'erf'"),
    ("Hardtanh(1, -1)", ValueError, "Hardtanh: expected min_val < max_val, got 1 and -1"),
    ("Softmax('a')", TypeError, "Softmax: expected dim as an integer, got 'a'"),
    ("BatchNorm1d(3, momentum=2)", ValueError, "BatchNorm1d: expected momentum >= 0 and <= 1, got 2"),
    ("Dropout(1.0)", ValueError, "Dropout: expected p in [0, 1), got 1.0"),
    ("Dropout(float('nan'))", ValueError, "Dropout: expected p in [0, 1), got nan"),
    ("MSELoss('none')", ValueError, "MSELoss: expected reduction 'mean' or 'sum' or 'batchmean', got 'none'"),
    ("HuberLoss(delta=0)", ValueError, "HuberLoss: expected delta > 0, got 0"),
    ("CrossEntropyLoss(label_smoothing=1.5)", ValueError,
     "CrossEntropyLoss: expected label_smoothing >= 0 and <= 1, got 1.5"),
    ("NLLLoss(weight=[[1.0]])", ValueError, "NLLLoss: expected weight of shape (C,), got (1, 1)"),
    ("NLLLoss(ignore_index=1.5)", TypeError, "NLLLoss: expected ignore_index as an integer, got 1.5"),
])  # fmt: skip
def test_constructors_check_their_arguments(call, kind, line):
    assert outcome(eval, call, {**vars(nn)}) == ("raised", kind, line)


def test_layers_say_what_input_they_expect():
    for layer, x, line in (
        (nn.BatchNorm1d(3), np.zeros((1, 3)),
         "BatchNorm1d: expected more than 1 value per channel when training, got input of shape (1, 3)"),
        (nn.BatchNorm1d(3), np.zeros((4, 2)), "BatchNorm1d: expected input of shape (N, 3) or (N, 3, L), got (4, 2)"),
        (nn.Flatten(), np.zeros(3), "Flatten: expected input with axes 1 to -1, got shape (3,)"),
        (nn.Unflatten(1, (2, 3)), np.zeros(3), "Unflatten: expected input with an axis 1, got shape (3,)"),
        (nn.Unflatten(1, (2, 3)), np.zeros((2, 12)),
         "Unflatten: expected input of which axis 1 makes (2, 3), got shape (2, 12)"),
        (nn.Unflatten(1, (-1, 5)), np.zeros((2, 12)),
         "Unflatten: expected input of which axis 1 makes (-1, 5), got shape (2, 12)"),
        (nn.Softmax(2), np.zeros((2, 2)), "Softmax: expected input with an axis 2, got (2, 2)"),
    ):  # fmt: skip
        assert outcome(layer.forward, x) == ("raised", ValueError, line)

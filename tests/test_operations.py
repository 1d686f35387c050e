"""Every operation of the registry, native against the reference: instruction sets, dtypes, layouts, threads."""

import copy
import inspect
import time

import numpy as np
import pytest
from cases import OPERATIONS
from support import (
    DTYPES,
    LAYOUTS,
    assert_same_bits,
    assert_within,
    converted,
    is_float_array,
    lanes,
    needs_native,
    outcome,
    outputs_of,
    read_only,
    run,
)

from fastnn import backend, reference

SETTINGS = {
    "cached_bytes", "empty_cache", "aligned",
    "unary_kind", "loss_kind", "panel_width",
    "blas", "gemm_provider", "has_openmp", "isa", "isa_available", "isa_names", "num_threads", "set_gemm_provider",
    "set_isa", "set_num_threads", "set_thread_limit",
}  # fmt: skip
REFERENCE_ONLY = {"philox4x32"}
ON_LISTS = {"sgd_updates", "adam_updates"}  # tests/test_updates_of_lists.py

operations = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def public_functions(module):
    found = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name for name, value in found.items() if callable(value) and not inspect.isclass(value)}


# ---------------------------------------------------------------------------------------------------------------
# Completeness
# ---------------------------------------------------------------------------------------------------------------


def test_every_operation_has_a_row():
    assert public_functions(reference) - REFERENCE_ONLY - ON_LISTS == {operation.name for operation in OPERATIONS}


def test_every_name_within_an_operation_has_a_row():
    for name, known in (("unary_forward", reference.UNARY), ("unary_backward", reference.UNARY),
                        ("loss_forward", reference.LOSS), ("loss_backward", reference.LOSS)):  # fmt: skip
        assert {o.variant for o in OPERATIONS if o.name == name} == set(known)


@needs_native
def arguments(function):
    """Names, kinds and defaults."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_back_ends_have_the_same_operations_with_the_same_arguments(core):
    assert public_functions(core) - SETTINGS == public_functions(reference) - REFERENCE_ONLY
    for name in public_functions(reference) - REFERENCE_ONLY:
        assert arguments(getattr(core, name)) == arguments(getattr(reference, name)), name


def test_rows_give_the_arguments_in_the_order_of_the_signature():
    for operation in OPERATIONS:
        names = list(inspect.signature(getattr(reference, operation.name)).parameters)
        made = list(operation.make(np.random.default_rng(0), np.float32, 3, 4))
        assert made == names[: len(made)], operation.id


# ---------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------


def sizes(operation, isa, dtype):
    """Rows and columns around one vector, around blocks of four vectors, and beyond a block of a sum (256)."""
    n = lanes(isa, dtype)
    around = [(1, 1), (2, max(n - 1, 1)), (3, n), (7, n + 1), (33, 2 * n + 3), (5, 4 * n), (6, 4 * n + 1), (523, 5)]
    long = (5, 3 * n + 2) if operation.name.startswith("linear") else (3, 256 * n + n + 1)
    return [*around, long]


def check(core, operation, arguments, rows, cols, layout=np.copy, dtype=None, what=""):
    """The native outputs are within the bounds of the oracle's; gives both."""
    wide = converted(arguments, np.float64)
    expected = run(getattr(reference, operation.name), wide, operation.inplace)
    got = run(getattr(core, operation.name), arguments, operation.inplace, layout)
    dtype = dtype or next((a.dtype for a in arguments.values() if is_float_array(a)), np.dtype(np.float32))
    bounds = operation.bounds(wide, expected, dtype, rows, cols)
    assert_within(got, expected, bounds, f"{operation.id} ({rows}, {cols}) {what}")
    return got


@operations
@dtypes
def test_native_equals_the_reference(core, isa, dtype, operation):
    for rows, cols in sizes(operation, isa, dtype):
        arguments = operation.make(np.random.default_rng([rows, cols]), dtype, rows, cols)
        for output in check(core, operation, arguments, rows, cols):
            if isinstance(output, np.ndarray) and output.dtype.kind == "f":
                assert output.dtype == dtype and output.flags.writeable and type(output) is np.ndarray


@dtypes
@pytest.mark.parametrize("provider", ["native", "blas", "auto"])
@pytest.mark.parametrize("m,n,k", [(1, 1, 1), (1, 17, 40), (40, 1, 17), (17, 40, 1), (5, 7, 3), (29, 31, 33),
                                   (16, 64, 32), (67, 130, 100), (300, 5, 64), (6, 300, 64), (7, 9, 1100),
                                   (3, 200, 300), (60, 900, 40), (200, 300, 60)])  # fmt: skip
def test_matrix_products_of_every_shape_layout_and_provider(core, isa, dtype, provider, m, n, k):
    if outcome(core.set_gemm_provider, provider)[0] == "raised":
        pytest.skip("this build has no BLAS")
    rows = [o for o in OPERATIONS if o.name.startswith("linear") and o.variant in ("", "transposed")]
    rng = np.random.default_rng([m, n, k])
    x, w, b, dy = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (n, k), (n,), (m, n)))
    every = {"input": x, "weight": w, "bias": b, "grad_output": dy, "grad_weight": 2 * w, "grad_bias": 2 * b}
    try:
        for operation in rows:
            names = inspect.signature(getattr(reference, operation.name)).parameters
            depth = {"linear_forward": k, "linear_backward_input": n}.get(operation.name, m)
            given = {**every, "transposed": operation.variant == "transposed"}
            for name, layout in LAYOUTS.items():
                check(core, operation, {a: given[a] for a in names}, depth, depth, layout, what=name)
    finally:
        core.set_gemm_provider("auto")


@dtypes
@pytest.mark.parametrize("m,k", [(14, 8192), (14, 16384), (6, 16384), (6, 32768), (400, 1300)])
def test_matrix_products_of_great_depth(core, isa, dtype, m, k):
    rng = np.random.default_rng([m, k])
    x, w = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((40, k)).astype(dtype)
    expected = x.astype(np.float64) @ w.T.astype(np.float64)
    atol = 4 * k**0.5 * np.finfo(dtype).eps * (np.abs(x) @ np.abs(w.T)).max()
    for weight in (w, np.asfortranarray(w)):
        np.testing.assert_allclose(core.linear_forward(x, weight, None), expected, rtol=0, atol=atol)


@dtypes
@pytest.mark.parametrize("provider", ["native", "blas", "auto"])
@pytest.mark.parametrize("m,n,k", [(50, 40, 70), (2, 200, 70), (50, 900, 40), (50, 5, 200)])
def test_matrix_products_of_one_row_or_column_repeated(core, isa, dtype, provider, m, n, k):
    if outcome(core.set_gemm_provider, provider)[0] == "raised":
        pytest.skip("this build has no BLAS")
    rng = np.random.default_rng([m, n, k])
    try:
        for axis in (0, 1):
            x, w, dy = (np.broadcast_to(rng.standard_normal((1, s[1]) if axis == 0 else (s[0], 1)).astype(dtype), s)
                        for s in ((m, k), (n, k), (m, n)))  # fmt: skip
            assert 0 in x.strides and 0 in w.strides and 0 in dy.strides
            for name, given in (("linear_forward", (x, w, None)), ("linear_backward_input", (dy, w)),
                                ("linear_gradients", (x, dy, False))):  # fmt: skip
                results = [np.atleast_2d(function(*given)[0] if name == "linear_gradients" else function(*given))
                           for function in (getattr(core, name), getattr(reference, name))]  # fmt: skip
                depth = {"linear_forward": k, "linear_backward_input": n}.get(name, m)
                bound = 4 * depth * np.finfo(dtype).eps * max(1, np.abs(results[1]).max())
                np.testing.assert_allclose(*results, rtol=0, atol=bound, err_msg=f"{name}, axis {axis}")
    finally:
        core.set_gemm_provider("auto")


def seconds_of_other_threads():
    """CPU time of this process outside the calling thread, once those others are asleep."""
    time.sleep(0.002)
    return time.process_time() - time.thread_time()


@operations
@dtypes
def test_one_and_two_threads_give_the_same_bits(core, isa, dtype, operation):
    arguments = operation.make(np.random.default_rng(0), dtype, 501, 1029)  # more than 50 us of work on one thread
    with backend.threads(1):
        expected = run(getattr(core, operation.name), arguments, operation.inplace)
    for _ in range(10):
        before = seconds_of_other_threads()
        with backend.threads(2):
            assert_same_bits(run(getattr(core, operation.name), arguments, operation.inplace), expected, operation.id)
        shared = seconds_of_other_threads() > before + 1e-5
        if shared or operation.sequential or not core.has_openmp():
            return
        time.sleep(0.35)  # a team that another process kept waiting pauses for up to 0.32 s
    pytest.fail("the second thread had nothing to do")


@operations
@dtypes
def test_arrays_of_every_layout(core, isa, dtype, operation):
    rows, cols = 7, lanes(isa, dtype) + 3
    arguments = operation.make(np.random.default_rng(0), dtype, rows, cols)
    for name, layout in LAYOUTS.items():
        check(core, operation, arguments, rows, cols, layout, what=name)


@needs_native
@operations
def test_each_array_in_a_layout_of_its_own(core, operation):
    rows, cols = 6, 5
    arguments = operation.make(np.random.default_rng(0), np.float32, rows, cols)
    for alone in (name for name, value in arguments.items() if isinstance(value, np.ndarray)):
        for layout in (LAYOUTS["fortran"], LAYOUTS["strided"], LAYOUTS["unaligned"]):
            given = {n: layout(v) if n == alone else copy.deepcopy(v) for n, v in arguments.items()}
            wide = converted(arguments, np.float64)
            expected = run(getattr(reference, operation.name), wide, operation.inplace)
            got = outputs_of(getattr(core, operation.name)(**given), given, operation.inplace)
            bounds = operation.bounds(wide, expected, np.float32, rows, cols)
            assert_within(got, expected, bounds, f"{operation.id} {alone}")


@needs_native
@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.inplace], ids=lambda operation: operation.id)
def test_nothing_is_written_between_the_elements_of_a_strided_array(core, operation):
    for layout in (LAYOUTS["strided"], LAYOUTS["window"]):
        arguments = operation.make(np.random.default_rng(0), np.float32, 5, 9)
        given = {n: layout(v) if isinstance(v, np.ndarray) else v for n, v in arguments.items()}
        getattr(core, operation.name)(**given)
        for name in operation.inplace:
            if given[name] is not None:
                holes = given[name].base.size - given[name].size
                assert np.isnan(given[name].base).sum() == holes > 0, name


@needs_native
@operations
def test_inputs_may_be_read_only(core, operation):
    arguments = operation.make(np.random.default_rng(0), np.float32, 5, 9)
    expected = run(getattr(core, operation.name), arguments, operation.inplace)
    given = {n: read_only(v) if isinstance(v, np.ndarray) and n not in operation.inplace else v
             for n, v in copy.deepcopy(arguments).items()}  # fmt: skip
    got = outputs_of(getattr(core, operation.name)(**given), given, operation.inplace)
    assert_same_bits(got, expected, operation.id)


@needs_native
@operations
def test_inputs_may_be_lists(core, operation):
    arguments = operation.make(np.random.default_rng(0), np.float64, 5, 9)
    given = {n: v.tolist() if isinstance(v, np.ndarray) and n not in operation.inplace else v
             for n, v in arguments.items()}  # fmt: skip
    inplace = {n: arguments[n].copy() for n in operation.inplace if arguments[n] is not None}
    for function in (getattr(core, operation.name), getattr(reference, operation.name)):
        copies = {**copy.deepcopy(given), **{n: a.copy() for n, a in inplace.items()}}
        got = outputs_of(function(**copies), copies, operation.inplace)
        assert_same_bits(got, run(function, arguments, operation.inplace), operation.id)


@operations
@dtypes
def test_each_array_in_the_other_dtype(core, isa, dtype, operation):
    """Results have NumPy's common dtype; what is written in place keeps its own."""
    arguments = operation.make(np.random.default_rng(0), dtype, 5, 9)
    other = np.float64 if dtype == np.float32 else np.float32
    for alone in (name for name, value in arguments.items() if is_float_array(value)):
        given = {**arguments, alone: arguments[alone].astype(other)}
        expected = outcome(run, getattr(reference, operation.name), given, operation.inplace)
        got = outcome(run, getattr(core, operation.name), given, operation.inplace)
        if expected[0] == "raised":
            assert got == expected, alone
            continue
        assert [np.asarray(a).dtype for a in got[1]] == [np.asarray(a).dtype for a in expected[1]], alone
        wide = converted(given, np.float64)
        exact = run(getattr(reference, operation.name), wide, operation.inplace)
        bounds = operation.bounds(wide, exact, np.float32, 5, 9)
        assert_within(got[1], exact, bounds, f"{operation.id} {alone}")


@operations
@dtypes
@pytest.mark.parametrize("rows,cols", [(0, 5), (4, 0), (0, 0)])
def test_empty_arrays(core, isa, dtype, operation, rows, cols):
    if operation.batched and rows > 0:
        pytest.skip("a batch is empty where it has no rows, whatever their shape")
    made = operation.make(np.random.default_rng(0), dtype, max(rows, 1), max(cols, 1))
    empty = {1: (cols,), 2: (rows, cols), 3: (rows, cols, 3)}
    arguments = {}
    for name, value in made.items():
        if operation.batched:
            value = value[:rows] if name in operation.batched else value
        elif isinstance(value, np.ndarray):
            shape = (rows,) if value.dtype.kind == "i" else empty[value.ndim]
            if operation.name.startswith("linear"):
                shape = {"input": (rows, cols), "grad_output": (rows, 3), "bias": (3,), "grad_bias": (3,)}.get(
                    name, (3, cols)
                )
            value = np.resize(value, shape)
        arguments[name] = 0 if name == "size" and not operation.batched else value
    with np.errstate(all="ignore"):
        expected = outcome(run, getattr(reference, operation.name), arguments, operation.inplace)
    got = outcome(run, getattr(core, operation.name), arguments, operation.inplace)
    assert got[0] == expected[0] and (got[0] == "returned" or got == expected)
    if got[0] == "returned":
        for a, b in zip(got[1], expected[1], strict=True):
            a, b = np.asarray(a), np.asarray(b)
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-6)


@dtypes
@pytest.mark.parametrize("shape", [(), (1,), (2, 3, 4), (2, 1, 3, 1, 5)], ids=str)
def test_elementwise_operations_take_any_shape(core, isa, dtype, shape):
    rng = np.random.default_rng(0)
    x, y = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    for name, arguments in (("unary_forward", ("Tanh", x)), ("unary_backward", ("Tanh", x, y)),
                            ("loss_forward", ("MSELoss", x, y)), ("loss_backward", ("MSELoss", x, y, 0.5)),
                            ("dropout", (x, 0.25, 1, 2)), ("square_sum", (x,)), ("softmax_forward", (x,)),
                            ("softmax_backward", (x, y)), ("log_softmax_forward", (x,)),
                            ("log_softmax_backward", (x, y))):  # fmt: skip
        got, expected = outcome(getattr(core, name), *arguments), outcome(getattr(reference, name), *arguments)
        assert got[0] == expected[0], name
        if got[0] == "raised":
            assert got == expected and shape == ()
        else:
            assert np.shape(got[1]) == np.shape(expected[1])
            np.testing.assert_allclose(got[1], expected[1], rtol=1e-5 if dtype == np.float32 else 1e-13, err_msg=name)


# ---------------------------------------------------------------------------------------------------------------
# Special values
# ---------------------------------------------------------------------------------------------------------------

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, -1e-40]
HUGE = [1e19, -1e19, 3e38, -3e38]  # for what adds nothing up: sums overflow where they are kept in float32
ELEMENTWISE = ("unary", "dropout", "scale_", "clip_")
CLASSES = ("nll", "cross_entropy")  # whose weights are constants, finite by contract

# Products with the zeros of a padding are taken or left out: where a factor is NaN or infinite, sums are NaN or not.
MEETS_PADDING = {"conv_forward": "weight", "conv_backward_input": "weight", "conv_backward_params": "grad_output"}


@operations
@dtypes
def test_special_values_come_out_as_from_the_reference(core, isa, dtype, operation):
    rows, cols = 4, lanes(isa, dtype) + 2
    made = operation.make(np.random.default_rng(0), dtype, rows, cols)
    for name in (name for name, value in made.items() if is_float_array(value)):
        if name == "weight" and operation.name.startswith(CLASSES):
            continue
        huge = name in ("input", "array") and operation.name.startswith(ELEMENTWISE)
        for value in SPECIAL + HUGE * huge:
            arguments = {**made, name: made[name].copy()}
            arguments[name].flat[[0, arguments[name].size // 2]] = value
            with np.errstate(all="ignore"):
                expected = run(getattr(reference, operation.name), arguments, operation.inplace)
            got = run(getattr(core, operation.name), arguments, operation.inplace)
            for a, b in zip(got, expected, strict=True):
                if MEETS_PADDING.get(operation.name) == name:
                    assert np.isfinite(a).all() == np.isfinite(b).all()
                    a, b = (np.where(np.isnan(a) | np.isnan(b), 0, array) for array in (a, b))
                np.testing.assert_allclose(a, b, rtol=1e-3 if dtype == np.float32 else 1e-10,
                                           atol=1e-5 if dtype == np.float32 else 1e-13,
                                           err_msg=f"{operation.id}: {value} in {name}")  # fmt: skip

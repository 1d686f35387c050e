"""The pool behind large results: the caller's arrays are his, memory is used again, bounded, and given back."""

import gc
import os
import pickle
import resource
import sys
import threading

import numpy as np
import pytest
from support import needs_native

import fastnn
from fastnn import backend

pytestmark = needs_native
X = np.random.default_rng(0).standard_normal((400, 500))
MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def empty(core):
    fastnn.empty_cache()
    yield
    fastnn.empty_cache()


def relu(x=X):
    return backend._core.unary_forward("ReLU", x)


def test_memory_of_a_result_is_used_again(core):
    first = relu()
    address = first.ctypes.data
    assert core.cached_bytes() == 0
    del first
    assert X.nbytes <= core.cached_bytes() <= 1.125 * X.nbytes
    again = relu()
    assert again.ctypes.data == address and core.cached_bytes() == 0
    other = relu()
    assert other.ctypes.data != address
    np.testing.assert_array_equal(again, np.maximum(X, 0))


def test_results_that_are_held_never_change():
    held = [relu(X + i) for i in range(20)]
    views = [array[::7, 3:] for array in held]
    expected = [np.maximum(X + i, 0)[::7, 3:] for i in range(20)]
    del held
    for i in range(40):
        relu(X * -i)
    for view, values in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view, values)


def test_results_are_ordinary_arrays():
    result = relu()
    assert result.flags.owndata and result.flags.carray and result.base is None and result.ctypes.data % 64 == 0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)), result)
    result.resize((900, 500), refcheck=False)
    np.testing.assert_array_equal(result[:400], np.maximum(X, 0))
    assert not result[400:].any()
    result.resize((10, 500), refcheck=False)
    np.testing.assert_array_equal(result, np.maximum(X[:10], 0))


def test_small_results_do_not_take_part(core):
    for rows in (0, 1, 10):
        relu(X[:rows, :100])
    assert core.cached_bytes() == 0


def test_what_waits_is_bounded_and_can_be_given_back(core):
    sizes = [MEGABYTE * megabytes for megabytes in (3, 40, 90, 120, 30, 150, 60)]
    for size in sizes:
        held = [relu(np.ones(size // 8)) for _ in range(2)]
        del held
        assert core.cached_bytes() <= 256 * MEGABYTE
    assert core.cached_bytes() > 0
    fastnn.empty_cache()
    with fastnn.use_backend("native"):
        assert core.cached_bytes() == 0 == fastnn.show_config(mode="dicts")["cached"]


def test_memory_of_any_size_is_right(core):
    rng = np.random.default_rng(0)
    for size in [*rng.integers(1, 300_000, 60), 8191, 8192, 8193, 9216, 9217, 16384, 16385, 131072]:
        x = rng.standard_normal(size)
        np.testing.assert_array_equal(relu(x), np.maximum(x, 0), err_msg=str(size))


def test_threads_make_and_drop_results_at_once(core):
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for _ in range(200):
            value = float(rng.integers(1, 1000))
            held.append((value, relu(np.full(int(rng.integers(8192, 40000)), value))))
            if len(held) > 5:
                expected, array = held.pop(int(rng.integers(len(held))))
                if not (array == expected).all():
                    wrong.append(expected)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_makes_results_too():
    del_later = relu()
    child = os.fork()
    if child == 0:
        del del_later
        os._exit(0 if all((relu(X + i) == np.maximum(X + i, 0)).all() for i in range(3)) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_no_pages_are_mapped_anew_for_the_next_result():
    big = np.ones(4 * MEGABYTE)
    relu(big)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        relu(big)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 100  # 40,960 without the pool

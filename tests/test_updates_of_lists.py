"""Updates of whole lists of parameters: what the single updates do, or nothing at all."""

import copy

import numpy as np
import pytest
from support import Subclass, read_only

from fastnn import backend, reference


def sgd(ops, param, grad, velocity):
    ops.sgd_update(param, grad, velocity, 0.125, 0.875, 0.25, 0.5, True, False)


def momentum(ops, param, grad, velocity):
    ops.momentum_update(param, grad, velocity, 0.125, 0.875)


def plain(ops, param, grad):
    ops.sgd_update(param, grad, None, 0.125, 0.0, 0.0, 0.5, False, False)


def adam(ops, param, grad, mean, square):
    ops.adam_update(param, grad, mean, square, None, 0.125, 0.875, 0.96875, 2.0**-20, 0.5, False, 3)


def adamw(ops, param, grad, mean, square):
    ops.adam_update(param, grad, mean, square, None, 0.125, 0.875, 0.96875, 2.0**-20, 0.5, True, 3)


STEPS = {  # (name of the update of lists, its settings, the update of one parameter, number of its states)
    "sgd": ("sgd_updates", (0.125, 0.875, 0.75, 0.5, True), sgd, 1),
    "momentum": ("sgd_updates", (1.0, 0.875, 0.125, 0.0, False), momentum, 1),
    "no momentum": ("sgd_updates", (0.125, 0.0, 1.0, 0.5, False), plain, 0),
    "adam": ("adam_updates", (0.125, 0.875, 0.96875, 2.0**-20, 0.5, False, 3), adam, 2),
    "adamw": ("adam_updates", (0.125, 0.875, 0.96875, 2.0**-20, 0.5, True, 3), adamw, 2),
}


@pytest.fixture(params=["native", "reference"])
def ops(request):
    if request.param == "native" and backend._core is None:
        pytest.skip(f"the native back end is not available: {backend.native_error}")
    return backend._core if request.param == "native" else reference


@pytest.fixture(params=STEPS.values(), ids=STEPS.keys())
def step(request):
    return request.param


def made(dtype=np.float64, states=1):
    """Lists nested to three levels, one parameter in the order of Fortran, and the states of each by index."""
    rng = np.random.default_rng(0)

    def array(*shape, order="C"):
        return np.array(np.abs(rng.standard_normal(shape)), dtype, order=order)

    def tree():
        return [[array(5, 4), array(4)], [], [[array(3, 7, order="F")], (array(1, 2),)], array(6)]

    params, grads = tree(), tree()
    flat = [a for pair in reference.updates._flat(params, grads) for a in pair][1::2]
    return params, grads, [{i: np.copy(g, order="K") for i, g in enumerate(flat)} for _ in range(states)]


def arrays_of(params, grads, states):
    return [p for p, _ in reference.updates._flat(params, grads)] + [a for state in states for a in state.values()]


def call(ops, step, params, grads, states):
    name, settings, _, _ = step
    return getattr(ops, name)(params, grads, *(states or [None]), *settings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_parameter_gets_its_update(ops, step, dtype):
    _, _, single, count = step
    params, grads, states = made(dtype, count)
    expected = copy.deepcopy((params, grads, states))
    for i, (p, g) in enumerate(reference.updates._flat(expected[0], expected[1])):
        single(ops, p, g, *(state[i] for state in expected[2]))
    assert call(ops, step, params, grads, states) is True
    for got, want in zip(arrays_of(params, grads, states), arrays_of(*expected), strict=True):
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)


def test_pairs_end_with_the_shorter_list(ops, step):
    params, grads, states = made(states=step[3])
    before = params[-1].copy()
    assert call(ops, step, params, grads[:2], states) is True
    np.testing.assert_array_equal(params[-1], before)


SPOILT = {
    "another shape": lambda a: a.reshape(-1, 1),
    "another dtype": lambda a: a.astype(np.float32),
    "integers": lambda a: a.astype(int),
    "another order": lambda a: np.array(a, order="C" if a.flags.f_contiguous else "F"),
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "a list": lambda a: a.tolist(),
    "None": lambda a: None,
    "a subclass": lambda a: a.view(Subclass),
    "other bytes": lambda a: a.astype(a.dtype.newbyteorder()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("which", ["param", "grad", "state"])
def test_nothing_is_changed_where_one_array_is_not_ordinary(ops, step, spoil, which):
    params, grads, states = made(states=step[3])
    if which == "state":
        if not states:
            pytest.skip("plain gradient descent has no state")
        states[-1][2] = spoil(states[-1][2])
    else:
        part = params if which == "param" else grads
        part[2][0][0] = spoil(part[2][0][0])
    before = copy.deepcopy((params, grads, states))
    assert call(ops, step, params, grads, states) is False
    pairs = zip(
        reference.updates._flat(params[:2], grads), reference.updates._flat(before[0][:2], before[1]), strict=True
    )
    for (got, _), (want, _) in pairs:
        np.testing.assert_array_equal(got, want)


def test_what_cannot_be_written_or_found_is_refused(ops, step):
    count = step[3]
    params, grads, states = made(states=count)
    params[-1] = read_only(params[-1])
    assert call(ops, step, params, grads, states) is False
    params, grads, states = made(states=count)
    if states:
        del states[0][3]
        assert call(ops, step, params, grads, states) is False
        assert call(ops, step, params, grads, [3] * count) is False
    assert call(ops, step, "words", grads, states) is False
    assert call(ops, step, params, [grads[0], grads[1][:0], 3, grads[3]], states) is False
    assert call(ops, step, [], [], [{}] * count) is True

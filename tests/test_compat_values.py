"""The dialects' classes with rules of their own: values at the edges, statistics, criterions, containers."""

import warnings

import numpy as np
import pytest
from course import VOICES
from course.twins import flat, one_hot, same, same_results, step, twins, voices
from makers import normal, unit
from support import LAYOUTS

F32, F64 = np.float32, np.float64


# ---------------------------------------------------------------------------------------------------------------
# Special values
# ---------------------------------------------------------------------------------------------------------------


@voices
@pytest.mark.parametrize("call,arguments,slope", [
    ("ReLU", (), 0.0), ("LeakyReLU", (), 0.03), ("LeakyReLU", (0.2,), 0.2), ("ELU", (), 1.0), ("ELU", (0.7,), 0.7),
    ("SoftPlus", (), 0.5)])  # fmt: skip
def test_gradients_at_zero(voice, call, arguments, slope):
    layer = getattr(voice.compat, call)(*arguments)
    x = np.array([[0.0, -0.0, 0.0]])
    np.testing.assert_allclose(layer.forward(x), np.full((1, 3), np.log(2) if call == "SoftPlus" else 0.0))
    np.testing.assert_allclose(layer.backward(x, np.array([[2.0, 2.0, -4.0]])), slope * np.array([[2.0, 2.0, -4.0]]))


@voices
def test_softplus_beyond_the_overflow(voice):
    layer = voice.compat.SoftPlus()
    x = np.array([[-1e4, -800.0, -709.5, -40.0, 0.0, 40.0, 709.0, 709.9, 710.0, 1e4]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got, slope = layer.forward(x), layer.backward(x, np.ones_like(x))
    np.testing.assert_allclose(got, np.logaddexp(0, x), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(slope, np.exp(-np.logaddexp(0, -x)), rtol=1e-12, atol=1e-300)


@voices
@pytest.mark.parametrize("name", ["SoftMax", "LogSoftMax"])
def test_softmax_of_large_numbers(voice, name):
    ours, oracle = twins(voice, lambda voice, module: getattr(module, name)())
    x = np.array([[1000.0, 999.0, -1000.0], [-1e6, 0.0, 1.0], [3.0, 3.0, 3.0]])
    same_results(step(voice, ours, x, x[::-1] / 100), step(voice, oracle, x, x[::-1] / 100))


@voices
@pytest.mark.parametrize("name", ["SoftMax", "LogSoftMax"])
def test_softmax_backward_takes_what_the_text_takes(voice, name):
    """snake recomputes from the input it is given, the others use the last output."""
    ours, oracle = twins(voice, lambda voice, module: getattr(module, name)())
    rng = np.random.default_rng(0)
    first, second, dy = (normal(rng, F64, 6, 4) for _ in range(3))
    for layer in (ours, oracle):
        layer.forward(first)
    same(ours.backward(second, dy), oracle.backward(second, dy))


# ---------------------------------------------------------------------------------------------------------------
# BatchNormalization
# ---------------------------------------------------------------------------------------------------------------


@voices
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_moving_statistics(voice, alpha):
    ours, oracle = twins(voice, lambda voice, module: module.BatchNormalization(alpha=alpha))
    assert ours.moving_mean is None and ours.moving_variance is None and ours.EPS == type(ours).EPS == 1e-3
    rng = np.random.default_rng(0)
    held = []
    for rows in (8, 32, 5, 16):
        x, dy = normal(rng, F64, rows, 6, scale=3, mean=rows), normal(rng, F64, rows, 6)
        same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))
        for name in ("moving_mean", "moving_variance"):
            same(getattr(ours, name), getattr(oracle, name), what=name)
            held.append((getattr(ours, name), getattr(oracle, name).copy()))
    for moved, then in held:  # rebound, never written
        same(moved, then)
    getattr(ours, voice.evaluate)()
    getattr(oracle, voice.evaluate)()
    x, dy = normal(rng, F64, 9, 6, mean=4), normal(rng, F64, 9, 6)
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))
    same(ours.moving_mean, held[-2][1])
    if voice.name != "snake":
        same(ours.backward(x, dy), dy / np.sqrt(held[-1][1] + 1e-3))


@voices
def test_backward_of_a_batch_that_was_not_the_last(voice):
    ours, oracle = twins(voice, lambda voice, module: module.BatchNormalization())
    rng = np.random.default_rng(0)
    first, second, dy = (normal(rng, F64, 6, 4) for _ in range(3))
    for layer in (ours, oracle):
        layer.forward(first)
        layer.forward(second)
    same(ours.backward(first, dy), oracle.backward(first, dy))


@voices
@pytest.mark.parametrize("dtype", [F32, F64], ids=lambda dtype: dtype.__name__)
def test_assigned_statistics(voice, dtype):
    ours, oracle = twins(voice, lambda voice, module: module.BatchNormalization(0.9))
    rng = np.random.default_rng(0)
    mean, variance = normal(rng, dtype, 6), unit(rng, dtype, 6)
    for layer in (ours, oracle):
        layer.moving_mean, layer.moving_variance = mean.copy(), variance.copy()
        getattr(layer, voice.evaluate)()
    x, dy = normal(rng, F64, 9, 6), normal(rng, F64, 9, 6)
    tolerance = 1e-12 if dtype is F64 else 1e-6
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy), tolerance)
    for layer in (ours, oracle):
        layer.train()
        layer.forward(x)
    same(ours.moving_mean, oracle.moving_mean, tolerance)
    same(ours.moving_variance, oracle.moving_variance, tolerance)


# ---------------------------------------------------------------------------------------------------------------
# Criterions
# ---------------------------------------------------------------------------------------------------------------

KINDS = ("mse", "nll_on_probabilities", "nll_on_log_probabilities")
kinds = pytest.mark.parametrize("kind", KINDS)


def prediction(kind, rows=12, dtype=F64):
    rng = np.random.default_rng(7)
    x = unit(rng, F64, rows, 5) + 0.1
    x /= x.sum(axis=1, keepdims=True)
    return {"mse": normal(rng, F64, rows, 5), KINDS[1]: x, KINDS[2]: np.log(x)}[kind].astype(dtype)


def criterions(voice, kind):
    return twins(voice, lambda voice, module: getattr(module, getattr(voice, kind))())


@voices
@kinds
@pytest.mark.parametrize("form", ["float64", "float32", "int64", "int32", "uint8", "bool", "list"])
def test_criterions(voice, kind, form):
    ours, oracle = criterions(voice, kind)
    x, target = prediction(kind), one_hot(np.random.default_rng(0), 12, 5)
    given = target.astype(int).tolist() if form == "list" else target.astype(form)
    loss, gradient = ours.forward(x, given), ours.backward(x, given)
    same(loss, oracle.forward(x, target), what="loss")
    assert isinstance(loss, np.floating) and ours.output == loss
    # the gradient of the NLL on log-probabilities has no input in it: NumPy may leave it in the target's float32
    of_target = form == "float32" and kind == KINDS[2]
    same(gradient, oracle.backward(x, target), 1e-7 if of_target else 1e-12, "gradient", dtype=not of_target)
    same(getattr(ours, voice.criterion_grad), gradient)
    assert getattr(ours, voice.update_output)(x, given) == loss
    fresh = type(ours)()
    same(getattr(fresh, voice.update_grad_input)(x, given), gradient, what="no forward before")


@voices
@kinds
@pytest.mark.parametrize("targets", ["float32", "float64", "int64"])
def test_criterions_of_float32(voice, kind, targets):
    ours, oracle = criterions(voice, kind)
    x, target = prediction(kind, dtype=F32), one_hot(np.random.default_rng(0), 12, 5, targets)
    same(ours.forward(x, target), oracle.forward(x, target), 1e-6, "loss")
    same(ours.backward(x, target), oracle.backward(x, target), 1e-6, "gradient")


@voices
@kinds
def test_criterions_of_soft_targets_lists_and_layouts(voice, kind):
    ours, oracle = criterions(voice, kind)
    for rows in (12, 1, 300):
        x, target = prediction(kind, rows), prediction(KINDS[1], rows)[::-1]
        loss, gradient = oracle.forward(x, target), oracle.backward(x, target)
        for layout in LAYOUTS.values():
            same(ours.forward(layout(x), layout(target)), loss)
            same(ours.backward(layout(x), layout(target)), gradient)
        same(ours.forward(x.tolist(), target.tolist()), loss)
        same(ours.backward(x.tolist(), target.tolist()), gradient)
        hot = one_hot(np.random.default_rng(0), rows, 5)
        same(ours.backward(x, hot.astype(np.uint8)), oracle.backward(x, hot))


@voices
def test_probabilities_of_zero_and_one_are_clipped_as_the_text_says(voice):
    ours, oracle = criterions(voice, "nll_on_probabilities")
    x = np.array([[0.0, 1.0, 0.0], [1e-12, 1.0, 0.0], [1e-8, 0.5, 0.5], [0.0, 0.0, 1.0]])
    for column in range(3):
        target = np.eye(3)[[column] * 4]
        np.testing.assert_allclose(ours.forward(x, target), oracle.forward(x, target), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours.backward(x, target), oracle.backward(x, target), rtol=1e-12, atol=0)


# ---------------------------------------------------------------------------------------------------------------
# Containers
# ---------------------------------------------------------------------------------------------------------------


def net(voice, module):
    return voice.sequential(
        module, module.Linear(5, 6), module.BatchNormalization(0.9), getattr(module, voice.affine)(6), module.ELU(),
        voice.sequential(module, module.Linear(6, 4), module.Dropout(0.3)), module.Tanh(), module.LogSoftMax(),
    )  # fmt: skip


def nesting(item):
    return [nesting(inner) for inner in item] if isinstance(item, list) else item.shape


@voices
def test_a_nested_net(voice):
    ours, oracle = twins(voice, net)
    rng = np.random.default_rng(0)
    for rows in (10, 4):
        x, dy = normal(rng, F64, rows, 5), normal(rng, F64, rows, 4)
        same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))
    for get in (voice.get_parameters, voice.get_grad_params):
        got, expected = getattr(ours, get)(), getattr(oracle, get)()
        assert nesting(got) == nesting(expected)
        for one, other in zip(flat(got), flat(expected), strict=True):
            same(one, other)
    getattr(ours, voice.evaluate)()
    getattr(oracle, voice.evaluate)()
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))


@voices
@pytest.mark.parametrize("form", [np.uint8, F32, F64], ids=lambda form: form.__name__)
def test_sizes_of_real_programs(voice, form):
    def make(voice, module):
        return voice.sequential(
            module, module.Linear(784, 100), module.BatchNormalization(0.9), getattr(module, voice.affine)(100),
            module.LeakyReLU(), module.Dropout(0.5), module.Linear(100, 10), module.LogSoftMax(),
        )  # fmt: skip

    ours, oracle = twins(voice, make)
    rng = np.random.default_rng(0)
    for rows in (128, 1000, 57):
        x, dy = rng.integers(0, 256, (rows, 784)).astype(form), normal(rng, F64, rows, 10)
        same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy), 1e-11)


@voices
def test_what_a_container_stores(voice):
    ours, oracle = twins(voice, net)
    x, dy = normal(np.random.default_rng(0), F64, 10, 5), normal(np.random.default_rng(1), F64, 10, 4)
    for layer in (ours, oracle):
        step(voice, layer, x, dy)
    for name in ("output",) if voice.name == "plain" else ("output", voice.grad_input):
        got, expected = getattr(ours, name), getattr(oracle, name)
        assert isinstance(got, list) == (voice.name == "snake")
        for one, other in zip(*((got, expected) if voice.name == "snake" else ([got], [expected])), strict=True):
            same(one, other)


@voices
def test_a_star_import_brings_the_names_of_the_dialect(voice):
    assert sorted(voice.compat.__all__) == sorted(voice.course.__all__)
    for name in voice.course.__all__:
        assert callable(getattr(voice.compat, name)) or name == "np"


@voices
def test_an_empty_container_is_the_identity(voice):
    empty, x = voice.sequential(voice.compat), normal(np.random.default_rng(0), F64, 3, 2)
    np.testing.assert_array_equal(empty.forward(x), x)
    np.testing.assert_array_equal(empty.backward(x, 2 * x), 2 * x)


def test_dumb_forward():
    ours, oracle = twins(VOICES["seminar"], lambda voice, module: module.Linear(5, 4))
    x = normal(np.random.default_rng(0), F64, 7, 5)
    same(np.asarray(ours.dumb_forward(x)), ours.forward(x))
    same(np.asarray(ours.dumb_forward(x)), oracle.dumb_forward(x))

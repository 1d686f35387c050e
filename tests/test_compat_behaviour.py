"""The drop-in dialects as objects: names, hooks called one by one, live parameters, fresh results."""

import numpy as np
import pytest
from compat_support import (
    CRITERIONS,
    EVERY_LAYER,
    WITHOUT_STATE,
    attribute,
    flat,
    gradients,
    hook,
    layer_of,
    linear_by_formula,
    parameters,
    slope_of,
    weight,
)
from course import VOICES
from support import LAYOUTS, read_only

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 3))
T = np.eye(3)[[0, 2, 1, 1, 0, 2]]

SHARED = {"Module", "Criterion", "Sequential", "Linear", "SoftMax", "LogSoftMax", "BatchNormalization", "Dropout",
          "Flatten", "Conv2d", "MaxPool2d", "ReLU", "LeakyReLU", "ELU", "SoftPlus", "Sigmoid", "Tanh", "sgd_momentum",
          "adam_optimizer", "np"}  # fmt: skip
EXPORTS = {
    "torch7": {"ChannelwiseScaling", "MSECriterion", "ClassNLLCriterion", "ClassNLLCriterionUnstable"},
    "torch7_2017": {"ChannelwiseScaling", "MSECriterion", "ClassNLLCriterion", "ClassNLLCriterionUnstable",
                    "LogClassNLLCriterion"},
    "snake": {"Scaling", "MSECriterion", "NLLCriterion", "NLLCriterionUnstable", "SGD"},
    "plain": {"ChannelwiseScaling", "MSE", "CrossEntropy", "NLL", "SGD"},
    "seminar": {"ChannelwiseScaling", "MSECriterion", "ClassNLLCriterion", "ClassNLLCriterionUnstable"},
}  # fmt: skip


@pytest.fixture(params=VOICES.values(), ids=VOICES)
def voice(request):
    return request.param


@pytest.fixture
def lib(voice):
    return voice.compat


# ---------------------------------------------------------------------------------------------------------------
# Names
# ---------------------------------------------------------------------------------------------------------------


def test_a_star_import_gives_the_names_and_numpy(voice, lib):
    namespace = {}
    exec(f"from fastnn.compat.{voice.name} import *", namespace)
    namespace.pop("__builtins__")
    assert set(namespace) == SHARED | EXPORTS[voice.name] == set(lib.__all__)
    assert namespace["np"] is np and len(lib.__all__) == len(set(lib.__all__))


def test_a_module_at_first(voice, lib):
    module, criterion = lib.Module(), lib.Criterion()
    assert module.output is None and getattr(module, voice.grad_input) is None
    assert getattr(module, voice.training) is True and parameters(module, voice) == [] == gradients(module, voice)
    assert criterion.output is None and getattr(criterion, voice.criterion_grad) is None
    hook(module, voice, "zero_grad_params")
    hook(module, voice, "evaluate")
    assert getattr(module, voice.training) is False
    module.train()
    assert getattr(module, voice.training) is True


def test_names_that_only_one_text_has():
    snake, old = VOICES["snake"].compat, VOICES["torch7_2017"].compat
    layer = snake.Linear(2, 3)
    assert snake.sgd_momentum is snake.SGD and layer.get_params()[0] is layer.W
    assert old.ClassNLLCriterionUnstable is old.ClassNLLCriterion
    for name, slope in (("plain", "grad_W"), ("seminar", "gradW")):
        layer = VOICES[name].compat.Linear(2, 3)
        assert getattr(layer, slope).shape == layer.W.shape and not getattr(layer, slope).any()
    assert not hasattr(layer, "b") and not hasattr(layer, "gradb")
    np.testing.assert_allclose(layer.dumb_forward(X[:, :2]), layer.forward(X[:, :2]))


@pytest.mark.parametrize("kind", EVERY_LAYER)
def test_constructors_by_keyword(voice, kind):
    size = dict(zip(voice.size_names, (4, 3), strict=True))
    given = {"Linear": size, "affine": {"n_out": 4}, "BatchNormalization": {"alpha": 0.9}, "Dropout": {"p": 0.25},
             "LeakyReLU": {"slope": 0.1}, "ELU": {"alpha": 0.5}}.get(kind, {})  # fmt: skip
    layer = getattr(voice.compat, voice.affine if kind == "affine" else kind)(**given)
    for name, value in given.items():
        assert name in size or name == "n_out" or getattr(layer, name) == value
    assert layer.forward(X).shape == slope_of(kind).shape


@pytest.mark.parametrize("kind", EVERY_LAYER)
def test_methods_by_keyword(voice, kind):
    layer, name = layer_of(voice, kind), "grad_output" if voice.name in ("snake", "plain") else "gradOutput"
    dy = {name: slope_of(kind)}
    assert layer.forward(input=X) is layer.output
    for method in ("update_grad_input", "acc_grad_params"):
        if getattr(voice, method):
            getattr(layer, getattr(voice, method))(input=X, **dy)
    assert layer.backward(input=X, **dy).shape == X.shape


@pytest.mark.parametrize("kind", CRITERIONS)
def test_criterions_store_what_they_return(voice, kind):
    make, p = getattr(voice.compat, getattr(voice, kind)), np.random.default_rng(1).dirichlet(np.ones(3), 6)
    criterion = make()
    loss = criterion.forward(input=p, target=T)
    assert isinstance(loss, np.floating) and criterion.output is loss
    grad = criterion.backward(input=p, target=T)
    assert grad is getattr(criterion, voice.criterion_grad) and not np.may_share_memory(grad, p)
    kept = grad.copy()
    fresh = make()
    np.testing.assert_array_equal(hook(fresh, voice, "update_grad_input", p, T), grad)  # no forward before
    assert hook(fresh, voice, "update_output", p, T) == loss and repr(criterion) == make.__name__
    criterion.backward(p[::-1], T)
    np.testing.assert_array_equal(grad, kept)


def test_print(voice, lib):
    lines = {"Linear": "Linear" if voice.name == "plain" else "Linear 4 -> 3", "affine": voice.affine}
    for kind in EVERY_LAYER:
        assert repr(layer_of(voice, kind)) == lines.get(kind, kind)
    inner = voice.sequential(lib, lib.Linear(4, 3), lib.ReLU())
    net = voice.sequential(lib, inner, lib.SoftMax())
    assert [line for line in str(net).splitlines() if line] == [lines["Linear"], "ReLU", "SoftMax"]
    assert str(voice.sequential(lib)).strip() in ("", "Sequential")


# ---------------------------------------------------------------------------------------------------------------
# Hooks on their own
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", (*WITHOUT_STATE, "Linear", "affine", "Flatten", "BatchNormalization"))
def test_the_gradient_of_the_input_needs_no_forward(voice, kind):
    layer, dy = layer_of(voice, kind), slope_of(kind)
    got = hook(layer, voice, "update_grad_input", X, dy)
    assert got is getattr(layer, voice.grad_input) or voice.name == "plain"
    layer.forward(X)
    np.testing.assert_array_equal(got, hook(layer, voice, "update_grad_input", X, dy))
    assert layer.backward(X, dy) is getattr(layer, voice.grad_input)


@pytest.mark.parametrize("kind", ["Linear", "affine"])
def test_weight_gradients_come_from_the_given_input(voice, kind):
    layer, other, dy = layer_of(voice, kind), RNG.standard_normal((5, 4)), slope_of(kind)[:5]
    accumulate = voice.acc_grad_params or voice.update_grad_input
    getattr(layer, accumulate)(other, dy)  # on a fresh layer
    first = [np.copy(grad) for grad in gradients(layer, voice)]
    layer.forward(X)
    hook(layer, voice, "zero_grad_params")
    getattr(layer, accumulate)(other, dy)
    expected = [weight(voice, dy.T @ other), dy.sum(0)] if kind == "Linear" else [(dy * other).sum(0), dy.sum(0)]
    for got, again, formula in zip(first, gradients(layer, voice), expected[: len(first)], strict=True):
        np.testing.assert_allclose(got, formula)
        np.testing.assert_array_equal(again, got)


def test_backward_and_then_the_weight_gradients_again():
    layer = VOICES["snake"].compat.Linear(4, 3)  # the course's tests do so
    layer.backward(X, DY)
    layer.update_grad_params(X, DY)
    np.testing.assert_allclose(layer.gradW, X.T @ DY)


@pytest.mark.parametrize("kind", ["Linear", "affine"])
def test_gradients_accumulate_or_overwrite(voice, kind):
    layer, dy, adds = layer_of(voice, kind), slope_of(kind), voice.accumulates and kind == "Linear"
    layer.backward(X, dy)
    held = gradients(layer, voice)
    once = [grad.copy() for grad in held]
    layer.backward(X, dy)
    for array, first, now in zip(held, once, gradients(layer, voice), strict=True):
        assert (array is now) == adds
        np.testing.assert_allclose(now, 2 * first if adds else first)
        np.testing.assert_array_equal(array, now if adds else first)
    held, kept = gradients(layer, voice), [grad.copy() for grad in gradients(layer, voice)]
    hook(layer, voice, "zero_grad_params")
    assert not any(grad.any() for grad in gradients(layer, voice))
    for array, value, now in zip(held, kept, gradients(layer, voice), strict=True):
        if adds:
            assert array is now
        elif voice.name != "torch7":
            np.testing.assert_array_equal(array, value)


# ---------------------------------------------------------------------------------------------------------------
# Parameters: live, and assigned from outside
# ---------------------------------------------------------------------------------------------------------------


def test_lists_of_parameters(voice, lib):
    linear, affine = lib.Linear(4, 3), getattr(lib, voice.affine)(3)
    net = voice.sequential(lib, linear, lib.ReLU(), voice.sequential(lib, affine))
    mine, scale = [getattr(linear, name) for name in voice.linear_parameters], [affine.gamma, affine.beta]
    expected = [*mine, *scale] if voice.name == "plain" else [mine, [], [scale]]

    def same(a, b):
        return all(map(same, a, b)) and len(a) == len(b) if isinstance(b, list) else a is b

    assert same(parameters(net, voice), expected)
    net.backward(X, voice.sequential(lib).forward(net.forward(X)))
    slopes = [attribute(linear, voice, name) for name in voice.linear_parameters]
    scale = [attribute(affine, voice, "gamma"), attribute(affine, voice, "beta")]
    assert same(gradients(net, voice), [*slopes, *scale] if voice.name == "plain" else [slopes, [], [scale]])
    assert affine.gamma.shape == ((1, 3) if voice.name == "snake" else (3,)) and scale[0].shape == (3,)
    hook(net, voice, "zero_grad_params")
    assert not any(grad.any() for grad in flat(gradients(net, voice)))


def foreign(array):
    """The array over memory that NumPy does not own."""
    return np.frombuffer(bytearray(array.tobytes()), array.dtype).reshape(array.shape)


OUTSIDE = {
    **LAYOUTS,
    "float32": lambda array: array.astype(np.float32),
    "integers": lambda array: (5 * array).astype(int),
    "small integers": lambda array: (5 * array).astype(np.int8),
    "bool": lambda array: array > 0,
    "float16": lambda array: array.astype(np.float16),
    "other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "read-only": read_only,
    "foreign": foreign,
    "foreign and read-only": lambda array: np.frombuffer(array.tobytes()).reshape(array.shape),
    "memoryview": lambda array: np.asarray(memoryview(np.array(array))),
}


@pytest.mark.parametrize("made", OUTSIDE.values(), ids=OUTSIDE)
def test_weights_from_outside(voice, lib, made):
    layer, x = lib.Linear(4, 3), X.astype(np.float32)
    layer.W = made(np.array(weight(voice, RNG.standard_normal((3, 4)))))
    if voice.has_bias:
        layer.b = made(RNG.standard_normal(3))
        assert parameters(layer, voice)[1] is layer.b
    kept = np.array(layer.W)
    assert parameters(layer, voice)[0] is layer.W
    for given in (X, x):
        tolerance = 1e-12 if given is X and layer.W.dtype.itemsize == 8 else 2e-3
        np.testing.assert_allclose(
            layer.forward(given), linear_by_formula(layer, voice, given), rtol=tolerance, atol=tolerance
        )
        got = layer.backward(given, DY)
        np.testing.assert_allclose(got, DY @ np.asarray(weight(voice, layer.W)), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(layer.W, kept)


def test_float32_all_through_only_with_float32_weights(voice, lib):
    layer, x, dy = lib.Linear(4, 3), X.astype(np.float32), DY.astype(np.float32)
    assert layer.forward(x).dtype == layer.backward(x, dy).dtype == np.float64
    for name in voice.linear_parameters:
        setattr(layer, name, getattr(layer, name).astype(np.float32))
    hook(layer, voice, "zero_grad_params")
    assert layer.forward(x).dtype == layer.backward(x, dy).dtype == np.float32


def test_weights_are_read_at_every_call(voice, lib):
    layer = lib.Linear(4, 3)
    first = layer.forward(X)
    held = parameters(layer, voice)[0]
    held[...] *= 2
    np.testing.assert_allclose(layer.forward(X), linear_by_formula(layer, voice, X))
    assert not np.array_equal(first, layer.output)
    layer.W[0, 0] += 1e-8  # as finite differences do
    np.testing.assert_allclose(layer.forward(X), linear_by_formula(layer, voice, X), rtol=1e-15, atol=1e-15)
    layer.W -= 0.1 * np.ones_like(layer.W)
    assert layer.W is held
    layer.W = layer.W - 0.1
    assert parameters(layer, voice)[0] is layer.W is not held
    np.testing.assert_allclose(layer.backward(X, DY), DY @ weight(voice, layer.W))


def test_statistics_and_scales_from_outside(voice, lib):
    for made in (np.float32, int, np.float64):
        layer, scale = lib.BatchNormalization(0.5), getattr(lib, voice.affine)(4)
        layer.moving_mean, layer.moving_variance = np.arange(4).astype(made), read_only(np.arange(1, 5).astype(made))
        hook(layer, voice, "evaluate")
        np.testing.assert_allclose(layer.forward(X), (X - np.arange(4)) / np.sqrt(np.arange(1, 5) + 1e-3), rtol=1e-6)
        layer.train()
        layer.forward(X)
        np.testing.assert_allclose(layer.moving_mean, 0.5 * np.arange(4) + 0.5 * X.mean(axis=0), rtol=1e-6)
        scale.gamma, scale.beta = np.arange(4).astype(made), foreign(np.ones(4).astype(made))
        np.testing.assert_allclose(scale.forward(X), X * np.arange(4) + 1)
        np.testing.assert_allclose(hook(scale, voice, "update_grad_input", X, X), X * np.arange(4))


# ---------------------------------------------------------------------------------------------------------------
# Results are the caller's
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY_LAYER)
@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_results_never_change_afterwards(voice, kind, mode):
    layer, dy, kept = layer_of(voice, kind), slope_of(kind), []
    layer.forward(X)
    hook(layer, voice, "evaluate") if mode == "evaluate" else layer.train()
    for shift in range(4):
        x = X + shift
        results = layer.forward(x), layer.backward(x, dy)
        kept += [(result, result.copy()) for result in results]
        same = kind == "Dropout" and mode == "evaluate"
        assert (results[0] is x) == same and (results[1] is dy) == same
        for result in results:
            shares = any(np.may_share_memory(result, given) for given in (x, dy, *flat(parameters(layer, voice))))
            assert shares == (same or kind == "Flatten") and result.flags.writeable
    for result, copy in kept:
        np.testing.assert_array_equal(result, copy)


VIEWS = {
    "rows": lambda array: array[::2],
    "transposed": lambda array: array.T,
    "flat": lambda array: array.reshape(-1)[5:],
    "memoryview": lambda array: np.asarray(memoryview(array)),
    "buffer": lambda array: np.frombuffer(array, array.dtype),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_keeps_the_memory_of_its_result(voice, lib, view):
    layer, act, x = lib.Linear(200, 300), lib.ReLU(), np.random.default_rng(5).standard_normal((128, 200))
    kept = []
    for step in range(6):
        y = act.forward(layer.forward(x + step))
        dx = layer.backward(x, act.backward(layer.output, y))
        kept += [(piece, piece.copy()) for piece in (view(y), view(dx))]
        del y, dx
        layer.output = act.output = None
        for one in (layer, act):
            setattr(one, voice.grad_input, None)
    for piece, copy in kept:
        np.testing.assert_array_equal(piece, copy)


def test_large_weights_are_read_at_every_call(voice, lib):
    layer, x = lib.Linear(200, 300), np.random.default_rng(5).standard_normal((128, 200))
    for change in (lambda w: w.T[3].fill(1), lambda w: w.reshape(-1)[::7].fill(2), lambda w: np.negative(w, out=w)):
        layer.forward(x)
        dy = np.ones((128, 300))
        layer.backward(x, dy)
        change(layer.W)
        np.testing.assert_allclose(layer.forward(x), linear_by_formula(layer, voice, x), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(layer.backward(x, dy), dy @ weight(voice, layer.W), rtol=1e-10, atol=1e-10)


def test_results_may_be_written_by_the_caller(voice, lib):
    layer = lib.Linear(4, 3)
    layer.forward(X)[...] = np.nan
    layer.backward(X, DY)[...] = np.nan
    assert np.isfinite(layer.forward(X)).all() and np.isfinite(layer.W).all()


@pytest.mark.parametrize("made", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_of_arguments(voice, made):
    for kind in set(EVERY_LAYER) - {"Dropout"}:
        layer, dy = layer_of(voice, kind), slope_of(kind)
        expected = [layer.forward(X), layer.backward(X, dy), *map(np.copy, gradients(layer, voice))]
        hook(layer, voice, "zero_grad_params")
        x, g = made(X), made(dy)
        got = [layer.forward(x), layer.backward(x, g), *gradients(layer, voice)]
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=kind)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(g, dy)


def test_batches_of_any_size_and_views(voice, lib):
    net = voice.sequential(lib, lib.Linear(4, 8), lib.ReLU(), lib.Linear(8, 3), lib.LogSoftMax())
    data = np.random.default_rng(3).standard_normal((4, 10_000)).T
    whole = net.forward(data)
    for rows in (slice(0, 1), slice(3, 10), slice(None, None, 7), slice(9000, None, -100)):
        np.testing.assert_allclose(net.forward(data[rows]), whole[rows], rtol=1e-12, atol=1e-12)
        assert net.backward(data[rows], whole[rows]).shape == data[rows].shape


@pytest.mark.parametrize("given", [X.tolist(), X[0].tolist(), (10 * X).astype(int), (10 * X).astype(int)[0]])
def test_lists_and_integers(voice, lib, given):
    layer = lib.Linear(4, 3)
    got = layer.forward(given)
    np.testing.assert_allclose(got, linear_by_formula(layer, voice, np.asarray(given, float)))
    assert lib.SoftPlus().forward(given).dtype == np.float64


def test_gradients_from_outside(voice, lib):
    layer = lib.Linear(np.int64(4), np.int32(3))
    for made in (np.asfortranarray, np.float32, np.array):
        held = made(np.zeros(layer.W.shape))
        setattr(layer, voice.gradients["W"], held)
        layer.backward(X, DY)
        np.testing.assert_allclose(attribute(layer, voice, "W"), weight(voice, DY.T @ X), rtol=1e-5, atol=1e-6)
        assert (attribute(layer, voice, "W") is held) == voice.accumulates


def test_one_row_without_an_axis_for_rows(voice, lib):
    layer = lib.Linear(4, 3)
    assert layer.forward(X[0]).shape == (3,) and layer.backward(X[0], DY[0]).shape == (4,)
    np.testing.assert_allclose(weight(voice, attribute(layer, voice, "W")), np.outer(DY[0], X[0]))

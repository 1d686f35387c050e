"""Bad calls to the drop-in dialects: one line in the dialect's own names, nothing changed, nothing crashed."""

import copy

import numpy as np
import pytest
from compat_support import CRITERIONS, EVERY_LAYER, flat, gradients, hook, layer_of, parameters, slope_of
from course import VOICES
from support import outcome, read_only

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((6, 4)), np.eye(3)[[0, 1, 2, 0, 1, 2]]
CONFIGS = {"momentum": {"learning_rate": 0.1, "momentum": 0.9},
           "adam": {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}}  # fmt: skip


@pytest.fixture(params=VOICES.values(), ids=VOICES)
def voice(request):
    return request.param


@pytest.fixture
def lib(voice):
    return voice.compat


def slope_name(voice):
    return "grad_output" if voice.name in ("snake", "plain") else "gradOutput"


def state_of(module, voice):
    """Copies of the parameters and of the moving statistics."""
    layers = [module, *getattr(module, voice.modules, [])]
    names = ("moving_mean", "moving_variance")
    moving = [getattr(layer, name, None) for layer in layers for name in names]
    return [np.copy(array) for array in flat(parameters(module, voice)) + moving if array is not None]


def assert_line(result, kind, start):
    """The call raised an error of this kind, its text one line that starts so."""
    assert result[0] == "raised", f"returned {result[1]!r}"
    assert issubclass(result[1], kind), result
    assert result[2].startswith(start) and "\n" not in result[2] and len(result[2]) < 200, result[2]


BAD = {
    "text": ("words", TypeError),
    "None": (None, TypeError),
    "complex": (X + 1j, TypeError),
    "objects": (np.array([[object()] * 4]), TypeError),
    "strings": (np.array([["a"] * 4]), TypeError),
    "a dict": ({"a": 1}, TypeError),
    "dates": (np.zeros((6, 4), "m8[s]"), TypeError),
    "ragged": ([[1, 2, 3, 4], [1]], (TypeError, ValueError)),
}


@pytest.mark.parametrize("bad,kind", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", [kind for kind in EVERY_LAYER if kind != "Flatten"])
def test_inputs_and_gradients_of_wrong_types(voice, name, bad, kind):
    layer = layer_of(voice, name)
    layer.forward(X)
    before, label = state_of(layer, voice), type(layer).__name__
    assert_line(outcome(layer.forward, bad), kind, f"{label}: expected input")
    assert_line(outcome(layer.backward, X, bad), kind, f"{label}: expected {slope_name(voice)}")
    for a, b in zip(state_of(layer, voice), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert layer.forward(X).shape == slope_of(name).shape


@pytest.mark.parametrize("bad,kind", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", CRITERIONS)
def test_losses_of_wrong_types(voice, name, bad, kind):
    criterion, p = getattr(voice.compat, getattr(voice, name))(), np.full((6, 3), 1 / 3)
    label = type(criterion).__name__
    for method in (criterion.forward, criterion.backward):
        assert_line(outcome(method, bad, T), kind, f"{label}: expected input")
        assert_line(outcome(method, p, bad), kind, f"{label}: expected target")
        for short in (T[:4], T[:, :2]):
            assert_line(outcome(method, p, short), ValueError, f"{label}: expected target")


def test_shapes(voice, lib):
    layer, affine = lib.Linear(784, 3), getattr(lib, voice.affine)(4)
    result = outcome(layer.forward, np.zeros((64, 28, 28)))
    assert_line(result, ValueError, "Linear: expected input of shape (N, 784), got (64, 28, 28)")
    for shape in ((6, 783), (783,), (2, 3, 4, 784), ()):
        assert_line(outcome(layer.forward, np.zeros(shape)), ValueError, "Linear: expected input of shape (N, 784)")
    x, name = np.zeros((6, 784)), slope_name(voice)
    for shape in ((6, 4), (5, 3), (6,), (6, 3, 1)):
        assert_line(outcome(layer.backward, x, np.zeros(shape)), ValueError, f"Linear: expected {name} of shape ")
    result = outcome(layer.backward, x[:5], np.zeros((6, 3)))
    assert_line(result, ValueError, "Linear: expected ")
    assert voice.size_names[0] not in result[2], "a slope has the length of a row of the output"
    result = outcome(layer.backward, x[:, :5], np.zeros((6, 3)))
    assert_line(result, ValueError, "Linear: expected input of shape (N, 784), got (6, 5)")
    assert_line(outcome(affine.forward, X[:, :3]), ValueError, f"{voice.affine}: expected input of shape ")
    result = outcome(affine.forward, np.zeros((2, 4, 5)))
    assert_line(result, ValueError, f"{voice.affine}: expected input of shape ")
    assert result[2].endswith("got (2, 4, 5)")
    for make in (lib.ReLU, lib.Tanh, lib.SoftMax, lib.BatchNormalization, lib.Dropout):
        one = make()
        one.forward(X)
        text = "" if make is lib.Dropout else f"{name} of shape (6, 4), got (6, 3)"
        assert_line(outcome(one.backward, X, X[:, :3]), ValueError, f"{make.__name__}: expected {text}")
    assert_line(outcome(lib.Linear, 2.5, 3), (TypeError, ValueError), f"Linear: expected {voice.size_names[0]}")


@pytest.mark.parametrize("value", [np.zeros(5), np.zeros((2, 2, 2)), "words", None, np.zeros((3, 4), complex)])
def test_parameters_that_do_not_fit(voice, lib, value):
    layer = lib.Linear(4, 3)
    kept = layer.W
    kind = ValueError if isinstance(value, np.ndarray) and value.dtype == float else TypeError
    layer.W = value
    assert_line(outcome(layer.forward, X), kind, "Linear: expected W ")
    layer.W = kept
    assert layer.forward(X).shape == (6, 3)
    if voice.has_bias and value is not None:
        layer.b = value
        assert_line(outcome(layer.forward, X), kind, "Linear: expected b ")
    scale = getattr(lib, voice.affine)(4)
    scale.gamma = value
    assert_line(outcome(scale.forward, X), kind, f"{voice.affine}: expected ")


def test_evaluation_before_any_training(voice, lib):
    layer = lib.BatchNormalization()
    hook(layer, voice, "evaluate")
    assert_line(outcome(layer.forward, X), (ValueError, TypeError, RuntimeError), "BatchNormalization: ")
    assert layer.moving_mean is None
    layer.train()
    assert outcome(layer.forward, X)[0] == "returned"


def broken(voice, lib):
    """A layer whose hooks raise."""

    def fail(self, *args):
        raise RuntimeError("broken")

    return type("Broken", (lib.Module,), {voice.update_output: fail, voice.update_grad_input: fail})()


def test_errors_name_the_position_and_undo_the_statistics(voice, lib):
    inner = voice.sequential(lib, lib.BatchNormalization(0.5), lib.Linear(7, 2))
    net = voice.sequential(lib, lib.BatchNormalization(0.5), inner)
    for bad in (inner, broken(voice, lib)):
        net = voice.sequential(lib, lib.BatchNormalization(0.5), lib.Dropout(0.5), bad)
        stats = getattr(net, voice.modules)[0]
        stats.forward(X)
        held, values = stats.moving_mean, stats.moving_mean.copy()
        with pytest.raises((ValueError, RuntimeError)) as caught:
            net.forward(3 * X)
        assert caught.value.__notes__[-1] == f"in Sequential[2] ({type(bad).__name__})"
        assert stats.moving_mean is held or np.array_equal(stats.moving_mean, values)
        np.testing.assert_array_equal(stats.moving_mean, values)
    assert getattr(inner, voice.modules)[0].moving_mean is None
    net = voice.sequential(lib, lib.Linear(4, 4), lib.ReLU())
    net.forward(X)
    with pytest.raises(ValueError, match=slope_name(voice)) as caught:
        net.backward(X, X[:, :2])
    assert caught.value.__notes__ == ["in Sequential[1] (ReLU)"]


# ---------------------------------------------------------------------------------------------------------------
# Optimisers
# ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=CONFIGS)
def optimiser(request, voice, lib):
    """An optimiser, its name, its settings, and parameters and gradients after one step, with the state."""
    function, config = getattr(lib, getattr(voice, request.param)), CONFIGS[request.param]
    rng = np.random.default_rng(2)
    shapes = ((4, 3), (3,)), (), ((1, 5),)
    weights, slopes = ([[rng.standard_normal(shape) for shape in group] for group in shapes] for _ in range(2))
    slopes[2][0] = slopes[2][0][0]
    state = {}
    function(weights, slopes, config, state)
    return function, config, weights, slopes, state


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b)


def assert_refused(function, weights, slopes, config, state, kind, match=""):
    """The call raises one line and leaves weights and state as they were."""
    before = copy.deepcopy((weights, state))
    result = outcome(function, weights, slopes, config, state)
    assert_line(result, kind, "")
    assert match in result[2], result[2]
    assert same(weights, before[0]) and same(state, before[1])


def test_settings_that_are_missing_or_wrong(optimiser):
    function, config, weights, slopes, state = optimiser
    for key in config:
        part = {name: value for name, value in config.items() if name != key}
        assert_refused(function, weights, slopes, part, state, ValueError, key)
        assert_refused(function, weights, slopes, part, {}, ValueError, key)
        for bad in ("0.1", None, 1j):
            assert_refused(function, weights, slopes, {**config, key: bad}, state, TypeError, key)
    for bad in (None, "words", 3, [("learning_rate", 0.1)]):
        assert_refused(function, weights, slopes, bad, state, (TypeError, ValueError), "config")
        assert_refused(function, weights, slopes, config, bad, TypeError, "state")
    function(weights, slopes, {**config, "name": "not read", "decay": None}, state)


def test_lists_that_do_not_fit(optimiser):
    function, config, weights, slopes, state = optimiser
    for given in (state, {}):
        last = slopes[2][0]
        for bad in (np.zeros(4), np.zeros((2, 5)), np.zeros((0, 5))):
            assert_refused(function, weights, [*slopes[:2], [bad]], config, given, ValueError)
        for bad in (None, "words", last + 1j, last.astype(object)):
            assert_refused(function, weights, [*slopes[:2], [bad]], config, given, TypeError)
        assert_refused(function, [*weights[:2], [weights[2][0].astype(int)]], slopes, config, given, TypeError)
        assert_refused(function, [*weights[:2], [read_only(weights[2][0])]], slopes, config, given, ValueError)
        nested = [*weights[:2], [weights[2][0].tolist()]]
        assert_refused(function, nested, slopes, config, given, (TypeError, ValueError))


def test_a_state_of_another_net(optimiser):
    function, config, *_, state = optimiser
    other = [[np.zeros((4, 3)), np.zeros(3)], [np.zeros((2, 2))]]
    assert_refused(function, other, [[np.ones((4, 3)), np.ones(3)], [np.ones((2, 2))]], config, state, ValueError)


SPOILT = {"text": "words", "None": None, "a list": [0.0] * 3, "integers": np.zeros(3, int),
          "complex": np.zeros(3, complex), "read-only": read_only(np.zeros(3))}  # fmt: skip


@pytest.mark.parametrize("bad", SPOILT.values(), ids=SPOILT)
def test_a_state_that_was_spoilt(optimiser, bad):
    function, config, weights, slopes, state = optimiser
    kind = (TypeError, ValueError)
    for name in state:
        if name == "t":
            spoilt = {**state, "t": bad}
            assert_refused(function, weights, slopes, config, spoilt, kind)
            assert_refused(function, weights, slopes, config, {"t": bad}, kind)  # nothing is added either
        else:
            assert_refused(function, weights, slopes, config, {**state, name: {**state[name], 1: bad}}, kind)
            assert_refused(function, weights, slopes, config, {**state, name: bad}, kind)


def test_integer_gradients_are_refused_or_right(optimiser):
    function, config, weights, *_ = optimiser
    slopes = [[np.ones((4, 3), int), np.arange(3)], [], [np.ones(5, bool)]]
    twins, wide = copy.deepcopy(weights), [[slope.astype(float) for slope in group] for group in slopes]
    state, expected = {}, {}
    for _ in range(3):
        if outcome(function, weights, slopes, config, state)[0] == "raised":
            return
        function(twins, wide, config, expected)
    for got, right in zip(flat(weights), flat(twins), strict=True):
        np.testing.assert_allclose(got, right)


# ---------------------------------------------------------------------------------------------------------------
# Anything at all: an error or a result, and the layer works on
# ---------------------------------------------------------------------------------------------------------------


def strided(shape, strides):
    return np.lib.stride_tricks.as_strided(np.ones(64), shape, strides)


ODD = {
    "no axes": np.array(3.0),
    "a number": 3.0,
    "an empty list": [],
    "no rows": np.zeros((0, 4)),
    "no columns": np.zeros((4, 0)),
    "nothing": np.zeros(0),
    "objects": np.array([[1, 2, 3, 4]], dtype=object),
    "strides of nothing": strided((5, 4), (0, 0)),
    "overlapping rows": strided((60, 4), (8, 8)),
    "a huge stride and no rows": strided((0, 4), (2**60, 8)),
    "a huge stride and one row": strided((1, 4), (2**60, 8)),
    "broadcast": np.broadcast_to(np.ones(4), (1000, 4)),
    "reversed": np.ones((6, 8))[::-1, ::-2],
    "unaligned": np.frombuffer(bytes(8 * 24 + 3), np.uint8)[3:].view(np.float64).reshape(6, 4),
    "wide": np.longdouble(1) * np.ones((6, 4)),
    "half": np.ones((6, 4), np.float16),
    "swapped bytes": np.ones((6, 4), ">f8"),
    "records": np.zeros((6, 4), [("x", "f4"), ("y", "i1")]),
    "void": np.zeros((6, 4), "V8"),
    "bool": np.ones((6, 4), bool),
    "large integers": np.full((6, 4), 2**64 - 1, np.uint64),
    "not finite": np.array([[np.nan, np.inf, -np.inf, 1e308]] * 6),
    "denormal": np.full((6, 4), 5e-324),
    "many axes": np.ones((1,) * 31 + (4,)),
    "matrix": np.ones((6, 4)).view(np.matrix),
    "masked": np.ma.masked_array(np.ones((6, 4)), mask=np.eye(6, 4)),
    "a generator": (i for i in range(4)),
    "a class": np.ndarray,
    "itself": (lambda a: a.append(a) or a)([]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_nothing_crashes(voice, lib, odd):
    for name in EVERY_LAYER:
        layer = layer_of(voice, name)
        expected = layer_of(voice, name)
        expected.__dict__.update(copy.deepcopy(vars(layer)))
        outcome(layer.forward, odd)
        outcome(layer.backward, odd, odd)
        outcome(layer.backward, X, odd)
        outcome(layer.backward, odd, slope_of(name))
        if name not in ("BatchNormalization", "Dropout"):
            np.testing.assert_array_equal(layer.forward(X), expected.forward(X))
        for array in parameters(layer, voice):
            assert np.isfinite(array).all()
    for name in CRITERIONS:
        criterion = getattr(lib, getattr(voice, name))()
        for method in (criterion.forward, criterion.backward):
            outcome(method, odd, odd)
            outcome(method, odd, T)
            outcome(method, np.full((6, 3), 0.5), odd)
    for name in ("W", "b", "gamma", "moving_mean"):
        layer = lib.Linear(4, 3) if len(name) == 1 else getattr(lib, voice.affine)(4)
        layer = lib.BatchNormalization() if name == "moving_mean" else layer
        outcome(layer.forward, X)
        setattr(layer, name, odd)
        for method in (layer.forward, lambda x: layer.backward(x, X[:, :3]), repr):  # noqa: B023
            outcome(method, X)
    for optimiser in ("momentum", "adam"):
        function = getattr(lib, getattr(voice, optimiser))
        outcome(function, [[np.ones((6, 4))]], [[odd]], CONFIGS[optimiser], {})
        outcome(function, [[odd]], [[odd]], CONFIGS[optimiser], {})
        outcome(function, odd, odd, CONFIGS[optimiser], {})
        outcome(function, [[np.ones(4)]], [[np.ones(4)]], CONFIGS[optimiser],
                {key: {0: odd} for key in ("m", "v", "accumulated_grads")})  # fmt: skip


def test_empty_batches(voice):
    for name in EVERY_LAYER:
        layer, dy = layer_of(voice, name), slope_of(name)[:0]
        if name == "BatchNormalization":
            continue  # no mean of nothing
        assert layer.forward(X[:0]).shape == dy.shape and layer.backward(X[:0], dy).shape == (0, 4)
        assert not any(grad.any() for grad in gradients(layer, voice))

"""Containers of the drop-in dialects, and the layers with a state of their own: BatchNormalization and Dropout."""

import importlib

import numpy as np
import pytest
from compat_support import attribute, flat, gradients, hook, linear_by_formula, parameters, weight
from course import VOICES

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 3))


@pytest.fixture(params=VOICES.values(), ids=VOICES)
def voice(request):
    return request.param


@pytest.fixture
def lib(voice):
    return voice.compat


# ---------------------------------------------------------------------------------------------------------------
# Sequential
# ---------------------------------------------------------------------------------------------------------------


def test_the_list_of_layers(voice, lib):
    parts = lib.Linear(4, 5), lib.Tanh(), lib.Linear(5, 3)
    net = voice.sequential(lib, *parts)
    held = getattr(net, voice.modules)
    assert type(held) is (tuple if voice.name == "plain" else list) and list(held) == list(parts)
    if voice.name in ("torch7", "torch7_2017", "snake"):
        assert net[0] is parts[0] and net[-1] is parts[2]
    if voice.name != "plain":
        held[1] = lib.ReLU()
        held.insert(0, lib.Flatten())
        held.append(lib.SoftMax())
        del held[-1]
    else:
        net.layers = (lib.Flatten(), parts[0], lib.ReLU(), parts[2])
    hidden = np.maximum(linear_by_formula(parts[0], voice, X), 0)
    np.testing.assert_allclose(net.forward(X), linear_by_formula(parts[2], voice, hidden))
    assert len(flat(parameters(net, voice))) == 2 * len(voice.linear_parameters)


def test_what_the_container_stores(voice, lib):
    parts = lib.Linear(4, 5), lib.ReLU(), lib.Linear(5, 3)
    net = voice.sequential(lib, *parts)
    y = net.forward(X)
    assert isinstance(y, np.ndarray)
    dx = net.backward(X, DY)
    assert isinstance(dx, np.ndarray)
    if voice.name == "snake":
        assert [id(a) for a in net.output] == [id(a) for a in (X, *(part.output for part in parts))]
        slopes = (DY, *(part.grad_input for part in reversed(parts)))
        assert [id(a) for a in net.grad_input] == [id(a) for a in slopes]
        assert net.output[-1] is y and net.grad_input[-1] is dx
        held = net.output
        kept = [array.copy() for array in held]
        net.forward(X + 1)
        assert net.output is not held and all(map(np.array_equal, held, kept)) and len(held) == 4
    else:
        assert net.output is y is parts[2].output
        assert voice.name == "plain" or net.gradInput is dx is parts[0].gradInput


def test_children_run_by_hand(voice, lib):
    first, second = lib.Linear(4, 5), lib.Linear(5, 3)
    net, other = voice.sequential(lib, first, second), RNG.standard_normal((6, 4))
    net.forward(X)
    passed = first.output
    first.forward(other)
    hook(net, voice, "zero_grad_params")
    net.backward(X, DY)
    seen = passed if voice.name == "snake" else first.output
    np.testing.assert_allclose(attribute(second, voice, "W"), weight(voice, DY.T @ seen))
    inner = DY @ weight(voice, second.W)
    np.testing.assert_allclose(attribute(first, voice, "W"), weight(voice, inner.T @ X))
    first.output = 2 * X @ RNG.standard_normal((4, 5))
    hook(net, voice, "zero_grad_params")
    net.backward(other, DY)
    if voice.name != "snake":
        np.testing.assert_allclose(attribute(second, voice, "W"), weight(voice, DY.T @ first.output))
    np.testing.assert_allclose(attribute(first, voice, "W"), weight(voice, inner.T @ other))


def test_an_empty_container_is_the_identity(voice, lib):
    net = voice.sequential(lib)
    np.testing.assert_array_equal(net.forward(X), X)
    np.testing.assert_array_equal(net.backward(X, DY), DY)
    assert parameters(net, voice) == [] == gradients(net, voice)
    around = voice.sequential(lib, lib.Linear(4, 3), net)
    np.testing.assert_array_equal(around.forward(X), around.forward(X))
    assert around.backward(X, DY).shape == X.shape
    if voice.name == "snake":
        assert len(net.output) == len(net.grad_input) == 1


def test_containers_in_containers(voice, lib):
    parts = lib.Linear(4, 5), lib.ELU(), lib.Linear(5, 5), lib.Tanh(), lib.Linear(5, 3)
    one = voice.sequential(lib, *parts)
    y, dx = one.forward(X), one.backward(X, DY)
    slopes = [grad.copy() for grad in flat(gradients(one, voice))]
    hook(one, voice, "zero_grad_params")
    inner = voice.sequential(lib, *parts[:2]), voice.sequential(lib, parts[2], voice.sequential(lib, parts[3]))
    two = voice.sequential(lib, *inner, parts[4])
    np.testing.assert_array_equal(two.forward(X), y)
    np.testing.assert_array_equal(two.backward(X, DY), dx)
    np.testing.assert_array_equal(hook(two, voice, "update_output", X), y)
    for got, expected in zip(flat(gradients(two, voice)), slopes, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_modes_reach_the_layers_unless_switched_off(voice, lib, monkeypatch):
    leaf = lib.Dropout(0.5)
    inner = voice.sequential(lib, leaf)
    net = voice.sequential(lib, inner, lib.ReLU())
    modes = lambda: [getattr(module, voice.training) for module in (net, inner, leaf)]  # noqa: E731
    hook(net, voice, "evaluate")
    assert modes() == [False] * 3
    np.testing.assert_array_equal(net.forward(X), np.maximum(X, 0))
    net.train()
    assert modes() == [True] * 3
    assert lib.Sequential.propagate_modes is True
    monkeypatch.setattr(lib.Sequential, "propagate_modes", False)
    hook(net, voice, "evaluate")
    assert modes() == [False, True, True]
    leaf.train()
    net.forward(X)
    assert set(np.unique(leaf.mask)) <= {0, 1}


@pytest.mark.parametrize("kind", ["SoftMax", "LogSoftMax"])
def test_softmax_starts_from_its_output_or_from_the_input(voice, lib, kind):
    layer, twin, other = getattr(lib, kind)(), getattr(lib, kind)(), RNG.standard_normal((6, 3))
    layer.forward(DY)
    twin.forward(other if voice.name == "snake" else DY)
    expected = twin.backward(other if voice.name == "snake" else DY, X[:, :3])
    np.testing.assert_allclose(layer.backward(other, X[:, :3]), expected, rtol=1e-12)
    assert not np.array_equal(layer.forward(other), layer.forward(DY))


# ---------------------------------------------------------------------------------------------------------------
# BatchNormalization and Dropout
# ---------------------------------------------------------------------------------------------------------------


def test_moving_statistics_are_rebound(voice, lib):
    layer = lib.BatchNormalization(0.75)
    assert layer.moving_mean is None and layer.moving_variance is None
    layer.forward(X)
    mean, variance = layer.moving_mean, layer.moving_variance
    np.testing.assert_allclose([mean, variance], [X.mean(axis=0), X.var(axis=0)])
    kept = mean.copy(), variance.copy()
    layer.forward(3 * X)
    assert layer.moving_mean is not mean and layer.moving_variance is not variance
    np.testing.assert_array_equal([mean, variance], kept)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * kept[0] + 0.25 * 3 * X.mean(axis=0))
    np.testing.assert_allclose(layer.moving_variance, 0.75 * kept[1] + 0.25 * 9 * X.var(axis=0))
    hook(layer, voice, "evaluate")
    mean = layer.moving_mean
    layer.backward(layer.forward(X), X)
    assert layer.moving_mean is mean


def test_eps_is_read_from_the_instance_and_the_class(voice, lib, monkeypatch):
    layer, other = lib.BatchNormalization(), lib.BatchNormalization()
    assert lib.BatchNormalization.EPS == layer.EPS == 1e-3
    layer.EPS = 1.0
    monkeypatch.setattr(lib.BatchNormalization, "EPS", 2.0)
    for one, eps in ((layer, 1.0), (other, 2.0)):
        np.testing.assert_allclose(one.forward(X), (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + eps))
        hook(one, voice, "evaluate")
        np.testing.assert_allclose(one.forward(X), (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + eps))
        if voice.name != "snake":
            np.testing.assert_allclose(one.backward(X, X), X / np.sqrt(X.var(axis=0) + eps))
    if voice.name == "plain":
        return
    make, p = getattr(lib, voice.nll_on_probabilities), np.array([[0.0, 1.0]])
    criterion = make()
    assert make.EPS == criterion.EPS == 1e-15
    criterion.EPS = 0.25
    assert criterion.forward(p, [[1, 0]]) == pytest.approx(-np.log(0.25))
    np.testing.assert_allclose(criterion.backward(p, np.array([[1.0, 0]])), [[-4, 0]])
    monkeypatch.setattr(make, "EPS", 0.125)
    assert make().forward(p, np.array([[1, 0]])) == pytest.approx(-np.log(0.125))


def test_the_mask(voice, lib):
    layer = lib.Dropout(0.5)
    assert layer.mask is None or list(layer.mask) == []
    assert (layer.mask is None) if voice.name == "torch7" else (layer.mask == [] or voice.name != "snake")
    y = layer.forward(X)
    assert layer.mask.shape == X.shape and set(np.unique(layer.mask)) <= {0, 1}
    np.testing.assert_allclose(y, X * layer.mask / 0.5)
    held, kept = layer.mask, layer.mask.copy()
    layer.forward(X)
    np.testing.assert_array_equal(held, kept)
    layer.mask = np.arange(24).reshape(6, 4) % 2  # a program may set its own
    np.testing.assert_allclose(layer.backward(X, X), X * layer.mask / 0.5)
    assert lib.Dropout().p == 0.5


def test_astype(voice, lib):
    net = voice.sequential(lib, lib.Linear(4, 3), lib.ReLU())
    assert importlib.import_module("fastnn.compat").astype(net, np.float32) is net
    assert {array.dtype for array in flat(parameters(net, voice)) + flat(gradients(net, voice))} == {np.dtype("f4")}
    assert net.forward(X.astype("f4")).dtype == net.backward(X.astype("f4"), DY.astype("f4")).dtype == np.float32

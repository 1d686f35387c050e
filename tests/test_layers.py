"""Every layer of the registry: true derivatives, dtypes, saved state, copies, printing, accumulation."""

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
from cases import CONTAINERS, LAYERS, build
from support import DTYPES, assert_same_bits, assert_slopes, same_bits

import fastnn
from fastnn import nn

layers = pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@pytest.fixture(autouse=True)
def _seed():
    fastnn.manual_seed(0)


def test_every_layer_has_a_row():
    classes = {value for value in vars(nn).values() if inspect.isclass(value) and issubclass(value, nn.Module)}
    public = {layer.__name__ for layer in classes}  # Parallel is another name of one
    assert public - {"Module"} == {row.name for row in LAYERS}


# ---------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------


@layers
@modes
def test_gradients_by_input_and_parameters_are_the_derivatives(row, training):
    for shape in row.shapes:
        layer, x = row.layer().train(training), row.input(shape)
        if training and row.name.startswith("BatchNorm"):
            x = x + 3 * np.arange(x.shape[1]).reshape(1, -1, *(1,) * (x.ndim - 2))
        fresh = copy.deepcopy(layer)  # every evaluation starts from it: the same mask, the same statistics
        dy = np.random.default_rng(2).standard_normal(layer.forward(x).shape)
        layer.zero_grad()
        dx = layer.backward(x, dy)
        assert dx.shape == x.shape and (not row.indices or not dx.any())

        def loss(fresh=fresh, x=x, dy=dy):
            return float((copy.deepcopy(fresh).forward(x) * dy).sum())

        if not row.indices:
            assert_slopes(dx, loss, x, f"input {shape}")
        for (name, param), grad in zip(fresh.named_parameters(), layer.grad_parameters(), strict=True):
            first = int(getattr(layer, "padding_idx", None) == 0)  # a row that is not trained
            assert not grad[:first].any()
            assert_slopes(grad[first:], loss, param[first:], f"{name} {shape}")


SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
FORMULAS = {  # of the default arguments, in Python floats
    "Identity()": lambda x: x,
    "ReLU()": lambda x: max(x, 0),
    "LeakyReLU()": lambda x: x if x > 0 else 0.01 * x,
    "ELU()": lambda x: x if x > 0 else math.expm1(x),
    "SELU()": lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x)),
    "Softplus()": lambda x: math.log1p(math.exp(x)),
    "Sigmoid()": lambda x: 1 / (1 + math.exp(-x)),
    "Tanh()": math.tanh,
    "GELU()": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "GELU(approximate='tanh')": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "SiLU()": lambda x: x / (1 + math.exp(-x)),
    "Mish()": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "Hardtanh()": lambda x: min(max(x, -1), 1),
}


@pytest.mark.parametrize("call", FORMULAS)
def test_activations_follow_their_formulas(call):
    points = np.array([-30, -5, -1.5, -1, -0.1, -1e-9, 0, 1e-9, 0.3, 1, 2.5, 15])
    expected = [FORMULAS[call](x) for x in points.tolist()]
    np.testing.assert_allclose(build(call, nn).forward(points), expected, rtol=1e-13, atol=1e-15)


# ---------------------------------------------------------------------------------------------------------------
# Dtypes, shapes, and whose arrays they are
# ---------------------------------------------------------------------------------------------------------------


@layers
@dtypes
@modes
def test_everything_stays_in_the_dtype_of_input_and_parameters(row, dtype, training):
    layer = row.layer(dtype).train(training)
    exact = copy.deepcopy(layer).astype(np.float64)
    for shape in row.shapes:
        x = row.input(shape, dtype)
        y = layer.forward(x)
        dy = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
        dx = layer.backward(x, dy)
        assert y.dtype == dx.dtype == dtype
        assert {a.dtype for a in (*layer.parameters(), *layer.grad_parameters())} <= {np.dtype(dtype)}
        tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
        wide = x if row.indices else x.astype(float)
        np.testing.assert_allclose(y, exact.forward(wide), **tolerance)
        np.testing.assert_allclose(dx, exact.backward(wide, dy.astype(float)), **tolerance)
        for grad, same in zip(layer.grad_parameters(), exact.grad_parameters(), strict=True):
            np.testing.assert_allclose(grad, same, **tolerance)


@layers
@modes
def test_arrays_of_earlier_calls_are_not_changed_by_later_ones(row, training):
    for shape in row.shapes:
        layer = row.layer().train(training)
        x, other = row.input(shape), row.input(shape, seed=9)
        y = layer.forward(x)
        dx = layer.backward(x, np.ones_like(y))
        kept = x.copy(), np.array(y), np.array(dx)
        for _ in range(3):
            layer.backward(other, 2 * np.ones_like(layer.forward(other)))
        layer.zero_grad()
        assert all(same_bits(a, b) for a, b in zip((x, y, dx), kept, strict=True))


@layers
@modes
def test_outputs_are_kept_as_attributes_and_calls_are_forwards(row, training):
    layer = row.layer().train(training)
    x = row.input(row.shapes[0])
    y = copy.deepcopy(layer)(x)
    assert_same_bits([layer.forward(x)], [y])
    dx = layer.backward(x, np.ones_like(y))
    assert layer.output.shape == y.shape and layer.grad_input is dx


@layers
def test_layers_take_an_empty_batch(row):
    for shape in row.shapes:
        if len(shape) == 1 or row.call == "Flatten(0, -2)" or row.call == "Softmax(0)":
            continue
        layer = row.layer()
        before = layer.state_dict()
        y = layer.forward(np.empty((0, *shape[1:])))
        assert y.shape[0] == 0 and layer.backward(np.empty((0, *shape[1:])), np.empty(y.shape)).shape == (0, *shape[1:])
        assert all(same_bits(value, before[name]) for name, value in layer.state_dict().items())
        assert not any(grad.any() for grad in layer.grad_parameters())


# ---------------------------------------------------------------------------------------------------------------
# Accumulation
# ---------------------------------------------------------------------------------------------------------------


@layers
@modes
def test_gradients_accumulate_until_they_are_zeroed(row, training):
    layer = row.layer().train(training)
    x = row.input(row.shapes[0])
    y = layer.forward(x)
    dy = np.random.default_rng(3).standard_normal(y.shape)
    layer.zero_grad()
    layer.backward(x, dy)
    live = layer.grad_parameters()
    once = [grad.copy() for grad in live]
    layer.backward(x, dy)
    for grad, first in zip(live, once, strict=True):
        np.testing.assert_allclose(grad, 2 * first, rtol=1e-12, atol=1e-12)
    layer.zero_grad()
    assert not any(grad.any() for grad in live)
    assert all(a is b for a, b in zip(layer.grad_parameters(), live, strict=True))


@layers
@modes
def test_the_hooks_do_the_halves_of_backward(row, training):
    layer = row.layer().train(training)
    x = row.input(row.shapes[0])
    dy = np.random.default_rng(3).standard_normal(layer.forward(x).shape)
    layer.zero_grad()
    dx = layer.backward(x, dy)
    grads = [grad.copy() for grad in layer.grad_parameters()]
    layer.zero_grad()
    np.testing.assert_allclose(layer.update_grad_input(x, dy), dx, rtol=1e-14)
    assert not any(grad.any() for grad in layer.grad_parameters())
    layer.acc_grad_params(x, dy)
    for grad, same in zip(layer.grad_parameters(), grads, strict=True):
        np.testing.assert_allclose(grad, same, rtol=1e-14)


# ---------------------------------------------------------------------------------------------------------------
# Copies, saved state, printing
# ---------------------------------------------------------------------------------------------------------------


def assert_same_behaviour(one, other, x):
    """Both give the same outputs and gradients, bit for bit, in a training step and in evaluation."""
    for training in (True, False):
        results = []
        for layer in (one, other):
            layer.train(training).zero_grad()
            y = layer.forward(x)
            results.append([y, layer.backward(x, np.ones_like(y)), *layer.grad_parameters(), *layer.parameters()])
        assert_same_bits(*results)


@layers
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"]
)
def test_copies_behave_the_same_and_share_nothing(row, copied):
    layer, x = row.layer(), row.input(row.shapes[0])
    layer.backward(x, np.ones_like(layer.forward(x)))
    twin = copied(layer)
    assert twin.output is None or copied is copy.deepcopy
    assert not any(np.may_share_memory(a, b) for a in layer.parameters() for b in twin.parameters())
    assert_same_behaviour(layer, twin, x)


@layers
def test_the_state_of_one_layer_can_be_loaded_into_another(row):
    layer, x = row.layer(seed=0), row.input(row.shapes[0])
    other = row.layer(seed=1)
    state = layer.state_dict()
    assert (
        list(state) == [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]
        or row.name in CONTAINERS
    )
    assert set(state) == {name for name, _ in (*layer.named_parameters(), *layer.named_buffers())}
    live = other.parameters()
    other.load_state_dict(state)
    assert all(a is b for a, b in zip(other.parameters(), live, strict=True))
    if "Dropout" not in row.call:  # a mask's key is not in the state_dict
        assert_same_behaviour(layer, other, x)
    assert not any(np.may_share_memory(a, b) for a in state.values() for b in layer.parameters())


@layers
def test_astype_converts_and_keeps_the_layout(row):
    layer = row.layer(np.float32)
    orders = [(array.flags.c_contiguous, array.flags.f_contiguous) for array in layer.parameters()]
    before = layer.state_dict()
    assert layer.astype(np.float64) is layer
    for array, grad, order in zip(layer.parameters(), layer.grad_parameters(), orders, strict=True):
        assert array.dtype == grad.dtype == np.float64
        assert (array.flags.c_contiguous, array.flags.f_contiguous) == order
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("row", [row for row in LAYERS if row.name not in CONTAINERS], ids=lambda row: row.id)
def test_the_repr_of_a_layer_builds_its_twin(row):
    layer = row.layer()
    twin = build(repr(layer), nn)
    assert type(twin) is type(layer) and repr(twin) == repr(layer) and twin.config() == {
        **layer.config(), **({"dtype": "float32"} if "dtype" in layer.config() else {})}  # fmt: skip


@layers
def test_the_configuration_builds_the_same_architecture(row):
    layer = row.layer(np.float64)
    twin = nn.from_config(layer.config())
    assert repr(twin) == repr(layer) and twin.config() == layer.config()
    twin.load_state_dict(layer.state_dict())
    if "Dropout" not in row.call:
        assert_same_behaviour(layer, twin, row.input(row.shapes[0]))

"""Optimisers of the registry: formulas, both back ends, any layout, resuming, and steps that fail."""

import copy
import inspect
import math

import numpy as np
import pytest
from cases import OPTIMIZERS, build
from support import DTYPES, LAYOUTS, Arrays, assert_same_bits, model_of, needs_native, outcome, read_only

from fastnn import backend, nn, optim, reference

optimizers = pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.id)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
STEPS = 8


def new_gradients(model, number):
    rng = np.random.default_rng([7, number])
    for grad in model.grads:
        grad[...] = rng.standard_normal(grad.shape)


def train(optimizer, steps=STEPS, start=0):
    """Steps with fresh gradients each; the same ones for the same numbers."""
    for number in range(start, start + steps):
        new_gradients(optimizer.model, number)
        optimizer.step()
    return optimizer.model.parameters()


def test_every_optimiser_has_a_row():
    public = {n for n, v in vars(optim).items() if inspect.isclass(v) and issubclass(v, optim.Optimizer)}
    assert public - {"Optimizer"} == {row.name for row in OPTIMIZERS}


# ---------------------------------------------------------------------------------------------------------------
# The steps
# ---------------------------------------------------------------------------------------------------------------


@needs_native
@optimizers
@dtypes
def test_native_trajectories_follow_the_reference(isa, row, dtype):
    with backend.use_backend("reference"):
        expected = train(row.optimizer(model_of(np.float64)))
    with backend.use_backend("native"):
        got = train(row.optimizer(model_of(dtype)))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        allowed = STEPS * np.finfo(dtype).eps  # one rounding of a parameter near 1 in each step
        np.testing.assert_allclose(a, b, rtol=allowed, atol=allowed)


@optimizers
def test_the_first_steps_follow_the_documented_formula(row):
    """One parameter, three steps, computed here in Python floats from the formulas of the classes."""
    model = Arrays([np.array([0.7])], [np.zeros(1)])
    optimizer = row.optimizer(model)
    h = {name: getattr(optimizer, name) for name in optimizer.rules}
    p, state = 0.7, {}
    for k, g in enumerate((0.5, -0.3, 0.9)):
        model.grads[0][...] = g
        optimizer.step()
        p = FORMULAS[row.name](h, p, g, state, k)
        np.testing.assert_allclose(model.params[0], p, rtol=1e-12)


def sgd(h, p, g, state, k):
    g += h["weight_decay"] * p
    if h["momentum"]:
        v = state["v"] = g if k == 0 else h["momentum"] * state["v"] + (1 - h["dampening"]) * g
        g = g + h["momentum"] * v if h["nesterov"] else v
    return p - h["lr"] * g


def adam(h, p, g, state, k, decoupled=False):
    (b1, b2), t = h["betas"], k + 1
    p *= 1 - h["lr"] * h["weight_decay"] if decoupled else 1
    g += 0 if decoupled else h["weight_decay"] * p
    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0) + (1 - b2) * g * g
    state["max"] = max(state.get("max", 0), state["v"])
    v = state["max"] if h["amsgrad"] else state["v"]
    return p - h["lr"] * (state["m"] / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + h["eps"])


def rmsprop(h, p, g, state, k):
    g += h["weight_decay"] * p
    state["s"] = h["alpha"] * state.get("s", 0) + (1 - h["alpha"]) * g * g
    state["g"] = h["alpha"] * state.get("g", 0) + (1 - h["alpha"]) * g
    root = math.sqrt(state["s"] - (state["g"] ** 2 if h["centered"] else 0)) + h["eps"]
    state["v"] = h["momentum"] * state.get("v", 0) + g / root
    return p - h["lr"] * state["v"]


def adagrad(h, p, g, state, k):
    g += h["weight_decay"] * p
    state["s"] = state.get("s", h["initial_accumulator_value"]) + g * g
    return p - h["lr"] / (1 + k * h["lr_decay"]) * g / (math.sqrt(state["s"]) + h["eps"])


FORMULAS = {
    "SGD": sgd, "Adam": adam, "AdamW": lambda *a: adam(*a, decoupled=True), "RMSprop": rmsprop, "Adagrad": adagrad,
}  # fmt: skip


@optimizers
@dtypes
@pytest.mark.parametrize("layout", [*LAYOUTS, "mixed"])
def test_arrays_of_every_layout_are_updated_in_place(row, dtype, layout):
    expected = train(row.optimizer(model_of(dtype)))
    model = model_of(dtype, LAYOUTS.get(layout, LAYOUTS["fortran"]))
    if layout == "mixed":
        model.grads = [LAYOUTS["strided"](grad) for grad in model.grads]
    live = list(model.params)
    got = train(row.optimizer(model))
    assert all(a is b for a, b in zip(got, live, strict=True))
    for a, b in zip(got, expected, strict=True):  # a compiler may fuse other products in the last, partial vector
        np.testing.assert_allclose(a, b, rtol=50 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)


@optimizers
def test_gradients_are_read_only_for_the_optimiser(row):
    model = model_of()
    new_gradients(model, 0)
    kept = [grad.copy() for grad in model.grads]
    model.grads = [read_only(grad) for grad in model.grads]
    row.optimizer(model).step()
    assert_same_bits(model.grads, kept)


@optimizers
def test_an_empty_model_and_empty_parameters_take_a_step(row):
    for model in (Arrays([], []), Arrays([np.empty((0, 3))], [np.empty((0, 3))])):
        row.optimizer(model).step()
        assert all(param.size == 0 for param in model.params)


@optimizers
def test_hyper_parameters_are_read_at_every_step(row):
    still, moved = row.optimizer(model_of()), row.optimizer(model_of())
    train(still), train(moved)
    assert_same_bits(still.model.params, moved.model.params)
    moved.lr *= 0.5
    before = [param.copy() for param in moved.model.params]
    train(still, 1, STEPS), train(moved, 1, STEPS)
    decay = getattr(moved, "weight_decay", 0)
    for a, b, old in zip(still.model.params, moved.model.params, before, strict=True):
        if row.name != "AdamW" or not decay:
            np.testing.assert_allclose(a - old, 2 * (b - old), rtol=1e-7, atol=1e-12)
        assert not (a == b).all()


def test_it_trains():
    """Every optimiser brings the loss of a small regression well below where it started."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    y = np.tanh(x @ rng.standard_normal((4, 2)).astype(np.float32))
    for row in OPTIMIZERS:
        model, criterion = nn.Sequential(nn.Linear(4, 16, rng=0), nn.Tanh(), nn.Linear(16, 2, rng=1)), nn.MSELoss()
        optimizer = row.optimizer(model)
        losses = []
        for _ in range(300):
            optimizer.zero_grad()
            out = model.forward(x)
            losses.append(criterion.forward(out, y))
            model.backward(x, criterion.backward(out, y))
            optimizer.step()
        assert losses[-1] < 0.7 * losses[0], row.id


# ---------------------------------------------------------------------------------------------------------------
# State and failures
# ---------------------------------------------------------------------------------------------------------------


@optimizers
@pytest.mark.parametrize("layout", ["contiguous", "fortran"])
def test_a_run_resumed_from_its_state_goes_on_bit_for_bit(row, layout):
    whole = row.optimizer(model_of())
    train(whole, 2 * STEPS)
    first = row.optimizer(model_of())
    train(first)
    state = first.state_dict()
    kept = copy.deepcopy(state)
    second = build(
        f"{row.name}(model)", optim, model=Arrays([LAYOUTS[layout](p) for p in first.model.params], first.model.grads)
    )
    second.load_state_dict(state)
    train(first), train(second, STEPS, STEPS)  # the first goes on too: the state is a copy
    assert_same_bits(second.model.params, whole.model.params)
    assert second.state_dict()["hyperparameters"] == kept["hyperparameters"]
    for index, entry in kept["state"].items():
        for name, value in entry.items():
            np.testing.assert_array_equal(value, state["state"][index][name])


@optimizers
def test_states_are_named_as_documented_and_survive_a_change_of_dtype(row):
    optimizer = row.optimizer(model_of(np.float32))
    train(optimizer)
    narrow = build(f"{row.name}(model)", optim, model=model_of(np.float64))
    narrow.load_state_dict(optimizer.state_dict())
    for entry in narrow.state.values():
        assert entry["step"] == STEPS and set(entry) - {"step"} <= set(type(optimizer).state_names)
        assert all(entry[name].dtype == np.float64 for name in entry if name != "step")


def test_states_that_the_hyper_parameters_do_not_ask_for_are_not_kept():
    for call, names in (("SGD(model)", set()), ("SGD(model, momentum=0.9)", {"momentum_buffer"}),
                        ("Adam(model)", {"exp_avg", "exp_avg_sq"}), ("RMSprop(model)", {"square_avg"}),
                        ("AdamW(model, amsgrad=True)", {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
                        ("RMSprop(model, momentum=0.9, centered=True)",
                         {"square_avg", "grad_avg", "momentum_buffer"})):  # fmt: skip
        optimizer = build(call, optim, model=model_of())
        optimizer.step()
        assert all(set(entry) - {"step"} == names for entry in optimizer.state_dict()["state"].values()), call


def spoilt_models():
    def spoilt(change):
        model = model_of()
        new_gradients(model, 0)
        change(model)
        return model

    def put(array, where="params", at=2):
        return lambda model: getattr(model, where).__setitem__(at, array)

    yield "one gradient less", spoilt(lambda model: model.grads.pop())
    yield "a read-only parameter", spoilt(put(read_only(np.zeros((2, 3, 4)))))
    yield "a gradient of another shape", spoilt(put(np.zeros((2, 3, 5)), "grads"))
    yield "integer gradients", spoilt(put(np.zeros((2, 3, 4), int), "grads"))
    yield "a list", spoilt(put([1.0, 2.0]))
    yield "None", spoilt(put(None, "grads"))
    yield "float16 parameters", spoilt(put(np.zeros((2, 3, 4), np.float16)))
    yield "another byte order", spoilt(put(np.zeros((2, 3, 4), ">f8")))


@optimizers
@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in spoilt_models()])
def test_a_step_that_fails_leaves_everything_as_it_was(row, model):
    good = model_of()
    optimizer = row.optimizer(good)
    for started in (False, True):
        if started:
            train(optimizer, 2)
        state = copy.deepcopy(optimizer.state_dict())
        broken = Arrays(
            [p.copy() if isinstance(p, np.ndarray) and p.flags.writeable else p for p in model.params], model.grads
        )
        optimizer.model = broken
        result = outcome(optimizer.step)
        assert result[0] == "raised" and result[1] in (TypeError, ValueError) and f"{row.name}: expected " in result[2]
        for a, b in zip(broken.params, model.params, strict=True):
            np.testing.assert_array_equal(a, b)
        after = optimizer.state_dict()
        assert after["hyperparameters"] == state["hyperparameters"] and set(after["state"]) == set(state["state"])
        for index, entry in state["state"].items():
            assert_same_bits([after["state"][index][name] for name in entry], list(entry.values()))
        optimizer.model = good


@optimizers
def test_a_saved_state_that_does_not_fit_is_refused_and_changes_nothing(row):
    optimizer = row.optimizer(model_of())
    train(optimizer)
    good = optimizer.state_dict()
    names = [name for name in good["state"].get(0, {}) if name != "step"]
    spoilt = [None, {}, {"state": {}}, {**good, "more": 1}, {**good, "hyperparameters": {}},
              {**good, "hyperparameters": {**good["hyperparameters"], "lr": -1.0}},
              {**good, "hyperparameters": {**good["hyperparameters"], "lr": "a"}},
              {**good, "state": {99: good["state"][0]}}, {**good, "state": {0: {}}}, {**good, "state": [1]},
              {**good, "state": {0: {"step": -1}}}, {**good, "state": {0: {"step": 1.5}}},
              {**good, "state": {0: {"step": 1, "unknown": np.zeros(3)}}}]  # fmt: skip
    for name in names:
        for value in (np.zeros(3), np.zeros((5, 19), int), "text"):
            spoilt.append({**good, "state": {0: {**good["state"][0], name: value}}})
    for state in spoilt:
        result = outcome(optimizer.load_state_dict, state)
        assert result[0] == "raised" and result[1] in (TypeError, ValueError), state
        assert result[2].startswith(f"{row.name}"), result
    again = optimizer.state_dict()
    assert again["hyperparameters"] == good["hyperparameters"]
    for index, entry in good["state"].items():
        assert_same_bits([again["state"][index][name] for name in entry], list(entry.values()))


@pytest.mark.parametrize("call,kind,line", [
    ("SGD(3)", TypeError, "SGD: expected a model with parameters() and grad_parameters(), got int"),
    ("SGD(model, lr=-1)", ValueError, "SGD: expected lr >= 0, got -1"),
    ("SGD(model, momentum='a')", TypeError, "SGD: expected momentum as a real number, got 'a'"),
    ("SGD(model, nesterov=True)", ValueError, "SGD: expected momentum > 0 and dampening 0 with nesterov, got 0 and 0"),
    ("Adam(model, betas=(0.9, 1.0))", ValueError, "Adam: expected betas[1] >= 0 and < 1, got 1.0"),
    ("Adam(model, betas=0.9)", TypeError, "Adam: expected betas as two numbers, got float"),
    ("RMSprop(model, centered=1)", TypeError, "RMSprop: expected centered as True or False, got 1"),
    ("Adagrad(model, eps=float('inf'))", ValueError, "Adagrad: expected a finite eps, got inf"),
])  # fmt: skip
def test_constructors_check_their_arguments(call, kind, line):
    assert outcome(build, call, optim, model=model_of()) == ("raised", kind, line)


# ---------------------------------------------------------------------------------------------------------------
# Running means of a gradient that has become zero
# ---------------------------------------------------------------------------------------------------------------

ENDING = {  # the update of a parameter, given a state array and the keyword of the others
    "SGD": lambda ops, p, g, v: ops.sgd_update(p, g, v, 0.1, 0.5, 0.0, 0.0, False, False),
    "Adam": lambda ops, p, g, m: ops.adam_update(p, g, m, np.ones_like(p), None, 0.1, 0.5, 0.5, 1e-8, 0.0, False, 9),
    "RMSprop, centred": lambda ops, p, g, m: ops.rmsprop_update(
        p, g, np.ones_like(p), m, None, 0.1, 0.5, 1e-8, 0.0, 0.0
    ),
    "RMSprop, momentum": lambda ops, p, g, v: ops.rmsprop_update(
        p, g, np.ones_like(p), None, v, 0.1, 0.5, 1e-8, 0.0, 0.5
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("update", ENDING.values(), ids=ENDING)
def test_running_means_end_at_zero_and_not_among_the_subnormal_numbers(update, dtype):
    tiny = np.finfo(dtype).tiny
    for ops in (reference, backend.ops):
        param, state = np.ones(21, dtype), np.resize(np.array([1.5, -1.5, 3, -3, 0, np.inf], dtype) * tiny, 21)
        state[5::6] = np.nan
        expected = np.where(np.abs(state) < 2 * tiny, 0, state / 2)
        update(ops, param, np.zeros_like(param), state)
        np.testing.assert_array_equal(state, expected)

"""Modules of one's own, `Sequential`, saved state and gradient clipping: what holds beyond single layers."""

import copy
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from support import assert_same_bits, outcome, same_bits

from fastnn import nn

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 2))


class Scale(nn.Module):
    """y = a x, by the three hooks; without super().__init__()."""

    param_names = ("factor",)

    def __init__(self, size):
        self.factor, self.grad_factor = np.arange(1.0, size + 1), np.zeros(size)

    def update_output(self, input):
        return input * self.factor

    def update_grad_input(self, input, grad_output):
        return grad_output * self.factor

    def acc_grad_params(self, input, grad_output):
        self.grad_factor += (input * grad_output).sum(axis=0)


class Square(nn.Module):
    """y = x^2, by forward and backward alone."""

    def forward(self, input):
        return input**2

    def backward(self, input, grad_output):
        return 2 * input * grad_output


class Residual(nn.Module):
    """y = x + f(x), f a child held as an attribute."""

    def __init__(self, size):
        self.inner = nn.Sequential(nn.Linear(size, size, rng=1), nn.Tanh())

    def update_output(self, input):
        return input + self.inner.forward(input)

    def backward(self, input, grad_output):
        return grad_output + self.inner.backward(input, grad_output)


class Broken(nn.Module):
    """Raises in forward or in backward."""

    def __init__(self, where):
        self.where = where

    def update_output(self, input):
        if self.where == "forward":
            raise RuntimeError("broken")
        return input

    def update_grad_input(self, input, grad_output):
        raise RuntimeError("broken")


def network():
    return nn.Sequential(
        nn.Linear(4, 5, rng=0), Scale(5), nn.Sequential(Square(), Residual(5)), nn.Linear(5, 2, rng=2)
    ).astype(np.float64)


# ---------------------------------------------------------------------------------------------------------------
# Modules of one's own
# ---------------------------------------------------------------------------------------------------------------


def test_modules_of_ones_own_run_inside_sequential():
    model = network()
    parts = copy.deepcopy(list(model))
    values = [X]
    for part in parts:
        values.append(part.forward(values[-1]))
    np.testing.assert_array_equal(model.forward(X), values[-1])
    model.zero_grad()
    dx, expected = model.backward(X, DY), DY
    for part, x in zip(reversed(parts), reversed(values[:-1]), strict=True):
        part.zero_grad()
        expected = part.backward(x, expected)
    np.testing.assert_array_equal(dx, expected)
    assert_same_bits(model.grad_parameters(), [grad for part in parts for grad in part.grad_parameters()])


@pytest.mark.parametrize("first", [Square, lambda: Residual(4), lambda: nn.Sequential(nn.Linear(4, 4, rng=3))])
def test_gradients_of_parameters_alone_are_those_of_backward(first):
    model = nn.Sequential(first(), *network()).astype(np.float64)
    model.forward(X)
    model.zero_grad()
    model.backward(X, DY)
    expected, kept = copy.deepcopy(model.grad_parameters()), model.grad_input
    model.zero_grad()
    model.acc_grad_params(X, DY)
    assert_same_bits(model.grad_parameters(), expected)
    assert model.grad_input is kept


def test_gradients_of_parameters_alone_leave_out_the_gradient_by_the_data(monkeypatch):
    model = network()
    model.forward(X)
    monkeypatch.setattr(model[0], "update_grad_input", lambda *_: pytest.fail("nobody asked for it"))
    model.acc_grad_params(X, DY)
    assert model[0].grad_weight.any()


def test_their_gradients_are_the_derivatives():
    model = network()
    model.forward(X)
    model.zero_grad()
    dx, eps = model.backward(X, DY), 1e-6
    for array, grad in ((X.copy(), dx), *zip(model.parameters(), model.grad_parameters(), strict=True)):
        live = array if array.shape != X.shape else None
        for index in list(np.ndindex(array.shape))[::3]:
            change = []
            for sign in (1, -1):
                array[index] += sign * eps
                change.append((model.forward(X if live is not None else array) * DY).sum())
                array[index] -= sign * eps
            np.testing.assert_allclose(grad[index], (change[0] - change[1]) / (2 * eps), rtol=1e-4, atol=1e-6)


def test_parameters_of_children_belong_to_the_parent_under_their_paths():
    names = ["0.weight", "0.bias", "1.factor", "2.1.inner.0.weight", "2.1.inner.0.bias", "3.weight", "3.bias"]
    model = network()
    assert [name for name, _ in model.named_parameters()] == names == list(model.state_dict())
    assert all(a is b for a, (_, b) in zip(model.parameters(), model.named_parameters(), strict=True))
    assert [a.shape for a in model.parameters()] == [a.shape for a in model.grad_parameters()]
    model.eval()
    assert not any(module.training for module in model.modules()) and len(list(model.modules())) == 10
    assert all(module.training for module in model.train().modules())


def test_they_are_copied_pickled_and_saved():
    model = network()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.forward(X), model.forward(X))
        assert not np.may_share_memory(twin[1].factor, model[1].factor)
    other = network()
    other[1].factor += 1
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.forward(X), model.forward(X))


def test_a_module_without_hooks_says_what_is_missing():
    for call, name in ((lambda: nn.Module().forward(X), "update_output or forward"),
                       (lambda: nn.Module().backward(X, X), "update_grad_input or backward"),
                       (lambda: nn.Criterion().forward(X, X), "update_output or forward")):  # fmt: skip
        with pytest.raises(NotImplementedError, match=name):
            call()


# ---------------------------------------------------------------------------------------------------------------
# Sequential
# ---------------------------------------------------------------------------------------------------------------


def test_backward_is_the_derivative_at_its_input_whatever_forward_ran_last():
    model, other = network(), RNG.standard_normal((6, 4))
    model.forward(X)
    expected = model.backward(X, DY)
    model.forward(other)
    np.testing.assert_array_equal(model.backward(X, DY), expected)
    np.testing.assert_array_equal(model.backward(X.copy(), DY), expected)
    fresh = network()
    np.testing.assert_array_equal(fresh.backward(X, DY), expected)


def test_backward_after_a_change_of_mode_runs_in_the_new_mode():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2, rng=0)).astype(np.float64)
    model.forward(X)
    model.eval()
    twin = copy.deepcopy(model)
    twin.forward(X)
    expected = [twin.backward(X, DY), *twin.grad_parameters()]
    assert_same_bits([model.backward(X, DY), *model.grad_parameters()], expected)


def test_a_layer_used_twice_counts_once_and_adds_both_gradients():
    layer = nn.Linear(4, 4, rng=0).astype(np.float64)
    model, unrolled = (
        nn.Sequential(layer, nn.Tanh(), layer),
        nn.Sequential(copy.deepcopy(layer), nn.Tanh(), copy.deepcopy(layer)),
    )
    assert len(model.parameters()) == 2 and list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    dy = RNG.standard_normal((6, 4))
    for one in (model, unrolled):
        one.forward(X)
        one.backward(X, dy)
    first, second = unrolled[0], unrolled[2]
    np.testing.assert_allclose(layer.grad_weight, first.grad_weight + second.grad_weight, rtol=1e-12)


def test_the_list_of_layers():
    a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2), nn.Identity()
    model = nn.Sequential(a).add(b)
    model.append(c)
    model.insert(1, d)
    assert list(model) == [a, d, b, c] and len(model) == 4 and model[-1] is c and model[1] is d
    assert (
        list(model[1:3]) == [d, b] and isinstance(model[1:3], nn.Sequential) and b in model and nn.Tanh() not in model
    )
    model[1] = c
    del model[0]
    model.extend([a])
    assert list(model) == [c, b, c, a]
    for index in (4, -5):
        with pytest.raises(IndexError, match=r"Sequential: expected an index in \[-4, 4\)"):
            model[index]
    for bad in (nn.ReLU, "ReLU", None, abs):
        with pytest.raises(TypeError, match="Sequential: expected layers that are Modules, got "):
            model.add(bad)
    assert len(model) == 4


def noted(function, *args):
    """The text of the error that a call raises, and its notes."""
    with pytest.raises((ValueError, RuntimeError)) as caught:
        function(*args)
    return str(caught.value), caught.value.__notes__


def test_errors_name_the_position():
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(7, 2)))
    inner = ["in Sequential[1] (Linear)", "in Sequential[1] (Sequential)"]
    assert noted(model.forward, X) == ("Linear: expected input of shape (N, 7), got (6, 3)", inner)
    model[1][1] = nn.Linear(3, 2)
    model.forward(X)
    assert noted(model.backward, X, DY[:, :1]) == ("Linear: expected grad_output of shape (N, 2), got (6, 1)", inner)
    model[1].append(Broken("forward"))
    assert noted(model.forward, X) == ("broken", ["in Sequential[2] (Broken)", "in Sequential[1] (Sequential)"])


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_failed_call_changes_no_parameter_or_statistic(where):
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), Broken(where), nn.Linear(4, 2)).astype(np.float64)
    if where == "backward":
        model.forward(X)
    before = model.state_dict()
    noted(*(model.forward, X) if where == "forward" else (model.backward, X, DY))
    assert_same_bits([*model.state_dict().values()], [*before.values()])


def test_a_failed_call_is_undone_in_nested_containers_and_masks_too():
    inner = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5, rng=0), Residual(4))
    model = nn.Sequential(inner, nn.Sequential(nn.BatchNorm1d(4), Broken("forward"))).astype(np.float64)
    twin = copy.deepcopy(model)
    before = model.state_dict()
    for _ in range(2):
        noted(model.forward, X)
    assert_same_bits([*model.state_dict().values()], [*before.values()])
    assert_same_bits([model[0].forward(X)], [twin[0].forward(X)])


# ---------------------------------------------------------------------------------------------------------------
# Saved state
# ---------------------------------------------------------------------------------------------------------------


def spoilt_states():
    good = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).state_dict()
    without = dict(good)
    del without["1.running_mean"]
    yield "no mapping", [1, 2], TypeError
    yield "missing", without, ValueError
    yield "unexpected", {**good, "2.weight": good["0.weight"]}, ValueError
    yield "shape", {**good, "1.weight": np.zeros(4)}, ValueError
    yield "integers", {**good, "1.weight": np.zeros(3, int)}, TypeError
    yield "floating count", {**good, "1.num_batches_tracked": np.array(1.0)}, TypeError
    yield "strings", {**good, "0.bias": np.array(["a"] * 3)}, TypeError
    yield "ragged", {**good, "0.bias": None}, TypeError


@pytest.mark.parametrize("state,kind", [pytest.param(s, k, id=name) for name, s, k in spoilt_states()])
def test_a_state_that_does_not_fit_changes_nothing(state, kind):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = model.state_dict()
    result = outcome(model.load_state_dict, state)
    assert result[0] == "raised" and result[1] is kind and result[2].startswith("Sequential.load_state_dict: expected ")
    assert all(same_bits(array, before[name]) for name, array in model.state_dict().items())


def test_a_read_only_parameter_is_refused_before_anything_is_copied():
    model, other = (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2))
    model[1].bias.flags.writeable = False
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"expected a writeable 1\.bias"):
        model.load_state_dict(other.state_dict())
    assert all(same_bits(array, before[name]) for name, array in model.state_dict().items())


def test_loading_not_strictly_takes_what_fits_and_any_precision():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    weight = RNG.standard_normal((3, 4))
    for value in (weight, weight.astype(np.float16), weight.tolist(), weight.T.copy().T):
        model.load_state_dict({"0.weight": value, "other": 1}, strict=False)
        np.testing.assert_array_equal(model[0].weight, np.asarray(value, np.float32))


# ---------------------------------------------------------------------------------------------------------------
# Gradient clipping
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_clipping_by_norm(norm_type, max_norm):
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    for grad in model.grad_parameters():
        grad[...] = RNG.standard_normal(grad.shape)
    before = [grad.copy() for grad in model.grad_parameters()]
    norm = np.linalg.norm(np.concatenate([grad.ravel().astype(float) for grad in before]), norm_type)
    assert nn.utils.clip_grad_norm_(model, max_norm, norm_type) == pytest.approx(norm, rel=1e-6)
    for grad, old in zip(model.grad_parameters(), before, strict=True):
        np.testing.assert_allclose(grad, old * min(1, max_norm / (norm + 1e-6)), rtol=1e-5)


def test_clipping_by_value_and_of_what_is_not_finite():
    grads = [np.array([3.0, -0.5, np.nan, -np.inf]), np.array([[2.0], [0.25]], np.float32)]
    model = SimpleNamespace(grad_parameters=lambda: grads)
    nn.utils.clip_grad_value_(model, 1.0)
    np.testing.assert_array_equal(grads[0], [1, -0.5, np.nan, -1])
    np.testing.assert_array_equal(grads[1], [[1], [0.25]])
    with pytest.raises(ValueError, match=r"^clip_grad_norm_: expected gradients of finite norm, got nan$"):
        nn.utils.clip_grad_norm_(model, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(grads[0], [1, -0.5, np.nan, -1])
    assert math.isnan(nn.utils.clip_grad_norm_(model, 1.0)) and np.isnan(grads[1]).all()


def test_clipping_refuses_parameters_which_it_would_scale_themselves():
    model = nn.Linear(4, 5)
    before = model.weight.copy()
    for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
        with pytest.raises(TypeError, match=r"expected a model with grad_parameters\(\), got list$"):
            clip(model.parameters(), 0.1)
    np.testing.assert_array_equal(model.weight, before)

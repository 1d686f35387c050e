"""`Residual`, `Concat` and `Add`: what holds beyond the registry's rows, explicitly and compiled."""

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits, same_bits
from twins import Twin, programs_alone, teams

import fastnn
from fastnn import backend, nn, optim
from fastnn.nn.containers import accumulate
from fastnn.program.freezing import frozen

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 5))


class Broken(nn.Module):
    """Raises in forward or in backward."""

    def __init__(self, where="forward"):
        self.where = where

    def update_output(self, input):
        if self.where == "forward":
            raise RuntimeError("broken")
        return input

    def update_grad_input(self, input, grad_output):
        raise RuntimeError("broken")


def residual():
    return nn.Residual(nn.Linear(4, 6, rng=0), nn.Tanh(), nn.Linear(6, 5, rng=1), shortcut=nn.Linear(4, 5, rng=2))


def concat():
    return nn.Concat(nn.Linear(4, 2, rng=0), nn.Sequential(nn.Linear(4, 3, rng=1), nn.Tanh()))


def add():
    return nn.Add(nn.Linear(4, 5, rng=0), nn.Sequential(nn.Linear(4, 3, rng=1), nn.ReLU(), nn.Linear(3, 5, rng=2)))


containers = pytest.mark.parametrize("make", [residual, concat, add])


def noted(function, *args):
    """The text of the error that a call raises, and its notes."""
    with pytest.raises((ValueError, RuntimeError)) as caught:
        function(*args)
    return str(caught.value), getattr(caught.value, "__notes__", [])


# The computation


def test_the_formulas():
    model = residual().astype(np.float64)
    first, tanh, last = copy.deepcopy(list(model))
    through = last(tanh(first(X)))
    np.testing.assert_array_equal(model(X), through + model.shortcut(X))
    np.testing.assert_array_equal(nn.Residual(nn.ReLU())(X), np.maximum(X, 0) + X)
    np.testing.assert_array_equal(nn.Residual()(X), 2 * X)
    model = concat().astype(np.float64)
    np.testing.assert_array_equal(model(X), np.hstack([model[0](X), model[1](X)]))
    cube = RNG.standard_normal((2, 3, 4))
    for dim in (0, 1, 2, -1, -3):
        model = nn.Concat(nn.Identity(), nn.ReLU(), nn.Tanh(), dim=dim)
        expected = np.concatenate([cube, np.maximum(cube, 0), nn.Tanh()(cube)], dim)
        np.testing.assert_array_equal(model(cube), expected)
    model = add().astype(np.float64)
    np.testing.assert_array_equal(model(X), model[0](X) + model[1](X))
    assert nn.Parallel is nn.Concat


def test_every_gradient_by_the_input_counts():
    model, dy = nn.Concat(nn.Identity(), nn.ReLU(), dim=0), RNG.standard_normal((12, 4))
    model(X)
    np.testing.assert_array_equal(model.backward(X, dy), dy[:6] + dy[6:] * (X > 0))
    model = nn.Add(nn.Identity(), nn.Identity(), nn.Residual())
    np.testing.assert_array_equal(model.backward(X, X), 4 * X)


@containers
def test_gradients_of_parameters_alone_leave_out_the_gradient_by_the_data(make, monkeypatch):
    model = nn.Sequential(make(), nn.Residual(nn.Linear(5, 5, rng=3))).astype(np.float64)
    model.forward(X)
    model.zero_grad()
    model.backward(X, DY)
    expected = copy.deepcopy(model.grad_parameters())
    model.zero_grad()
    inner = model[0]
    for layer in (inner[0], inner.shortcut if make is residual else inner[1][0]):
        monkeypatch.setattr(layer, "update_grad_input", lambda *_: pytest.fail("nobody asked for it"))
    accumulate(model, X, DY)
    assert_same_bits(model.grad_parameters(), expected)


@containers
def test_backward_is_the_derivative_at_its_input_whatever_forward_ran_last(make):
    model = make().astype(np.float64)
    model.forward(X)
    expected = model.backward(X, DY)
    model.forward(np.vstack([X, X]))
    np.testing.assert_array_equal(model.backward(X, DY), expected)
    np.testing.assert_array_equal(model.backward(X.copy(), DY), expected)
    np.testing.assert_array_equal(make().astype(np.float64).backward(X, DY), expected)


def test_a_layer_in_two_branches_counts_once_and_adds_both_gradients():
    shared = nn.Linear(4, 4, rng=0).astype(np.float64)
    model = nn.Add(shared, nn.Sequential(nn.Tanh(), shared))
    apart = nn.Add(copy.deepcopy(shared), nn.Sequential(nn.Tanh(), copy.deepcopy(shared)))
    assert len(model.parameters()) == 2 and list(model.state_dict()) == ["0.weight", "0.bias", "1.1.weight", "1.1.bias"]
    for one in (model, apart):
        one.backward(X, X)
    np.testing.assert_allclose(shared.grad_weight, apart[0].grad_weight + apart[1][1].grad_weight, rtol=1e-12)


# Errors


def test_errors_name_the_position():
    model = nn.Sequential(nn.Residual(nn.Linear(4, 4), shortcut=nn.Concat(nn.Identity(), nn.Linear(7, 2))))
    assert noted(model.forward, X) == (
        "Linear: expected input of shape (N, 7), got (6, 4)",
        ["in Concat[1] (Linear)", "in Residual.shortcut (Concat)", "in Sequential[0] (Residual)"],
    )
    model = nn.Add(nn.Linear(4, 4), nn.Residual(nn.ReLU(), Broken("backward")))
    model.forward(X)
    assert noted(model.backward, X, X) == ("broken", ["in Residual[1] (Broken)", "in Add[1] (Residual)"])


def test_outputs_that_do_not_fit():
    for model, line in (
        (nn.Residual(nn.Linear(4, 5)), "Residual: expected outputs of one shape to add, got (6, 5) and (6, 4)"),
        (nn.Add(nn.Linear(4, 5), nn.ReLU()), "Add: expected outputs of one shape to add, got (6, 5) and (6, 4)"),
        (nn.Concat(nn.ReLU(), dim=2), "Concat: expected outputs with an axis 2, got shape (6, 4)"),
        (nn.Concat(nn.ReLU(), nn.Linear(4, 5), dim=0),
         "Concat: expected outputs that differ along axis 0 alone, got (6, 4) and (6, 5)"),
        (nn.Concat(), "Concat: expected branches, got none"),
        (nn.Add(), "Add: expected branches, got none"),
    ):  # fmt: skip
        assert noted(model.forward, X) == (line, [])
        if len(model):
            assert noted(fastnn.compile(model), X.astype(np.float32)) == (line, [])


@containers
def test_a_gradient_of_another_shape_is_refused(make):
    model = make()
    line = f"{type(model).__name__}: expected grad_output of shape (6, 5), got (6, 4)"
    assert noted(model.backward, X, X) == (line, [])
    assert not any(grad.any() for grad in model.grad_parameters())


@pytest.mark.parametrize("kind", [nn.Residual, nn.Concat, nn.Add])
def test_only_modules_are_layers(kind):
    for bad in (nn.ReLU, "ReLU", None, abs):
        with pytest.raises(TypeError, match=rf"^{kind.__name__}: expected layers that are Modules, got "):
            kind(nn.ReLU(), bad)
    with pytest.raises(TypeError, match=r"^Residual: expected layers that are Modules, got str"):
        nn.Residual(shortcut="same")
    with pytest.raises(TypeError, match=r"^Concat: expected dim as an integer, got "):
        nn.Concat(dim="1")


@pytest.mark.parametrize("wrap", [
    lambda norm: nn.Add(norm, Broken()),
    lambda norm: nn.Add(norm, nn.Linear(4, 5)),
    lambda norm: nn.Concat(nn.Sequential(nn.ReLU(), norm), Broken()),
    lambda norm: nn.Concat(norm, nn.Linear(4, 5), dim=0),
    lambda norm: nn.Residual(norm, Broken()),
    lambda norm: nn.Residual(norm, shortcut=Broken()),
    lambda norm: nn.Residual(nn.Linear(4, 5), shortcut=norm),
])  # fmt: skip
def test_a_failed_forward_leaves_running_statistics_as_they_were(wrap):
    model = wrap(nn.BatchNorm1d(4))
    before = model.state_dict()
    noted(model.forward, X)
    assert_same_bits([*model.state_dict().values()], [*before.values()])


# The list, the tree, files


def test_the_lists():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Identity()
    model = nn.Concat(a, dim=2).add(b).append(c)
    assert list(model) == [a, b, c] and model[-1] is c and len(model) == 3 and b in model
    assert isinstance(model[1:], nn.Concat) and list(model[1:]) == [b, c] and model[1:].dim == 2
    assert isinstance(nn.Add(a, b)[:1], nn.Add)
    chain = nn.Residual(a, b, shortcut=c).eval()
    assert type(chain[1:]) is nn.Sequential and list(chain[1:]) == [b] and not chain[1:].training
    del model[0]
    assert list(model) == [b, c]


@containers
def test_modes_names_files_and_copies(make, tmp_path):
    model = nn.Sequential(make(), nn.ReLU()).eval()
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())
    if make is residual:
        names = ["0.0.weight", "0.0.bias", "0.2.weight", "0.2.bias", "0.shortcut.weight", "0.shortcut.bias"]
        assert list(model.state_dict()) == names
    model.save(tmp_path / "model.safetensors")
    twins = [fastnn.load(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    x = X.astype(np.float32)
    model.forward(x)
    for twin in (*twins, pickle.loads(pickle.dumps(model))):
        assert repr(twin) == repr(model) and twin[0].output is None
        np.testing.assert_array_equal(twin.forward(x), model.forward(x))
    summary = model.summary((4,))
    assert summary.parameters == sum(array.size for array in model.parameters())
    assert [layer.output_shape for layer in summary.layers if layer.name == "0"] == [(2, 5)]


def test_what_is_no_description_is_refused():
    for config in ({"type": "Residual", "modules": []}, {"type": "Concat", "modules": []},
                   {"type": "Add", "modules": {}}, {"type": "Add", "modules": [], "dim": 1}):  # fmt: skip
        with pytest.raises(ValueError, match=r"^from_config: expected (Residual|Concat|Add) with a list of modules"):
            nn.from_config(config)
    with pytest.raises(ValueError, match=r"^from_config: expected the type of a layer of fastnn, got '_Branches'"):
        nn.from_config({"type": "_Branches", "modules": []})


# Compiled


@containers
def test_programs_watch_what_is_built_in(make):
    model = nn.Sequential(make(), nn.Linear(5, 5, rng=7)).astype(np.float64)
    pair = Twin(model, nn.CrossEntropyLoss(), lambda model: optim.SGD(model, lr=0.1))
    y = RNG.integers(0, 5, 6)
    infer = fastnn.compile(pair.copy)
    with programs_alone():
        pair.both(X, y, 64)
        for net in (pair.model, pair.copy):
            net[0].insert(0, nn.Identity() if make is residual else nn.Linear(4, 5, rng=8).astype(np.float64))
            if make is residual:
                net[0].shortcut = nn.Linear(4, 5, rng=9).astype(np.float64)
            if make is concat:
                net[1] = nn.Linear(10, 5, rng=9).astype(np.float64)
        pair.both(X, y, 64)
        pair.compare(64)
    np.testing.assert_allclose(infer(X), copy.deepcopy(pair.model).eval().forward(X), rtol=1e-12)
    if make is concat:
        x = RNG.standard_normal((3, 4, 5, 6))
        model = nn.Concat(nn.ReLU(), nn.Tanh())
        infer = fastnn.compile(model)
        for model.dim in (1, 3, 2, -1, 0):
            np.testing.assert_allclose(infer(x), model(x), rtol=1e-12)


@pytest.mark.usefixtures("core")
def test_gradients_with_several_readers_are_never_written_over():
    """Every kind of layer that puts a gradient in the place of another stands last in one of several branches."""
    last = [nn.ReLU(), nn.Tanh(), nn.Softmax(1), nn.LogSoftmax(-1), nn.Dropout(0.3, rng=0), nn.Identity()]
    layers = [nn.Sequential(nn.Linear(4, 4, rng=number), layer) for number, layer in enumerate(last)]
    nested = nn.Add(nn.Linear(4, 4, rng=21), nn.Add(nn.Linear(4, 4, rng=22), nn.Identity()))
    branches = nn.Add(*last[:5]), nn.Add(*layers), nn.Residual(*layers[:2]), nested
    model = nn.Sequential(nn.Linear(4, 4, rng=20), *branches)
    with backend.use_backend("native"), programs_alone():
        pair = Twin(model.astype(np.float64), nn.MSELoss(), lambda model: optim.SGD(model, lr=0.1))
        del pair.model[1][4], pair.copy[1][4]  # a Dropout has one place alone
        pair.both(X, X, 64)
        pair.compare(64)


@pytest.mark.usefixtures("core")
def test_teams_train_branches_to_the_same_bits():
    def wide(seed):
        return nn.Sequential(nn.Linear(64, 48, rng=seed), nn.ReLU(), nn.Linear(48, 64, rng=seed + 1))

    x, y, results = RNG.standard_normal((257, 64)), RNG.integers(0, 5, 257), []
    with backend.use_backend("native"), teams():
        for threads in (1, 2, 2, 2):
            last = nn.Add(nn.Linear(192, 5, rng=4), nn.Linear(192, 5, rng=5))
            model = nn.Sequential(nn.Residual(*wide(0)), nn.Concat(wide(2), nn.Identity(), nn.ReLU()), last)
            model = model.astype(np.float64)
            step = fastnn.compile(model, nn.CrossEntropyLoss(), optim.Adam(model))
            with backend.threads(threads):
                losses = [step(x, y), *step.epoch(x, y, 64, rng=0)]
                results.append([np.array(losses), fastnn.compile(model)(x), *model.state_dict().values()])
    for other in results[1:]:
        assert_same_bits(results[0], other)


def test_frozen_branches_fold_batch_norm_and_share_nothing():
    def norm(size):
        layer = nn.BatchNorm1d(size)
        layer.running_mean[...], layer.running_var[...] = RNG.standard_normal(size), RNG.random(size) + 0.5
        return layer

    beside = nn.Sequential(nn.Linear(4, 4, rng=1), norm(4))
    model = nn.Sequential(
        nn.Residual(nn.Linear(4, 4, rng=0), norm(4), nn.Dropout(0.5), nn.ReLU(), shortcut=beside),
        norm(4),
        nn.Concat(nn.Identity(), nn.Sequential(nn.Linear(4, 2, rng=2), norm(2)), norm(4)),
        nn.Add(nn.Dropout(0.5), nn.Linear(10, 10, rng=3)),
    )
    x = X.astype(np.float32)
    expected = copy.deepcopy(model).eval().forward(x)
    snapshot = fastnn.compile(model, freeze=True)
    np.testing.assert_allclose(snapshot(x), expected, rtol=0, atol=1e-5)
    kinds = [type(layer).__name__ for layer in frozen(model).modules() if not isinstance(layer, nn.Sequential)]
    expected_kinds = "Residual Linear ReLU Linear BatchNorm1d Concat Linear BatchNorm1d Add Linear"
    assert kinds == expected_kinds.split()
    for array in model.parameters():
        array[...] = 0
    np.testing.assert_allclose(snapshot(x), expected, rtol=0, atol=1e-5)
    assert all(module.training for module in model.modules())
    empty = nn.Residual(nn.Linear(4, 4, rng=0), shortcut=nn.Sequential())
    frozen(empty)
    assert empty.shortcut.training and not same_bits(frozen(empty)[0][0].weight, 0 * empty[0].weight)

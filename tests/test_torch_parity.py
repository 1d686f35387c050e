"""Everything in the registry that PyTorch has under the same name: values, gradients, state, trajectories, defaults."""

import inspect
import warnings

import numpy as np
import pytest
from cases import CRITERIONS, LAYERS, OPTIMIZERS, SCHEDULERS, build
from support import Arrays

from fastnn import nn, optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed; `make test-peers` installs and compares with it")

EXACT = {"rtol": 1e-9, "atol": 1e-11}  # both in float64; sums in another order


def twins(rows):
    return pytest.mark.parametrize("row", [row for row in rows if row.torch], ids=lambda row: row.id)


def tensor(array, **options):
    return torch.tensor(np.ascontiguousarray(array), **options)


def numpy(value):
    return value.detach().numpy()


def same(got, expected, what=""):
    assert np.shape(got) == tuple(expected.shape), what
    np.testing.assert_allclose(got, numpy(expected), **EXACT, err_msg=what)


def twin_of(layer, call):
    """PyTorch's layer of the same call with the parameters and statistics of ours: the names must be the same."""
    twin = build(call, torch.nn).to(torch.float64)
    twin.load_state_dict({name: torch.tensor(array) for name, array in layer.state_dict().items()})
    return twin.train(layer.training)


@twins(LAYERS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_layers(row, training):
    if training and "Dropout" in row.call:
        pytest.skip("PyTorch draws other masks")
    for shape in row.shapes:
        layer, x = row.layer().train(training), row.input(shape)
        twin, tx = twin_of(layer, row.call), tensor(x, requires_grad=not row.indices)
        y, ty = layer.forward(x), twin(tx)
        same(y, ty, f"output {shape}")
        dy = np.random.default_rng(2).standard_normal(y.shape)
        layer.zero_grad()
        dx = layer.backward(x, dy)
        ty.backward(tensor(dy))
        if not row.indices:
            same(dx, tx.grad, f"gradient of the input {shape}")
        grads = {name: param.grad for name, param in twin.named_parameters()}
        for (name, _), grad in zip(layer.named_parameters(), layer.grad_parameters(), strict=True):
            same(grad, grads.pop(name), f"gradient of {name} {shape}")
        assert not grads
        for name, value in twin.state_dict().items():  # the running statistics have moved alike
            same(layer.state_dict()[name], value, name)
        assert list(layer.state_dict()) == list(twin.state_dict())


@twins(CRITERIONS)
def test_criterions(row):
    criterion = row.criterion()
    twin = build(row.call, torch.nn, W=tensor(row.W))
    x, target = row.input(), row.targets()
    tx = tensor(x, requires_grad=True)
    loss = twin(tx, tensor(target))
    loss.backward()
    same(criterion.forward(x, target), loss)
    same(criterion.backward(x, target), tx.grad)


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_a_batch_of_ignored_rows_alone(name):
    x, target = np.log(np.full((3, 4), 0.25)), np.full(3, -100)
    criterion, tx = getattr(nn, name)(), tensor(x, requires_grad=True)
    loss = getattr(torch.nn, name)()(tx, tensor(target))
    loss.backward()
    assert np.isnan(criterion.forward(x, target)) and torch.isnan(loss)
    assert not criterion.backward(x, target).any()


# ---------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------

NET = "Sequential(Linear(6, 9), BatchNorm1d(9), GELU(), Linear(9, 7), ELU(), Linear(7, 4))"


def net(seed=0):
    rng = np.random.default_rng(seed)
    model = build(NET, nn).astype(np.float64)
    for param in model.parameters():
        param[...] = rng.standard_normal(param.shape) / 2
    return model


@twins(OPTIMIZERS)
def test_training_trajectories(row):
    model = net()
    twin = twin_of(model, NET)
    optimizer, peer = row.optimizer(model), build(row.call, torch.optim, model=list(twin.parameters()))
    criterion, loss = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    rng = np.random.default_rng(1)
    for _ in range(12):
        x, target = rng.standard_normal((10, 6)), rng.integers(0, 4, 10)
        model.zero_grad()
        out = model.forward(x)
        value = criterion.forward(out, target)
        model.backward(x, criterion.backward(out, target))
        optimizer.step()
        peer.zero_grad()
        expected = loss(twin(tensor(x)), tensor(target))
        expected.backward()
        peer.step()
        np.testing.assert_allclose(value, expected.item(), rtol=1e-6)
    for (name, param), expected in zip(model.named_parameters(), twin.parameters(), strict=True):
        # the bias before the normalisation has gradient zero but for roundings, which an adaptive step blows up
        if name != "0.bias":
            np.testing.assert_allclose(param, numpy(expected), rtol=1e-6, atol=1e-8, err_msg=name)
    for index, entry in enumerate(peer.state_dict()["state"].values()):
        names = {name for name, value in entry.items() if value is not None} - {"step"}
        assert names == set(optimizer.state_dict()["state"][index]) - {"step"}


@twins(OPTIMIZERS)
def test_updates_of_given_gradients(row):
    """The same gradients on both sides, so nothing but the update can differ."""
    rng = np.random.default_rng(0)

    model = Arrays([rng.standard_normal((5, 3)), rng.standard_normal(7)], [np.zeros((5, 3)), np.zeros(7)])
    params = [tensor(param, requires_grad=True) for param in model.params]
    optimizer, peer = row.optimizer(model), build(row.call, torch.optim, model=params)
    for _ in range(20):
        for grad, param in zip(model.grads, params, strict=True):
            grad[...] = rng.standard_normal(grad.shape)
            param.grad = tensor(grad)
        optimizer.step()
        peer.step()
    for param, expected in zip(model.params, params, strict=True):
        same(param, expected)
    for index, entry in peer.state_dict()["state"].items():
        for name, value in entry.items():
            if value is not None:
                same(optimizer.state[index][name], torch.as_tensor(value), name)


@twins(SCHEDULERS)
def test_schedules(row):
    optimizer = build(row.optimizer, optim, model=nn.Linear(2, 2))
    peer = build(row.optimizer, torch.optim, model=list(torch.nn.Linear(2, 2).parameters()))
    scheduler, expected = row.scheduler(optimizer), build(row.call, torch.optim.lr_scheduler, optimizer=peer)
    group = peer.param_groups[0]
    for number in range(row.steps - 1 if "OneCycle" in row.call else row.steps):
        for name in ("lr", "momentum", "betas"):
            if hasattr(optimizer, name):
                np.testing.assert_allclose(
                    getattr(optimizer, name), group[name], rtol=1e-12, err_msg=f"{name}, step {number}"
                )
        optimizer.step()
        peer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch counts calls of step
            row.step(scheduler, number)
            row.step(expected, number)
        np.testing.assert_allclose(scheduler.get_last_lr(), expected.get_last_lr(), rtol=1e-12)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_clipping_by_norm(norm_type):
    model, twin = net(), twin_of(net(), NET)
    rng = np.random.default_rng(3)
    for grad, param in zip(model.grad_parameters(), twin.parameters(), strict=True):
        grad[...] = rng.standard_normal(grad.shape)
        param.grad = tensor(grad)
    same(
        nn.utils.clip_grad_norm_(model, 0.7, norm_type),
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.7, norm_type),
    )
    for grad, param in zip(model.grad_parameters(), twin.parameters(), strict=True):
        same(grad, param.grad)


# ---------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------

OTHER_DEFAULTS = {("Softmax", "dim"), ("LogSoftmax", "dim")}  # PyTorch deprecates leaving it out
OURS = {"dtype", "device"}


@pytest.mark.parametrize("name,ours,theirs", [
    pytest.param(name, ours, theirs, id=name)
    for rows, ours, theirs in ((LAYERS, nn, torch.nn), (CRITERIONS, nn, torch.nn), (OPTIMIZERS, optim, torch.optim),
                               (SCHEDULERS, optim.lr_scheduler, torch.optim.lr_scheduler))
    for name in dict.fromkeys(row.name for row in rows if row.torch)
])  # fmt: skip
def test_arguments_have_the_same_defaults_and_order(name, ours, theirs):
    mine, peers = (inspect.signature(getattr(module, name)).parameters for module in (ours, theirs))
    shared = [argument for argument in mine if argument in peers and argument not in OURS]
    for argument in shared:
        if (name, argument) not in OTHER_DEFAULTS:
            assert mine[argument].default == peers[argument].default, argument
    order = [argument for argument in peers if argument in shared]
    if not {"size_average", "reduce", "foreach"} & set(peers):  # deprecated or foreign arguments stand in between
        assert shared == order


def test_initial_weights_have_the_same_spread():
    ours, theirs = nn.Linear(50, 400, rng=0), torch.nn.Linear(50, 400)
    for name in ("weight", "bias"):
        a, b = getattr(ours, name), numpy(getattr(theirs, name))
        assert np.abs(a).max() <= 1 / np.sqrt(50)
        np.testing.assert_allclose(a.std(), b.std(), rtol=0.1)

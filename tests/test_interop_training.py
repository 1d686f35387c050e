"""Criterions and optimisers from and to PyTorch: the same losses, gradients and steps go on on the other side."""

import sys

import numpy as np
import pytest
from cases import CRITERIONS, OPTIMIZERS

from fastnn import nn, optim
from fastnn.interop import (
    criterion_from_torch,
    criterion_to_torch,
    from_torch,
    optimizer_from_torch,
    optimizer_to_torch,
    to_torch,
)
from fastnn.interop.torch import Unavailable
from fastnn.interop.torch_training import CRITERIONS as LOSSES
from fastnn.interop.torch_training import OPTIMIZERS as TABLE

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 4)), RNG.integers(0, 3, 20)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def public(module, base):
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, base)}
    return {name for name, kind in kinds.items() if kind is not base}


def test_every_criterion_and_every_optimizer_is_in_its_table():
    """A new one has a row, or the reason why PyTorch has no such thing."""
    assert public(nn, nn.Criterion) == set(LOSSES)
    assert public(optim, optim.Optimizer) == set(TABLE)


def refusal(call, *arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------
# Criterions
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", CRITERIONS, ids=lambda row: row.id)
def test_criterions(torch, row):
    criterion = row.criterion()
    if isinstance(LOSSES[row.name], Unavailable):
        assert f"expected a criterion that PyTorch has, got {row.name}: " in refusal(criterion_to_torch, criterion)
        return
    if criterion.reduction == "batchmean":
        text = f"criterion_to_torch: expected {row.name} with reduction 'mean' or 'sum', got 'batchmean'"
        assert refusal(criterion_to_torch, criterion) == text
        return
    loss = criterion_to_torch(criterion)
    assert type(loss) is getattr(torch.nn, row.name)
    again = criterion_from_torch(loss)
    assert repr(again) == repr(criterion) and type(again) is type(criterion)
    x, target = row.input(), row.targets()
    assert again.forward(x, target) == criterion.forward(x, target)
    if row.torch:
        tensor = torch.tensor(x, requires_grad=True)
        value = loss(tensor, torch.tensor(target))
        value.backward()
        np.testing.assert_allclose(criterion.forward(x, target), value.item(), rtol=1e-9)
        np.testing.assert_allclose(criterion.backward(x, target), tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_weights_of_classes_are_copied(torch):
    weight = torch.tensor([1.0, 2.0, 0.5])
    criterion = criterion_from_torch(torch.nn.CrossEntropyLoss(weight=weight))
    twin = criterion_to_torch(criterion)
    weight.zero_()
    assert criterion.weight.tolist() == [1, 2, 0.5]
    criterion.weight[:] = 3
    assert twin.weight.tolist() == [1, 2, 0.5]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("SmoothL1Loss()", "expected a loss that fastnn has, got torch.nn.modules.loss.SmoothL1Loss"),
        ("Linear(2, 2)", "expected a loss that fastnn has, got torch.nn.modules.linear.Linear"),
        ("MSELoss(reduction='none')", "MSELoss: expected reduction 'mean' or 'sum'"),
        ("PoissonNLLLoss(log_input=False)", "expected PoissonNLLLoss with log_input True, got False"),
        (
            "BCEWithLogitsLoss(pos_weight=torch.ones(2))",
            "expected BCEWithLogitsLoss with pos_weight None, got a tensor of shape (2,)",
        ),
        (
            "BCEWithLogitsLoss(weight=torch.ones(2))",
            "expected BCEWithLogitsLoss with weight None, got a tensor of shape (2,)",
        ),
    ],
)
def test_losses_that_fastnn_lacks(torch, call, text):
    assert text in refusal(criterion_from_torch, eval(call, {**vars(torch.nn), "torch": torch}))


def test_criterions_of_ones_own(torch):
    class Own(nn.MSELoss):
        pass

    assert "expected a criterion of fastnn, got " in refusal(criterion_to_torch, Own())
    assert (
        refusal(criterion_to_torch, None) == "criterion_to_torch: expected a criterion of fastnn, got builtins.NoneType"
    )


# ---------------------------------------------------------------------------------------------------------------
# Optimisers
# ---------------------------------------------------------------------------------------------------------------


def network():
    return nn.Sequential(nn.Linear(4, 6, rng=0), nn.Tanh(), nn.Linear(6, 3, rng=1)).astype(np.float64)


def step(model, optimizer):
    criterion = nn.CrossEntropyLoss()
    model.zero_grad()
    output = model.forward(X)
    model.backward(X, criterion.backward(output, Y))
    optimizer.step()


def torch_step(torch, module, optimizer):
    optimizer.zero_grad()
    torch.nn.CrossEntropyLoss()(module(torch.tensor(X)), torch.tensor(Y)).backward()
    optimizer.step()


def same(model, module):
    for array, tensor in zip(model.parameters(), module.parameters(), strict=True):
        np.testing.assert_allclose(array, tensor.detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.id)
def test_trainings_change_sides(torch, row, before):
    """Some steps here, some there, some here again: the same as all of them here."""
    model, alone = network(), network()
    optimizer, other = row.optimizer(model), row.optimizer(alone)
    for _ in range(before):
        step(model, optimizer)
        step(alone, other)
    module = to_torch(model)
    peer = optimizer_to_torch(optimizer, module)
    assert type(peer) is getattr(torch.optim, row.name)
    for _ in range(3):
        torch_step(torch, module, peer)
        step(alone, other)
        same(alone, module)
    back = from_torch(module)
    again = optimizer_from_torch(peer, back)
    assert repr(again) == repr(optimizer) and again.model is back
    for _ in range(3):
        step(back, again)
        step(alone, other)
    for a, b in zip(back.parameters(), alone.parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    if row.name != "SGD":
        assert [entry["step"] for entry in again.state.values()] == [before + 6] * 4


def test_the_state_is_copied(torch):
    model = network()
    optimizer = optim.Adam(model)
    step(model, optimizer)
    module = to_torch(model)
    peer = optimizer_to_torch(optimizer, module)
    kept = optimizer.state[0]["exp_avg"].copy()
    torch_step(torch, module, peer)
    np.testing.assert_array_equal(optimizer.state[0]["exp_avg"], kept)
    again = optimizer_from_torch(peer, model)
    values = again.state[0]["exp_avg"].copy()
    torch_step(torch, module, peer)
    np.testing.assert_array_equal(again.state[0]["exp_avg"], values)


def test_schedules_resume(torch):
    model = network()
    optimizer = optim.SGD(model, lr=0.5)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        scheduler.step()
    peer = optimizer_to_torch(optimizer, to_torch(model))
    assert peer.param_groups[0]["lr"] == 0.05 and peer.param_groups[0]["initial_lr"] == 0.5
    again = optimizer_from_torch(peer, model)
    assert (again.lr, again.initial_lr) == (0.05, 0.5)
    assert optim.lr_scheduler.StepLR(again, 2, last_epoch=2).get_last_lr() == scheduler.get_last_lr()


def test_hyper_parameters_that_are_tensors(torch):
    module = to_torch(network())
    peer = torch.optim.Adam(module.parameters(), lr=torch.tensor(0.25), betas=[0.5, 0.75])
    again = optimizer_from_torch(peer, network())
    assert again.lr == 0.25 and again.betas == (0.5, 0.75)


def test_groups_of_parameters(torch):
    module = to_torch(network())
    groups = [{"params": list(module[0].parameters())}, {"params": list(module[2].parameters())}]
    peer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    torch_step(torch, module, peer)
    model = from_torch(module)
    again = optimizer_from_torch(peer, model)
    step(model, again)
    torch_step(torch, module, peer)
    same(model, module)
    groups[1]["lr"] = 0.5
    peer = torch.optim.SGD(groups, lr=0.1)
    text = "optimizer_from_torch: expected groups of SGD with lr 0.1, got 0.5"
    assert refusal(optimizer_from_torch, peer, model) == text


def test_optimizers_that_do_not_fit(torch):
    model = network()
    module, other = to_torch(model), to_torch(nn.Linear(4, 3))
    text = "expected parameters of the shapes [(6, 4), (6,), (3, 6), (3,)], got [(3, 4), (3,)]"
    assert text in refusal(optimizer_from_torch, torch.optim.SGD(other.parameters(), lr=0.1), model)
    assert text in refusal(optimizer_to_torch, optim.SGD(model), other)
    for call, expected in (
        ("NAdam(p)", "expected an optimizer that fastnn has, got torch.optim.nadam.NAdam"),
        ("SGD(p, lr=0.1, maximize=True)", "expected SGD with maximize False, got True"),
        ("Adam(p, decoupled_weight_decay=True)", "expected Adam with decoupled_weight_decay False, got True"),
    ):
        peer = eval(call, vars(torch.optim), {"p": list(module.parameters())})
        assert expected in refusal(optimizer_from_torch, peer, model)

    class Own(optim.SGD):
        pass

    assert "expected an optimizer of fastnn, got " in refusal(optimizer_to_torch, Own(model), module)


@pytest.mark.parametrize("call", [criterion_from_torch, criterion_to_torch, optimizer_from_torch, optimizer_to_torch])
def test_without_pytorch_the_error_says_what_to_install(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=rf"^{call.__name__}: expected torch, got .*fastnn\[torch\]' installs it$"):
        call(*[None] * (2 if "optimizer" in call.__name__ else 1))

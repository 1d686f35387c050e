"""From and to PyTorch: every layer with its options, random models, state_dicts, and what has no counterpart."""

import copy
import importlib
import sys
from collections import OrderedDict

import numpy as np
import pytest
from architectures import models, randomised
from cases import CONTAINERS, LAYERS
from hypothesis import given, settings
from support import assert_same_bits, same_bits

from fastnn import nn
from fastnn.interop import from_torch, packages, to_torch, to_torch_state_dict
from fastnn.interop.torch import LAYERS as TABLE

TOLERANCE = {"float32": 1e-6, "float64": 1e-9}  # of the largest output, or of 1


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def tensor(torch, array):
    return torch.from_numpy(np.ascontiguousarray(array))


def same_outputs(torch, model, twin, x, modes=(False,)):
    """Both give the same output, in evaluation and, where nothing is random, in training mode."""
    for mode in modes:
        ours, theirs = copy.deepcopy(model).train(mode), copy.deepcopy(twin).train(mode)
        norms = [module for module in ours.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
        if any(mode or module.running_mean is None for module in norms):
            # almost equal values divided by their deviation: float32 has no digits of that in common
            ours, theirs, x = ours.astype(np.float64), theirs.double(), x.astype(np.float64)
        got, expected = ours.forward(x), theirs(tensor(torch, x)).detach().numpy()
        assert got.dtype == expected.dtype and x.dtype in (got.dtype, np.int64)
        bound = TOLERANCE[str(got.dtype)] * max(1, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(got, expected, rtol=0, atol=bound)
        assert_same_state(ours, theirs, bound)  # the statistics have moved alike


def assert_same_state(model, twin, bound=0.0):
    state, other = model.state_dict(), twin.state_dict()
    assert list(state) == list(other)
    for name, array in state.items():
        got = other[name].numpy()
        assert got.dtype == array.dtype and got.shape == array.shape, name
        np.testing.assert_allclose(got, array, rtol=bound, atol=bound, err_msg=name)


def modes_of(model):
    return [module.training for module in model.modules()]


def pathed(call):
    """The error of a call: its type and text."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return type(caught.value), str(caught.value)


# ---------------------------------------------------------------------------------------------------------------
# Layers and models, both ways
# ---------------------------------------------------------------------------------------------------------------


def test_every_layer_is_in_the_table():
    """A new layer has a row: True if PyTorch has it under the same name, else the reason."""
    assert {row.name for row in LAYERS} == set(TABLE)


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
def test_every_layer_goes_there_and_back(torch, row, dtype, training):
    layer = row.layer(dtype).train(training)
    if TABLE[row.name] is not True:
        kind, text = pathed(lambda: to_torch(nn.Sequential(nn.ReLU(), layer)))
        expected = f"to_torch: at 1: expected a layer that PyTorch has, got {row.name}: PyTorch has no such layer"
        assert (kind, text) == (TypeError, expected)
        return
    twin = to_torch(layer)
    home = importlib.import_module("fastnn.interop.torch_containers") if row.name in CONTAINERS[1:] else torch.nn
    assert type(twin) is getattr(home, row.name) and twin.training is training
    assert_same_state(layer, twin)
    again = from_torch(twin)
    assert repr(again) == repr(layer) and modes_of(again) == modes_of(layer)
    assert_same_bits([*again.state_dict().values()], [*layer.state_dict().values()])
    for shape in row.shapes:
        x = row.input(shape, dtype)
        modes = (False,) if "Dropout" in row.call else (False, True)
        if len(x) > 1:
            same_outputs(torch, layer, twin, x, modes)


@settings(max_examples=150)
@given(models(exclude=("ChannelwiseScale",)))
def test_random_models_go_there_and_back(torch, case):
    model, x, rng = case
    for module in model.modules():
        module.training = bool(rng.integers(2))
    twin = to_torch(model)
    assert [part.training for part in twin.modules()] == modes_of(model)
    again = from_torch(twin)
    assert repr(again) == repr(model) and modes_of(again) == modes_of(model)
    assert_same_bits([*again.state_dict().values()], [*model.state_dict().values()])
    random = any(isinstance(module, nn.Dropout) for module in model.modules())
    same_outputs(torch, model, twin, x, (False,) if random else (False, True))


OPTIONS = [
    "ReLU(inplace=True)", "ReLU6()", "LeakyReLU(0.2, inplace=True)", "Dropout(0.3, inplace=True)", "Dropout(0)",
    "Hardtanh(-2, 0.5)", "GELU('tanh')", "Softplus(2, 5)", "Softmax(1)", "LogSoftmax(-1)", "ELU(0.7)", "SELU()",
    "BatchNorm1d(4, 1e-3, None, False, False)", "BatchNorm1d(4, 0.1, 0.5, True, False)", "Identity(3, a=4)",
    "Linear(4, 3, bias=False)", "Flatten(1, 1)", "Flatten(0, -1)", "Sequential()", "Mish(inplace=True)",
]  # fmt: skip


@pytest.mark.parametrize("call", OPTIONS)
def test_options_of_pytorchs_layers(torch, call):
    twin = eval(call, vars(torch.nn)).eval()
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32) * 4
    expected = twin(tensor(torch, x.copy())).detach().numpy()
    np.testing.assert_allclose(from_torch(twin).forward(x), expected, rtol=2e-6, atol=1e-6)


def test_nothing_is_shared_and_nothing_is_changed(torch):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    before, state = model.state_dict(), torch.get_rng_state()
    twin = to_torch(model)
    assert torch.equal(torch.get_rng_state(), state)
    for value in (*twin.parameters(), *twin.buffers()):
        with torch.no_grad():
            value.fill_(7)
    assert_same_bits([*model.state_dict().values()], [*before.values()])
    again = from_torch(twin)
    for array in (*again.parameters(), again[1].running_mean):
        array.fill(3)
    assert all((value == 7).all() for value in twin.state_dict().values())
    assert again[0].weight.flags.f_contiguous  # the fast layout


def test_a_trained_twin_trains_on(torch):
    twin = to_torch(nn.Sequential(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=1)))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in twin.parameters())
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    twin(torch.ones(5, 4)).square().sum().backward()
    before = twin[0].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(twin[0].weight, before)
    x = np.ones((5, 4), np.float32)
    same_outputs(torch, from_torch(twin), twin, x)


def test_names_of_layers_become_numbers_and_parameters_of_two_layers_are_copied(torch):
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    twin = torch.nn.Sequential(OrderedDict(first=first, act=torch.nn.Tanh(), second=second))
    model = from_torch(twin)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert not np.may_share_memory(model[0].weight, model[2].weight)
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.forward(x), twin(tensor(torch, x)).detach().numpy(), atol=1e-6)


def test_layers_used_twice_stay_one(torch):
    layer = torch.nn.Linear(3, 3)
    twin = torch.nn.Sequential(layer, torch.nn.Tanh(), torch.nn.Sequential(layer))
    model = from_torch(twin)
    assert model[0] is model[2][0] and len(model.parameters()) == 2
    back = to_torch(model)
    assert back[0] is back[2][0] and len(list(back.parameters())) == 2
    same_outputs(torch, model, back, np.ones((2, 3), np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_are_kept_and_half_precision_becomes_float32(torch, dtype):
    twin = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).to(getattr(torch, dtype))
    model = from_torch(twin)
    expected = np.dtype("float64" if dtype == "float64" else "float32")
    assert all(array.dtype == expected for array in model.parameters())
    for name, value in twin.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value.double().numpy())
    other = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).astype(np.float64)
    assert from_torch(twin.state_dict(), other) is other
    assert other[0].weight.dtype == np.float64
    np.testing.assert_array_equal(other[0].weight, twin[0].weight.detach().double().numpy())


# ---------------------------------------------------------------------------------------------------------------
# state_dicts
# ---------------------------------------------------------------------------------------------------------------


def test_state_dicts_both_ways(torch, tmp_path):
    twin = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))
    twin(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.BatchNorm1d(3))
    torch.save(twin.state_dict(), tmp_path / "state.pt")
    assert from_torch(torch.load(tmp_path / "state.pt"), model) is model
    same_outputs(torch, model, twin, np.ones((3, 4), np.float32))
    randomised(model, np.random.default_rng(0))
    assert str(twin.load_state_dict(to_torch_state_dict(model))) == "<All keys matched successfully>"
    assert_same_state(model, twin)
    other = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.BatchNorm1d(3))
    from_torch(twin, other)  # a module too: its arrays by their names, whatever its layers
    assert_same_state(other, twin)


def test_state_dicts_of_layers_of_ones_own(torch):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

    class Mine(nn.Module):
        def __init__(self):
            self.fc1, self.fc2 = nn.Linear(4, 3), nn.Linear(3, 2)

    net, mine = Net(), Mine()
    from_torch(net.state_dict(), mine)
    assert_same_state(mine, net)
    mine.fc1.bias += 1
    net.load_state_dict(to_torch_state_dict(mine))
    assert_same_state(mine, net)


def test_states_that_do_not_fit_change_nothing(torch):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    good = to_torch_state_dict(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    before = model.state_dict()
    without = {name: value for name, value in good.items() if name != "0.bias"}
    cases = [
        ({**good, "0.bias": torch.zeros(4)}, "expected 0.bias of shape (3,), got (4,)"),
        (without, "got missing 0.bias and unexpected none"),
        ({**good, "2.weight": torch.zeros(1)}, "got missing none and unexpected 2.weight"),
        ({**good, "0.bias": torch.zeros(3, dtype=torch.int64)}, "expected 0.bias of a floating dtype, got int64"),
        ({**good, "0.bias": [0.0] * 3}, "from_torch: expected 0.bias as a tensor, got list"),
        ({**good, "0.bias": torch.zeros(3, device="meta")}, "expected 0.bias with numbers, got a tensor that has none"),
        (
            {**good, "0.weight": good["0.weight"].to_sparse()},
            "expected 0.weight as a dense tensor, got a sparse_coo one",
        ),
    ]
    for state, text in cases:
        assert text in pathed(lambda state=state: from_torch(state, model))[1]
        assert all(same_bits(array, before[name]) for name, array in model.state_dict().items())
    from_torch(without, model, strict=False)
    np.testing.assert_array_equal(model[0].weight, good["0.weight"].numpy())


# ---------------------------------------------------------------------------------------------------------------
# What has no counterpart
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("Conv3d(1, 2, 3)", "expected a layer that fastnn has, got torch.nn.modules.conv.Conv3d"),
        ("Conv2d(1, 2, 3, padding_mode='reflect')", "expected Conv2d with padding_mode='zeros', got 'reflect'"),
        ("ConvTranspose2d(1, 2, 3, dilation=2, output_padding=1)", "expected output_padding less than stride (1, 1)"),
        ("MaxPool2d(2, return_indices=True)", "expected MaxPool2d with return_indices=False, got True"),
        ("AvgPool2d(2, divisor_override=3)", "expected AvgPool2d with divisor_override=None, got 3"),
        ("Embedding(4, 3, max_norm=1.0)", "expected Embedding with max_norm=None, got 1.0"),
        ("Embedding(4, 3, scale_grad_by_freq=True)", "expected Embedding with scale_grad_by_freq=False, got True"),
        ("GroupNorm(2, 4, bias=False)", "expected GroupNorm with bias, got none"),
        ("Upsample(scale_factor=1.5)", "Upsample: expected scale_factor as an integer or 2 of them, got 1.5"),
        ("Upsample(scale_factor=2, mode='bilinear')", "Upsample: expected mode 'nearest', got 'bilinear'"),
        ("AlphaDropout()", "expected a layer that fastnn has, got torch.nn.modules.dropout.AlphaDropout"),
        ("LazyLinear(3)", "expected a layer that fastnn has, got torch.nn.modules.linear.LazyLinear"),
        ("ModuleList([])", "expected a layer that fastnn has, got torch.nn.modules.container.ModuleList"),
        ("Dropout(1.0)", "Dropout: expected p in [0, 1), got 1.0"),
        ("Softmax()", "Softmax: expected dim as an integer, got None"),
        ("LeakyReLU(float('inf'))", "LeakyReLU: expected a finite negative_slope, got inf"),
        ("Linear(2, 2, device='meta')", "expected 1.0.weight with numbers, got a tensor that has none yet"),
        ("utils.parametrizations.weight_norm(Linear(2, 2))", "got torch.nn.utils.parametrize.ParametrizedLinear"),
        ("LocalResponseNorm(3)", "got torch.nn.modules.normalization.LocalResponseNorm"),
    ],
)
def test_layers_that_fastnn_lacks_are_named_with_their_place(torch, call, text):
    bad = eval(call, vars(torch.nn))
    _, message = pathed(lambda: from_torch(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(bad))))
    assert text in message and "\n" not in message and "1.0" in message


def test_modules_that_do_more_than_their_class_are_refused(torch):
    hooked = torch.nn.ReLU()
    hooked.register_forward_hook(lambda *_: None)
    assert pathed(lambda: from_torch(hooked)) == (ValueError, "from_torch: expected ReLU without hooks, got some")

    class Net(torch.nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    assert "expected a layer that fastnn has, got " in pathed(lambda: from_torch(Net(torch.nn.ReLU())))[1]

    class Shift(nn.ReLU):
        pass

    kind, text = pathed(lambda: to_torch(nn.Sequential(nn.Sequential(Shift()))))
    assert kind is TypeError and text.startswith("to_torch: at 0.0: expected a layer that PyTorch has, got ")
    model = nn.Sequential(nn.ReLU())
    model[0].forward = abs
    expected = (
        "to_torch: at 0: expected a layer that PyTorch has, got fastnn.nn.activations.ReLU with a method assigned to it"
    )
    assert pathed(lambda: to_torch(model)) == (TypeError, expected)
    half = torch.nn.BatchNorm1d(3)
    half.running_var = None
    assert pathed(lambda: from_torch(half)) == (
        ValueError,
        "from_torch: expected BatchNorm1d with running_var, got none",
    )


def test_other_things_are_refused(torch):
    layer = torch.nn.ReLU()
    cases = [
        (lambda: from_torch(nn.ReLU()), "from_torch: expected a torch.nn.Module or a state_dict, got ReLU"),
        (lambda: from_torch({}), "from_torch: expected a model to load the state_dict into, got none"),
        (lambda: from_torch(layer, layer), "from_torch: expected model as a fastnn.nn.Module, got ReLU"),
        (lambda: to_torch(layer), "to_torch: expected a fastnn.nn.Module, got ReLU"),
        (lambda: to_torch_state_dict({}), "to_torch_state_dict: expected a fastnn.nn.Module, got dict"),
    ]
    for call, text in cases:
        assert pathed(call) == (TypeError, text)


@pytest.mark.parametrize("call", [from_torch, to_torch, to_torch_state_dict])
def test_without_pytorch_the_error_says_what_to_install(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError) as caught:
        call(nn.ReLU())
    text = str(caught.value)
    assert text.startswith(f"{call.__name__}: expected torch, got ") and text.endswith(
        ": pip install 'fastnn[torch]' installs it"
    )
    assert packages.required("x", "json").loads("1") == 1

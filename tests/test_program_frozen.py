"""`fastnn.compile(model, freeze=True)`: a snapshot that computes what the model computes in evaluation mode."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import backend, nn
from fastnn.program import inference
from fastnn.program.freezing import frozen


@pytest.fixture
def no_way_round(monkeypatch):
    """On compiled kernels, an inference that does not run a program is an error."""
    if backend.backend() == "native":
        monkeypatch.setattr(inference, "evaluating", lambda model: pytest.fail("no program ran"))


def network(dtype=np.float32):
    """Batch normalisation behind linear layers with and without bias, and where nothing can take it up."""
    layers = [
        nn.BatchNorm1d(7),
        nn.Linear(7, 70, rng=0),
        nn.BatchNorm1d(70),
        nn.ReLU(),
        nn.Dropout(0.5, rng=0),
        nn.Sequential(nn.Linear(70, 33, bias=False, rng=1), nn.Identity(), nn.BatchNorm1d(33, affine=False)),
        nn.Tanh(),
        nn.Linear(33, 10, rng=2),
        nn.Softmax(),
    ]
    model = nn.Sequential(*layers).astype(dtype)
    rng = np.random.default_rng(3)
    for name, array in (*model.named_parameters(), *model.named_buffers()):
        if array.dtype.kind == "f" and array.ndim == 1:
            array[...] = rng.random(array.shape) + 0.5 if name.endswith("var") else rng.standard_normal(array.shape)
    return model


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 8, 17, 300])
def test_it_computes_what_the_model_does(dtype, rows, no_way_round):
    model = network(dtype)
    x = np.random.default_rng(rows).standard_normal((rows, 7)).astype(dtype)
    output = fastnn.compile(model, freeze=True)(x)
    assert output.dtype == dtype
    np.testing.assert_allclose(output, copy.deepcopy(model).eval().forward(x), rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.skipif(not backend.available_isas(), reason="no compiled kernels")
@pytest.mark.parametrize("isa", backend.available_isas())
def test_packed_weights_serve_on_every_instruction_set(isa, no_way_round):
    model = nn.Sequential(nn.Linear(300, 71, rng=0), nn.ReLU(), nn.Linear(71, 40, rng=1))
    x = np.random.default_rng(0).standard_normal((200, 300)).astype(np.float32)
    with backend.use_isa(isa):
        infer = fastnn.compile(model, freeze=True)
        expected = model.forward(x)
        for threads in (1, 2):
            with fastnn.threads(threads):
                np.testing.assert_allclose(infer(x), expected, rtol=0, atol=1e-5)
        assert infer(x).tobytes() == infer(x).tobytes()
    for other in backend.available_isas():  # panels of another width
        with backend.use_isa(other):
            np.testing.assert_allclose(infer(x), expected, rtol=0, atol=1e-5)


def test_later_changes_do_not_count(no_way_round):
    model, x = network(), np.ones((9, 7), np.float32)
    snapshot, live = fastnn.compile(model, freeze=True), fastnn.compile(model)
    before = snapshot(x)
    model[7].weight[...] = 0
    model[2].running_mean += 1
    model[6] = nn.ReLU()
    np.testing.assert_array_equal(snapshot(x), before)
    assert np.abs(live(x) - before).max() > 0.01


def test_the_model_stays_as_it_was():
    model = network()
    before, modes = model.state_dict(), [module.training for module in model.modules()]
    fastnn.compile(model, freeze=True)(np.ones((9, 7), np.float32))
    assert [module.training for module in model.modules()] == modes
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_batch_norm_goes_into_the_layer_before_it():
    assert [type(layer).__name__ for layer in frozen(network())] == [
        "BatchNorm1d", "Linear", "ReLU", "Linear", "Tanh", "Linear", "Softmax",
    ]  # fmt: skip


def test_a_batch_norm_without_statistics_stays_and_uses_the_batch(no_way_round):
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4, track_running_stats=False))
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    expected = copy.deepcopy(model).eval().forward(x)
    np.testing.assert_allclose(fastnn.compile(model, freeze=True)(x), expected, rtol=0, atol=1e-5)


def test_one_layer_and_a_model_without_arrays():
    x = np.array([[-1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(fastnn.compile(nn.ReLU(), freeze=True)(x), [[0, 2]])
    np.testing.assert_array_equal(fastnn.compile(nn.Dropout(), freeze=True)(x), x)
    np.testing.assert_array_equal(fastnn.compile(nn.Sequential(), freeze=True)(x), x)


def test_freeze_is_a_flag_of_inference():
    model = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="compile: expected freeze as True or False"):
        fastnn.compile(model, freeze="yes")
    with pytest.raises(ValueError, match="compile: expected freeze for inference"):
        fastnn.compile(model, nn.MSELoss(), fastnn.optim.SGD(model), freeze=True)


IMAGES = [
    "Conv2d(4, 6, 3)",
    "Conv2d(4, 6, 3, bias=False, padding=1)",
    "Conv2d(4, 6, (2, 3), stride=2, padding=2, groups=2)",
    "Conv2d(4, 8, 3, dilation=2, groups=4, bias=False)",
    "Conv1d(4, 6, 3, groups=2, padding='same')",
    "Conv1d(4, 6, 3, bias=False)",
    "ConvTranspose2d(4, 6, 3, stride=2, groups=2)",
    "ConvTranspose2d(4, 6, 3, bias=False)",
]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("layer", IMAGES)
def test_batch_norm_goes_into_convolutions(layer, rows, affine, no_way_round):
    for dtype in (np.float32, np.float64):
        first = eval(f"nn.{layer}", {"nn": nn})
        norm = (nn.BatchNorm1d if "1d" in layer else nn.BatchNorm2d)(first.out_channels, affine=affine)
        model, rng = nn.Sequential(first, norm, nn.ReLU()).astype(dtype), np.random.default_rng(rows)
        for name, array in (*model.named_parameters(), *model.named_buffers()):
            if array.dtype.kind == "f":
                array[...] = rng.random(array.shape) + 0.5 if name.endswith("var") else rng.standard_normal(array.shape)
        x = rng.standard_normal((rows, 4, 9, 7)[: 3 if "1d" in layer else 4]).astype(dtype)
        assert [type(part).__name__ for part in frozen(model)] == [type(first).__name__, "ReLU"]
        expected = copy.deepcopy(model).eval().forward(x)
        output = fastnn.compile(model, freeze=True)(x)
        assert output.dtype == dtype
        np.testing.assert_allclose(output, expected, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("first, norm", [
    (nn.Conv2d(3, 4, 1, rng=0), nn.BatchNorm2d(4, track_running_stats=False)),
    (nn.Conv2d(3, 4, 1, rng=0), nn.BatchNorm2d(5)),
    (nn.Conv2d(3, 4, 1, rng=0), nn.BatchNorm1d(4)),
    (nn.Linear(3, 4, rng=0), nn.BatchNorm2d(4)),
])  # fmt: skip
def test_a_batch_norm_that_does_not_fit_stays(first, norm):
    assert len(frozen(nn.Sequential(first, norm))) == 2

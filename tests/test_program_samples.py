"""`fastnn.compile` for norms of samples, dropped channels, padded and enlarged images."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DTYPES
from twins import Twin, everything, programs_alone, teams

import fastnn
from fastnn import backend, nn, optim
from fastnn.program import inference

CLASSES = 5
ULPS = 256  # norms magnify roundings, up to five of them one after another
EPS = 0.1  # of the norms: one of few values that are nearly equal would magnify without end


@pytest.fixture
def no_way_round(monkeypatch):
    """On compiled kernels, an inference that does not run a program is an error."""
    if backend.backend() == "native":
        monkeypatch.setattr(inference, "evaluating", lambda model: pytest.fail("no program ran"))


def drawn_norm(draw, shape):
    """A norm of a row of this shape, with random weights."""
    kind, affine = draw(st.sampled_from(["LayerNorm", "RMSNorm", "GroupNorm"])), draw(st.booleans())
    if kind == "GroupNorm":
        groups = draw(st.sampled_from([n for n in range(1, shape[0] + 1) if shape[0] % n == 0]))
        norm = nn.GroupNorm(groups, shape[0], EPS, affine)
    elif kind == "LayerNorm":
        norm = nn.LayerNorm(shape[draw(st.integers(0, len(shape) - 1)) :], EPS, affine, draw(st.booleans()))
    else:
        norm = nn.RMSNorm(shape[draw(st.integers(0, len(shape) - 1)) :], EPS, affine)
    for array in norm.parameters():
        array[...] = np.random.default_rng(array.size).standard_normal(array.shape)
    return norm


@st.composite
def networks(draw):
    """Linear layers with norms behind them, of rows or of rows cut into pieces; some are used twice."""
    width, layers = draw(st.integers(1, 40)), []
    first = width
    for number in range(draw(st.integers(1, 4))):
        shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
        shape = shape if len(shape) > 1 else (draw(st.integers(1, 80)),)
        outs = int(np.prod(shape))
        layers += [nn.Linear(width, outs, rng=number)] if number or draw(st.booleans()) else []
        outs, shape = (outs, shape) if layers else (width, (width,))
        norm = drawn_norm(draw, shape)
        layers += [nn.Unflatten(1, shape), norm] if len(shape) > 1 else [norm]
        layers += [nn.Tanh(), norm] if draw(st.booleans()) else [nn.Tanh()]
        layers += [nn.Flatten()] if len(shape) > 1 else []
        width = outs
    return nn.Sequential(*layers, nn.Linear(width, CLASSES, rng=9)), first


def batch(width, rows, dtype):
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, width)).astype(dtype), rng.integers(0, CLASSES, rows)


def penalised(model):
    optimizer = optim.SGD(model, lr=1e-2, momentum=0.9)
    optimizer.penalty = 0.1  # on matrices, which some weights of norms are
    return optimizer


@given(network=networks(), rows=st.lists(st.integers(1, 70), min_size=1, max_size=4), dtype=st.sampled_from(DTYPES))
@settings(max_examples=150)
def test_any_network_with_norms_trains_as_in_the_explicit_loop(network, rows, dtype):
    model, width = network
    twin = Twin(model.astype(dtype), nn.CrossEntropyLoss(), optim.SGD, 1e-3)
    infer = fastnn.compile(twin.copy)
    for count in rows:
        x, y = batch(width, count, dtype)
        with programs_alone():
            twin.both(x, y, ULPS)
        allowed = ULPS * np.finfo(dtype).eps
        np.testing.assert_allclose(infer(x), copy.deepcopy(twin.model).eval().forward(x), rtol=allowed, atol=allowed)
    twin.compare(ULPS)


@pytest.mark.usefixtures("core")
@given(network=networks(), rows=st.integers(32, 200), dtype=st.sampled_from(DTYPES),
       isa=st.sampled_from(backend.available_isas() or [None]))  # fmt: skip
@settings(max_examples=60)
def test_any_network_with_norms_trains_to_the_same_bits_on_teams(network, rows, dtype, isa):
    model, width = network
    x, y = batch(width, rows, dtype)
    results = []
    with backend.use_backend("native"), backend.use_isa(isa), teams():
        for threads in (1, 2, 3):
            twin = copy.deepcopy(model).astype(dtype)
            step = fastnn.compile(twin, nn.CrossEntropyLoss(), penalised(twin))
            with backend.threads(threads):
                losses = [step(x, y), *step.epoch(x, y, 32, rng=0)]
                results.append([np.array(losses), fastnn.compile(twin)(x), *twin.state_dict().values()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", [1, 3, 16, 37])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_channels_are_dropped(isa, rows, dtype):
    """The weights behind ones change where a channel was kept, and by the same bits."""
    drop = nn.Dropout2d(0.5, rng=0)
    drop.step = 5
    models = [nn.Sequential(copy.deepcopy(drop), nn.Flatten(), nn.Linear(7 * 6, CLASSES, rng=1)).astype(dtype)
              for _ in range(2)]  # fmt: skip
    kept = []
    x, y = np.ones((rows, 7, 2, 3), dtype), np.zeros(rows, int)
    with backend.use_backend("native"), programs_alone():
        for model, run in zip(models, (explicit, compiled), strict=True):
            before = model[2].weight.copy()
            run(model, x, y)
            kept.append(model[2].weight != before)
    np.testing.assert_array_equal(*kept)
    assert kept[0].any() and (rows > 1 or not kept[0].all())
    assert [model[0].step for model in models] == [6, 6]


def explicit(model, x, y):
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model, lr=1.0)
    model.backward(x, criterion.backward(model.forward(x), y))
    optimizer.step()


def compiled(model, x, y):
    fastnn.compile(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=1.0))(x, y)


IMAGES = [nn.ZeroPad2d((1, 2, -1, 0)), nn.Conv2d(2, 6, 3, rng=0), nn.GroupNorm(3, 6), nn.ReLU(), nn.Dropout2d(0.4),
          nn.Upsample(scale_factor=(2, 3)), nn.Conv2d(6, 4, 2, stride=2, rng=1), nn.LayerNorm((2, 13)),
          nn.ZeroPad2d(1), nn.RMSNorm(15), nn.Flatten()]  # fmt: skip
PIECES = [nn.Linear(7, 15, rng=0), nn.Unflatten(1, (3, 5)), nn.LayerNorm((3, 5)), nn.Upsample(scale_factor=2),
          nn.RMSNorm((3, 10)), nn.GroupNorm(1, 3), nn.Flatten(), nn.GroupNorm(5, 30)]  # fmt: skip


def random_weights(model, dtype):
    for number, array in enumerate(model.parameters()):
        array += np.random.default_rng(number).standard_normal(array.shape).astype(array.dtype) / 4
    return model.astype(dtype)


@pytest.mark.parametrize("layers, shape", [(IMAGES, (2, 5, 8)), (PIECES, (7,))], ids=["images", "pieces"])
@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 61])
def test_inference(isa, layers, shape, freeze, dtype, rows, no_way_round, monkeypatch):
    """A program runs, of a snapshot too; who computes which rows changes no bit."""
    monkeypatch.setattr(inference, "BLOCK_BYTES", 1)
    model = random_weights(nn.Sequential(*copy.deepcopy(layers)), dtype)
    x = np.random.default_rng(0).standard_normal((rows, *shape)).astype(dtype)
    expected, results = copy.deepcopy(model).eval().forward(x), []
    with backend.use_backend("native"), teams():
        for threads in (1, 2):
            with backend.threads(threads):
                results.append(fastnn.compile(model, freeze=freeze)(x))
    np.testing.assert_array_equal(*results)
    np.testing.assert_allclose(results[0], expected, rtol=1e3 * np.finfo(dtype).eps, atol=1e3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_norm_at_the_beginning_trains_its_weights(rows):
    """Nobody needs the gradient by the input there."""
    for norm in (nn.LayerNorm(9), nn.RMSNorm(9), nn.GroupNorm(3, 9)):
        model = nn.Sequential(norm, nn.Linear(9, CLASSES, rng=0)).astype(np.float64)
        twin = Twin(model, nn.CrossEntropyLoss(), optim.SGD, 1e-2)
        before = norm.weight.copy()
        with programs_alone():
            twin.both(*batch(9, rows, np.float64), ULPS)
        twin.compare(ULPS)
        assert (norm.weight != before).any()


@pytest.mark.parametrize("layer, shape, line", [
    (nn.LayerNorm((4, 3)), (4, 3), None),
    (nn.ZeroPad2d(-2), (2, 1, 4, 9), "ZeroPad2d: expected input of which a pixel is left, got 4 x 9 pixels"),
    (nn.Upsample(size=5), (2, 1, 5, 4), "Upsample: expected input of a size that divides 5, got (2, 1, 5, 4)"),
    (nn.Upsample(scale_factor=2), (2, 5), "Upsample: expected input of shape (N, C, L) or (N, C, H, W), got (2, 5)"),
    (nn.Dropout2d(), (2, 5), "Dropout2d: expected input of shape (N, C, H, W), got (2, 5)"),
    (nn.GroupNorm(1, 3), (2, 5), "GroupNorm: expected input of shape (N, 3) or (N, 3, L) or (N, 3, H, W), got (2, 5)"),
    (nn.RMSNorm(4), (2, 5), "RMSNorm: expected input of shape (..., 4), got (2, 5)"),
], ids=lambda value: str(value)[:20])  # fmt: skip
def test_what_is_no_program_is_as_in_the_explicit_loop(layer, shape, line):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if line is None:
        np.testing.assert_array_equal(fastnn.compile(layer)(x), layer.forward(x))
        return
    with pytest.raises(ValueError) as caught:
        fastnn.compile(layer)(x)
    assert str(caught.value) == line


def test_a_channel_dropout_that_is_used_twice_trains():
    """Each forward has a mask of its own: the explicit loop serves."""
    drop = nn.Dropout2d(0.5, rng=0)
    model = nn.Sequential(nn.Conv2d(1, 6, 2, rng=0), drop, nn.Tanh(), drop, nn.Flatten(), nn.Linear(54, CLASSES, rng=0))
    twin = Twin(model.astype(np.float64), nn.CrossEntropyLoss(), optim.SGD, 1e-2)
    x, y = np.random.default_rng(0).standard_normal((3, 1, 4, 4)), np.arange(3)
    twin.both(x, y, ULPS)
    twin.compare(ULPS)
    assert everything(twin.copy)["dropout 2"] == 2


def test_changes_of_a_layer_count():
    """What the program was made from is watched."""
    model = nn.Sequential(nn.Linear(6, 6, rng=0), nn.LayerNorm(6), nn.Unflatten(1, (6, 1, 1)), nn.ZeroPad2d(1),
                          nn.Upsample(scale_factor=2), nn.GroupNorm(2, 6), nn.Flatten(), nn.RMSNorm(216))  # fmt: skip
    infer, x = fastnn.compile(model), np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    infer(x)
    some = np.arange(6, dtype=np.float32)
    changes = [
        (1, "eps", 1.0),
        (3, "padding", (2, 0, 1, 1)),
        (4, "scale_factor", (1.0, 4.0)),
        (5, "num_groups", 3),
        (5, "weight", some),
        (7, "eps", 2.0),
        (5, "bias", some + 1),
        (1, "bias", some),
        (5, "bias", None),
    ]
    for index, name, value in changes:
        before = infer(x)
        setattr(model[index], name, value)
        np.testing.assert_allclose(infer(x), model.forward(x), rtol=1e-4, atol=1e-5)
        assert np.abs(infer(x) - before).max() > 1e-4, (index, name)


@pytest.mark.parametrize("rows", [1, 5, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_without_a_row_add_nothing(isa, rows, dtype):
    """Their planes are constant, so that without eps a norm would divide 0 by 0."""
    model = nn.Sequential(nn.Conv2d(1, 4, 2, rng=0), nn.GroupNorm(4, 4, eps=0.0), nn.Dropout2d(0.2, rng=0),
                          nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3, rng=1), nn.Flatten(),
                          nn.Linear(72, CLASSES, rng=2))  # fmt: skip
    twin = Twin(model.astype(dtype), nn.CrossEntropyLoss(), optim.SGD, 1e-2)
    x, y = np.random.default_rng(rows).standard_normal((rows, 1, 4, 4)).astype(dtype), np.arange(rows) % CLASSES
    with backend.use_backend("native"), programs_alone():
        twin.both(x, y, ULPS)
    twin.compare(ULPS)

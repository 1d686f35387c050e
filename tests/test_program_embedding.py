"""`fastnn.compile` of models that begin with `Embedding`: rows of integers, against the explicit loop."""

import copy

import numpy as np
import pytest
from support import DTYPES, needs_native, outcome
from twins import Twin, assert_alike, everything, explicit_step, programs_alone, teams

import fastnn
from fastnn import Trainer, backend, nn, optim
from fastnn.program import inference
from fastnn.program.explicit import train_step

ENTRIES, WORDS, CLASSES, ULPS = 150, 6, 4, 16
OPTIMIZERS = {
    "SGD": lambda model: optim.SGD(model, lr=0.1),
    "momentum": lambda model: optim.SGD(model, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda model: optim.Adam(model, lr=0.01),
    "penalty": lambda model: penalised(optim.RMSprop(model, lr=0.01)),
}


def penalised(optimizer):
    optimizer.penalty = 0.1
    return optimizer


def network(dtype=np.float32, padding_idx=3, words=WORDS):
    layers = (nn.Embedding(ENTRIES, 5, padding_idx, rng=0), nn.Flatten(), nn.Linear(5 * words, 7, rng=1), nn.ReLU(),
              nn.Linear(7, CLASSES, rng=2))  # fmt: skip
    return nn.Sequential(*layers).astype(dtype)


def shared():
    """One table that is read twice, and another one, side by side and added up."""
    table, other = nn.Embedding(ENTRIES, 5, rng=0), nn.Embedding(ENTRIES - 9, 5, rng=1)
    body = nn.Concat(table, nn.Sequential(nn.Add(table, other), nn.Tanh()))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(10 * WORDS, CLASSES, rng=2))


def task(rows=40, words=WORDS, entries=ENTRIES, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, entries, (rows, words)), rng.integers(0, CLASSES, rows)


def twin(model=None, make=OPTIMIZERS["momentum"], criterion=None):
    return Twin(model or network(), criterion or nn.CrossEntropyLoss(), make)


def both(twin, x, y, ulps=ULPS):
    """A step of each, whose losses are alike."""
    expected = explicit_step(twin.model, twin.criterion, twin.optimizer, x, y)
    np.testing.assert_allclose(twin.step(x, y), expected, rtol=ulps * np.finfo(np.float32).eps)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding_idx", [None, 3, -1])
def test_steps_and_epochs_are_those_of_the_explicit_loop(make, dtype, padding_idx):
    pair = twin(network(dtype, padding_idx), make)
    parts = pair.model, pair.criterion, pair.optimizer
    for number in range(6):
        x, y = task(7 + 5 * number, seed=number)
        batches = fastnn.data.batches(x, y, 4, True, number) if number % 2 else [(x, y)]
        expected = [train_step(*parts, *batch)[0] for batch in batches]
        with programs_alone():
            got = pair.step.epoch(x, y, 4, rng=number) if number % 2 else [pair.step(x, y)]
        np.testing.assert_allclose(got, expected, rtol=ULPS * np.finfo(np.float32).eps)
        pair.compare(ULPS, number)


def test_tables_may_be_several_and_read_twice():
    pair = twin(shared(), OPTIMIZERS["Adam"])
    for number in range(4):
        with programs_alone():
            both(pair, *task(9, entries=ENTRIES - 9, seed=number))
        pair.compare(ULPS)


@pytest.mark.parametrize("shape", [(1, 6), (50, 6), (1000, 6)])
def test_inference_is_the_forward_of_evaluation(shape, monkeypatch):
    if backend.backend() == "native":
        monkeypatch.setattr(inference, "evaluating", lambda model: pytest.fail("no program ran"))
    for dtype in DTYPES:
        for model in (network(dtype), shared().astype(dtype), nn.Embedding(ENTRIES, 3, rng=0).astype(dtype)):
            x = np.random.default_rng(0).integers(0, ENTRIES - 9, shape)
            for freeze in (False, True):
                got, expected = fastnn.compile(model, freeze=freeze)(x), copy.deepcopy(model).eval().forward(x)
                assert got.dtype == dtype and got.shape == expected.shape
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 2, 3), (20, 0), (0, 6)])
def test_rows_of_any_shape(shape):
    words = int(np.prod(shape[1:]))
    x = np.random.default_rng(0).integers(0, ENTRIES, shape)
    if words:
        pair = twin(network(words=words))
        if len(x):
            with programs_alone():
                both(pair, x, np.arange(len(x)) % CLASSES)
            pair.compare(ULPS)
    table = nn.Embedding(ENTRIES, 3, rng=0)
    np.testing.assert_array_equal(fastnn.compile(table)(x), table.forward(x))


@needs_native
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", [network, shared])
def test_teams_train_to_the_same_bits(isa, model, make):
    x, y = task(90, entries=ENTRIES - 9)
    results = []
    with backend.use_backend("native"), teams():
        for threads in (1, 2, 3):
            own = model()
            optimizer = make(own)
            step = fastnn.compile(own, nn.CrossEntropyLoss(), optimizer)
            with backend.threads(threads):
                losses = [step(x, y), *step.epoch(x, y, 37, rng=0)]
            results.append(everything(own, optimizer) | {"losses": np.array(losses), "y": fastnn.compile(own)(x)})
    for other in results[1:]:
        assert_alike(other, results[0])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.uint64, ">i8"])
def test_integers_of_any_dtype(dtype):
    x, y = task(entries=100)
    pair = twin()
    with programs_alone(dtype != np.uint64):
        both(pair, x.astype(dtype), y)
    pair.compare(ULPS)
    expected = copy.deepcopy(pair.copy).eval().forward(x)
    np.testing.assert_allclose(fastnn.compile(pair.copy)(x.astype(dtype)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("targets", ["rows", "values"])
def test_floating_targets(targets):
    x, _ = task()
    y = np.random.default_rng(1).random((len(x), CLASSES), np.float32)
    pair = twin(criterion=nn.CrossEntropyLoss() if targets == "rows" else nn.MSELoss())
    with programs_alone():
        both(pair, x, y)
    pair.compare(ULPS)


@pytest.mark.parametrize("bad", [ENTRIES, -1, 1 << 62, -(1 << 63)])
@pytest.mark.parametrize("started", [False, True])
def test_numbers_out_of_range_are_refused_as_by_the_layer(bad, started):
    pair = twin()
    x, y = task()
    if started:
        both(pair, x, y)
    x[-1, -1] = bad
    before = everything(pair.copy, pair.optimizer_of_copy)
    line = "raised", IndexError, f"Embedding: expected input in [0, {ENTRIES}), got {bad}"
    for call in (lambda: pair.step(x, y), lambda: pair.step.epoch(x, y, 64), lambda: fastnn.compile(pair.copy)(x)):
        assert outcome(call) == line
        assert_alike(everything(pair.copy, pair.optimizer_of_copy), before)
    x[-1, -1] = 0
    both(pair, x, y)
    pair.compare(ULPS)


def test_rows_that_an_order_leaves_out_may_be_out_of_range():
    pair, (x, y) = twin(), task()
    x[-1] = ENTRIES
    order = np.arange(len(x) - 1)
    expected = [explicit_step(pair.model, pair.criterion, pair.optimizer, x[order], y[order])]
    np.testing.assert_allclose(pair.step.epoch(x, y, 64, order=order), expected, rtol=1e-5)
    pair.compare(ULPS)


BESIDE = nn.Sequential(nn.Embedding(5, 1, rng=0), nn.Flatten())
ELSEWHERE = {
    "floats": (nn.Sequential(nn.Embedding(5, 2, rng=0)), np.zeros((3, 2), np.float32)),
    "behind a layer": (nn.Sequential(nn.Linear(2, 2, rng=0), nn.Embedding(5, 2)), np.zeros((3, 2), np.float32)),
    "integers behind a layer": (nn.Sequential(nn.Dropout(), nn.Embedding(5, 2)), np.zeros((3, 2), int)),
    "integers without a table": (nn.Sequential(nn.Linear(2, 2, rng=0)), np.zeros((3, 2), int)),
    "integers beside a table": (nn.Concat(nn.Identity(), BESIDE), np.arange(4).reshape(2, 2)),
    "integers that are summed": (nn.Add(nn.Flatten(), BESIDE), np.arange(8).reshape(2, 4) % 5),
    "integers that are added": (nn.Residual(nn.Embedding(5, 2, rng=0)), np.zeros((3, 2), int)),
}


@pytest.mark.parametrize("model, x", ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere_the_layers_themselves_serve(model, x):
    expected, got = outcome(copy.deepcopy(model).eval().forward, x), outcome(fastnn.compile(model), x)
    assert got[:2] == expected[:2] if expected[0] == "raised" else got[0] == expected[0]
    if expected[0] == "raised":
        assert got == expected
    else:
        assert got[1].dtype == expected[1].dtype
        np.testing.assert_array_equal(got[1], expected[1])


def test_the_padding_and_the_table_may_change_between_two_calls():
    pair = twin()
    x, y = task(entries=5)
    for change in (lambda model: None, lambda model: setattr(model[0], "padding_idx", 4),
                   lambda model: setattr(model[0], "padding_idx", None),
                   lambda model: setattr(model[0], "weight", model[0].weight[:9].copy())):  # fmt: skip
        for model, optimizer in ((pair.model, pair.optimizer), (pair.copy, pair.optimizer_of_copy)):
            if model[0].weight.shape[0] > 9:
                change(model)
            if model[0].weight.shape[0] == 9:
                model[0].grad_weight = np.zeros_like(model[0].weight)
                optimizer.state.clear()
        both(pair, x, y)
        pair.compare(ULPS)
    assert outcome(fastnn.compile(pair.copy), x[:1] * 0 + 9)[2] == "Embedding: expected input in [0, 9), got 9"


def test_trainer_trains_and_predicts():
    model, (x, y) = network(), task(200)
    with programs_alone():
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01))
        losses = trainer.fit(x, y, epochs=30, rng=0, progress=False)["loss"]
    assert losses[-1] < losses[0] / 4
    expected = copy.deepcopy(model).eval().forward(x)
    np.testing.assert_allclose(trainer.predict(x), expected, rtol=1e-5, atol=1e-5)

"""Weights of samples, chosen rows and penalties: in criterions, compiled steps and epochs, and the explicit loop."""

import numpy as np
import pytest
from cases import CRITERIONS

import fastnn
from fastnn import nn, optim
from fastnn.program.explicit import train_epoch

criterions = pytest.mark.parametrize("row", CRITERIONS, ids=str)
ROWS, COLS = 23, 7
PENALTY = 0.7


def weights_of(rows, seed=5):
    made = np.random.default_rng(seed).uniform(0.2, 3, rows)
    made[1] = 0
    assert made.std() > 0.1
    return made


# ---------------------------------------------------------------------------------------------------------------
# Criterions
# ---------------------------------------------------------------------------------------------------------------


@criterions
def test_a_weight_counts_its_row_so_many_times(row):
    """Whole weights are repetitions."""
    criterion, x, target = row.criterion(), row.input(), row.targets()
    counts = np.arange(len(x)) % 3 + 1
    repeated = np.repeat(np.arange(len(x)), counts)
    expected = criterion.forward(x[repeated], target[repeated])
    assert criterion.forward(x, target, counts) == pytest.approx(expected, rel=1e-12)
    assert criterion(x, target, sample_weight=counts.tolist()) == criterion.output
    grad = criterion.backward(x[repeated], target[repeated])
    expected = np.array([grad[repeated == i].sum(axis=0) for i in range(len(x))])
    np.testing.assert_allclose(criterion.backward(x, target, counts), expected, rtol=1e-12, atol=1e-15)
    assert criterion.backward(x.astype(np.float32), target, counts).dtype == (
        np.float64 if target.dtype == np.float64 and target.ndim == x.ndim and not hasattr(criterion, "weight")
        else np.float32
    )  # fmt: skip


@criterions
def test_equal_weights_are_none(row):
    criterion, x, target = row.criterion(), row.input(), row.targets()
    ones = np.ones(len(x))
    assert criterion.forward(x, target, ones) == pytest.approx(criterion.forward(x, target), rel=1e-12)
    grad = criterion.backward(x, target)
    np.testing.assert_allclose(criterion.backward(x, target, ones), grad, rtol=1e-12, atol=1e-16)


@criterions
def test_without_any_weight_the_loss_is_nan_and_the_gradient_zero(row):
    criterion, x, target = row.criterion(), row.input(), row.targets()
    nothing = np.zeros(len(x))
    loss = criterion.forward(x, target, nothing)
    assert loss == 0 if criterion.reduction == "sum" else np.isnan(loss)
    assert not criterion.backward(x, target, nothing).any()


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss(), nn.NLLLoss(), nn.MSELoss()], ids=str)
@pytest.mark.parametrize(
    "weights, error, text",
    [
        (np.ones(4), ValueError, r"expected sample_weight of shape \(5,\), got \(4,\)"),
        (np.ones((5, 1)), ValueError, r"expected sample_weight of shape \(5,\), got \(5, 1\)"),
        (["a"] * 5, TypeError, "expected sample_weight of real numbers, got dtype <U1"),
    ],
)
def test_weights_that_do_not_fit_are_refused(criterion, weights, error, text):
    x, target = np.zeros((5, 3)), np.zeros((5, 3))
    for call in (criterion.forward, criterion.backward):
        with pytest.raises(error, match=f"^{type(criterion).__name__}: {text}$"):
            call(x, target, weights)


def test_a_criterion_of_ones_own_is_given_weights_only_if_there_are_some():
    class Mine(nn.Criterion):
        def update_output(self, input, target, sample_weight=None):
            return 1.0 if sample_weight is None else 2.0

    class Plain(nn.Criterion):
        def update_output(self, input, target):
            return 3.0

    assert Mine().forward(None, None) == 1 and Mine().forward(None, None, [1]) == 2
    assert Plain().forward(None, None) == 3


# ---------------------------------------------------------------------------------------------------------------
# Steps and epochs
# ---------------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda model: optim.SGD(model, lr=0.05, momentum=0.9, nesterov=True),
    "decayed sgd": lambda model: optim.SGD(model, lr=0.05, weight_decay=0.02),
    "adam": lambda model: optim.Adam(model, lr=0.01),
    "adamw": lambda model: optim.AdamW(model, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda model: optim.RMSprop(model, lr=0.01),
    "adagrad": lambda model: optim.Adagrad(model, lr=0.05),
}
CRITERIONS_OF_STEPS = {
    "labels": nn.CrossEntropyLoss(),
    "weighted labels": nn.CrossEntropyLoss(weight=np.linspace(0.5, 2, 4), ignore_index=2),
    "rows": nn.CrossEntropyLoss(),
    "mse": nn.MSELoss(),
    "half mse": nn.HalfMSELoss("batchmean"),
    "counts": nn.PoissonNLLLoss("mean"),
    "logits": nn.BCEWithLogitsLoss("batchmean"),
}


def network(dtype, hidden=9):
    model = nn.Sequential(nn.Linear(COLS, hidden, rng=0), nn.Tanh(), nn.Linear(hidden, 4, rng=1))
    return model.astype(dtype)


def data_of(kind, dtype, rows=ROWS):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, COLS)).astype(dtype)
    if kind.endswith("labels"):
        return x, rng.integers(0, 4, rows)
    y = rng.uniform(0, 1, size=(rows, 4)).astype(dtype)
    return x, y / y.sum(axis=1, keepdims=True) if kind == "rows" else y


def pair(kind, name, dtype, penalty, eps_hat=False, hidden=9):
    """A compiled step, and the explicit loop, of equal models."""
    parts = []
    for _ in range(2):
        model = network(dtype, hidden)
        optimizer = OPTIMIZERS[name](model)
        optimizer.penalty = penalty
        if eps_hat:
            optimizer.eps_hat = True
        parts.append((model, CRITERIONS_OF_STEPS[kind], optimizer))
    return fastnn.compile(*parts[0]), parts[1]


def same(step, parts, dtype):
    """Parameters that differ by a few roundings of the largest of them, of which each of a few steps adds some."""
    for a, b in zip(step.model.parameters(), parts[0].parameters(), strict=True):
        assert np.abs(a - b).max() <= 64 * np.finfo(dtype).eps * np.abs(b).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("penalty", [0.0, PENALTY])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", CRITERIONS_OF_STEPS)
def test_epochs_are_those_of_the_explicit_loop(kind, name, penalty, weighted, dtype):
    x, y = data_of(kind, dtype)
    weights = weights_of(ROWS) if weighted else None
    step, parts = pair(kind, name, dtype, penalty)
    for epoch, size in enumerate((8, 5, 23)):
        order = np.random.default_rng(epoch).integers(0, ROWS, 19)
        losses = step.epoch(x, y, size, order=order, sample_weight=weights)
        penalties = []
        loader = fastnn.data.batches(x, y, size, order=order, sample_weight=weights)
        expected, _, _ = train_epoch(*parts, loader, penalties=penalties)
        assert len(losses) == len(expected) == -(-19 // size)
        rtol = 1e-5 if dtype == np.float32 else 1e-11
        np.testing.assert_allclose(losses, expected, rtol=rtol)
        np.testing.assert_allclose(step.penalties, penalties, rtol=rtol)
        assert (step.penalties > 0).all() == (penalty > 0)
        same(step, parts, dtype)


def test_penalties_of_large_weights_are_those_of_every_element():
    """Of several chunks of a sum, made by one thread or two."""
    x, y = data_of("mse", np.float64)
    results = []
    for threads in (1, 2):
        with fastnn.threads(threads):
            step, parts = pair("mse", "sgd", np.float64, PENALTY, hidden=1200)
            expected = PENALTY / 2 / ROWS * sum((w**2).sum() for w in parts[0].parameters() if w.ndim == 2)
            step.epoch(x, y, ROWS, shuffle=False)
            assert step.penalties[0] == pytest.approx(expected, rel=1e-12)
            results.append(step.penalties[0])
    assert results[0] == results[1]


def test_a_penalty_may_come_and_go():
    x, y = data_of("labels", np.float64)
    step, (model, criterion, optimizer) = pair("labels", "sgd", np.float64, 0.0)
    for penalty in (0.0, 0.5, 0.25, 0.0):
        step.optimizer.penalty = optimizer.penalty = penalty
        loader = fastnn.data.batches(x, y, ROWS)
        expected, _, _ = train_epoch(model, criterion, optimizer, loader)
        assert step(x, y) == pytest.approx(expected[0], rel=1e-12)
        same(step, (model,), np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eps_before_the_correction(dtype):
    """p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), by hand."""
    x, y = data_of("mse", dtype)
    step, (model, criterion, optimizer) = pair("mse", "adam", dtype, 0.0, eps_hat=True)
    step.optimizer.eps = optimizer.eps = 0.01
    by_hand = [array.astype(np.float64) for array in model.parameters()]
    m, v = [0.0] * 4, [0.0] * 4
    for t in (1, 2, 3):
        output = model.forward(x)
        model.zero_grad()
        model.backward(x, criterion.backward(output, y))
        for i, g in enumerate(model.grad_parameters()):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * np.square(g, dtype=np.float64)
            by_hand[i] -= 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m[i] / (np.sqrt(v[i]) + 0.01)
        optimizer.step()
        step(x, y)
        same(step, (model,), dtype)
    for array, expected in zip(model.parameters(), by_hand, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("kind", CRITERIONS_OF_STEPS)
def test_a_step_takes_weights_and_goes_on_without(kind):
    x, y = data_of(kind, np.float64)
    step, (model, criterion, optimizer) = pair(kind, "sgd", np.float64, PENALTY)
    for weights in (None, weights_of(ROWS), None, weights_of(ROWS, 6)):
        loader = fastnn.data.batches(x, y, ROWS, sample_weight=weights)
        expected, _, _ = train_epoch(model, criterion, optimizer, loader)
        assert step(x, y, weights) == pytest.approx(expected[0], rel=1e-11)
    same(step, (model,), np.float64)


def test_threads_do_not_change_weighted_results():
    x, y = data_of("half mse", np.float32, 600)
    weights = weights_of(600)
    found = []
    for threads in (1, 2):
        with fastnn.threads(threads):
            step, _ = pair("half mse", "adam", np.float32, PENALTY, hidden=700)
            found.append([step.epoch(x, y, 200, rng=0, sample_weight=weights), *step.model.parameters()])
    for a, b in zip(*found, strict=True):
        assert (a == b).all()


@pytest.mark.parametrize(
    "more, error, text",
    [
        ({"sample_weight": np.ones(4)}, ValueError, r"batches: expected sample_weight of shape \(23,\), got \(4,\)"),
        ({"sample_weight": ["a"] * 23}, TypeError, "batches: expected sample_weight of real numbers, got dtype <U1"),
        ({"order": [0, 23]}, IndexError, r"batches: expected row numbers in \[0, 23\), got 23"),
        ({"order": [0, -1]}, IndexError, r"batches: expected row numbers in \[0, 23\), got -1"),
        ({"order": [0.5]}, TypeError, "batches: expected order of integers, got float64"),
        ({"order": [[0]]}, ValueError, r"batches: expected order of shape \(rows,\), got \(1, 1\)"),
    ],
)
def test_what_an_epoch_refuses(more, error, text):
    x, y = data_of("labels", np.float64)
    step, _ = pair("labels", "sgd", np.float64, 0.0)
    before = step.model.state_dict()
    with pytest.raises(error, match=f"^{text}$"):
        step.epoch(x, y, 8, **more)
    assert all((before[name] == array).all() for name, array in step.model.state_dict().items())


def test_a_step_refuses_weights_that_do_not_fit():
    x, y = data_of("labels", np.float64)
    step, _ = pair("labels", "sgd", np.float64, 0.0)
    with pytest.raises(ValueError, match=r"^CrossEntropyLoss: expected sample_weight of shape \(23,\), got \(4,\)$"):
        step(x, y, np.ones(4))


def test_batches_with_weights_are_triples():
    batches = fastnn.data.batches(np.arange(5.0), np.arange(5), 2, order=[4, 0, 0], sample_weight=[1, 2, 3, 4, 5])
    assert len(batches) == 2 and batches.rows == 3
    assert [[array.tolist() for array in batch] for batch in batches] == [[[4, 0], [4, 0], [5, 1]], [[0], [0], [1]]]
    with pytest.raises(ValueError, match=r"^batches: expected Y with sample_weight, got none$"):
        fastnn.data.batches(np.arange(5.0), sample_weight=np.ones(5))
    with pytest.raises(ValueError, match=r"^batches: expected order or shuffle, got both$"):
        fastnn.data.batches(np.arange(5.0), shuffle=True, order=[0])

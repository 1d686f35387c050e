"""`fastnn.compile` against the explicit loop for everything in the registry."""

import copy
from functools import partial

import numpy as np
import pytest
from cases import CRITERIONS, LAYERS, OPTIMIZERS, Layer
from makers import TARGETS, normal
from support import DTYPES, ISAS, outcome, same_bits
from twins import Twin, assert_alike, everything, explicit_step, programs_alone, teams

import fastnn
from fastnn import backend, nn
from fastnn.program import inference

CLASSES, BATCHES, LR = 5, 3, 1e-3
ULPS = 16  # softmax takes its gradient from its output; sums of gradients may be added up in another order
# Layers that mix the rows of a batch, and windows whose zeros count in part, have no program.
EXPLICIT = {"Softmax(0)", "Flatten(0, -2)", "AvgPool2d(4, stride=3, padding=2, ceil_mode=True)"}
MLP = Layer("Sequential(Linear(7, 6), ELU(), Linear(6, 5))", ((7, 7),))
# Rows of integers are those of test_program_embedding.py.
COMPILED = [row for row in LAYERS if type(row.layer()).lower is not nn.Module.lower and not row.indices]
CASES = [(row, shape) for row in COMPILED for shape in row.shapes]
TRAINED = [(row, shape) for row, shape in CASES if len(shape) > 1]
layers = pytest.mark.parametrize("row, shape", CASES, ids=lambda value: getattr(value, "id", str(value)))
trained_layers = pytest.mark.parametrize("row, shape", TRAINED, ids=lambda value: getattr(value, "id", str(value)))
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def network(row, shape, dtype, rows):
    """A network around a layer, so that a gradient goes through, and batches for it."""
    rng, width = np.random.default_rng(1), shape[1]
    firsts = {
        2: partial(nn.Linear, width, rng=1),
        3: nn.ChannelwiseScale,
        4: partial(nn.Conv2d, width, kernel_size=1, rng=1),
    }
    first = firsts[len(shape)](width)
    body = nn.Sequential(first, nn.Tanh(), row.layer(dtype), nn.Flatten()).astype(dtype)
    for number, module in enumerate(body.modules()):
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.key = number
    xs = [normal(rng, dtype, rows, *shape[1:]) for _ in range(BATCHES)]
    output = body.forward(xs[0])
    return nn.Sequential(body, nn.Linear(output.shape[1], CLASSES, rng=2)).astype(dtype), xs, len(output)


def batches(row, xs, rows, dtype):
    """Pairs of batches and targets for a criterion."""
    rng = np.random.default_rng(2)
    return [(x, TARGETS[row.target](rng, dtype, rows, CLASSES)) for x in xs]


def follow(twin, pairs, steps, ulps):
    for number in range(steps):
        twin.both(*pairs[number % len(pairs)], ulps)
    twin.compare(ulps)


def train_alike(row, shape, dtype, criterion, optimizer, steps, rows=7):
    model, xs, rows = network(row, shape, dtype, rows)
    lr = (
        LR / 16 if len(shape) == 4 else LR
    )  # sums over whole images have steep losses, on which training would run away
    twin = Twin(model, criterion.criterion(), optimizer.optimizer, lr)
    with programs_alone(row.id not in EXPLICIT):
        follow(twin, batches(criterion, xs, rows, dtype), steps, ULPS)
    return twin


def steady(shape, optimizer):
    """Whether many steps stay alike.

    Centred RMSprop divides by a variance of gradients. Where these come from few batches that return, it is nothing but
    rounding for some; behind sums over images the explicit loop is then thousands of eps off its own in float64.
    """
    return len(shape) < 4 or "centered=True" not in optimizer.call


@trained_layers
def test_layers_train_alike_with_every_optimiser(row, shape):
    """A tenth of all pairs for 100 steps, but for those that magnify roundings."""
    at = CASES.index((row, shape))
    for number, optimizer in enumerate(OPTIMIZERS):
        criterion = CRITERIONS[(at + 4 * number) % len(CRITERIONS)]
        steps = 100 if (number + at) % 10 == 0 and steady(shape, optimizer) else 3
        train_alike(row, shape, DTYPES[number % 2], criterion, optimizer, steps)


@trained_layers
def test_layers_train_alike_with_every_criterion(row, shape):
    """Every third layer meets the same criterion."""
    for number in range(CASES.index((row, shape)) % 3, len(CRITERIONS), 3):
        train_alike(row, shape, DTYPES[number % 2], CRITERIONS[number], OPTIMIZERS[number % len(OPTIMIZERS)], 3)


@pytest.mark.parametrize("criterion", CRITERIONS, ids=lambda row: row.id + " " + row.target)
def test_criterions_train_alike_with_every_optimiser(criterion):
    at = CRITERIONS.index(criterion)
    for number, optimizer in enumerate(OPTIMIZERS):
        train_alike(MLP, (7, 7), DTYPES[(at + number) % 2], criterion, optimizer, 100 if number == at % 15 else 3)


@trained_layers
def test_one_and_two_threads_train_to_the_same_bits(isa, row, shape):
    """On every instruction set; the team of two crosses every meeting."""
    number = CASES.index((row, shape)) + 5 * ISAS.index(isa)
    criterion, optimizer = CRITERIONS[3 * number % len(CRITERIONS)], OPTIMIZERS[number % len(OPTIMIZERS)]
    results = []
    with backend.use_backend("native"), teams():
        for threads in (1, 2):
            with backend.threads(threads):
                twin = train_alike(row, shape, DTYPES[number % 2], criterion, optimizer, 3, 83)
            results.append(everything(twin.copy, twin.optimizer_of_copy))
    assert_alike(*results)


@layers
@dtypes
@pytest.mark.parametrize("mode", [True, False])
def test_inference_is_the_forward_of_evaluation(row, shape, dtype, mode):
    layer = row.layer(dtype).train(mode)
    infer = fastnn.compile(layer)
    for rows in (shape[0], 70, 1):
        x = row.input((rows, *shape[1:]), dtype, seed=rows)
        twin = copy.deepcopy(layer).eval()
        result = outcome(twin.forward, x)
        got = outcome(infer, x)
        if result[0] == "raised":
            assert got == result
            continue
        assert got[1].dtype == dtype and got[1].shape == result[1].shape
        np.testing.assert_allclose(got[1], result[1], rtol=ULPS * np.finfo(dtype).eps, atol=ULPS * np.finfo(dtype).eps)
    assert [module.training for module in layer.modules()] == [mode] * len(list(layer.modules()))


@trained_layers
def test_inference_does_not_depend_on_isa_blocks_and_threads(isa, row, shape, monkeypatch):
    """Rows of a block, and who computes them, change no bit; nor do rows before and after, but for the last vector."""
    monkeypatch.setattr(inference, "BLOCK_BYTES", 1)
    layer, x = row.layer(), row.input((300, *shape[1:]))
    with backend.use_backend("native"), teams():
        infer, results = fastnn.compile(layer), []
        for threads in (1, 2):
            with backend.threads(threads):
                results.append(infer(x))
        assert same_bits(*results)
        np.testing.assert_allclose(results[0], layer.eval().forward(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.id)
def test_compiled_and_explicit_steps_take_turns(row):
    """As often as one likes; the optimiser's state is right at any time."""
    model, xs, rows = network(MLP, (7, 7), np.float32, 9)
    twin = Twin(model, nn.MSELoss(), row.optimizer, LR)
    pairs = batches(CRITERIONS[0], xs, rows, np.float32)
    for number in range(12):
        x, y = pairs[number % BATCHES]
        if number % 5 in (0, 3):
            twin.both(x, y, ULPS)
        else:
            for model, optimizer in ((twin.model, twin.optimizer), (twin.copy, twin.optimizer_of_copy)):
                explicit_step(model, twin.criterion, optimizer, x, y)
        twin.compare(ULPS, number)
        assert {state["step"] for state in twin.optimizer_of_copy.state.values()} == {number + 1}

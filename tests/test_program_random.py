"""`fastnn.compile` against the explicit loop: architectures, arrays and orders of calls that hypothesis draws."""

import copy

import numpy as np
import pytest
from cases import CRITERIONS, OPTIMIZERS
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import TARGETS
from support import DTYPES
from twins import Twin, explicit_step, teams

import fastnn
from fastnn import backend, data, nn

ULPS = 64  # where activations multiply what a rounding changes, up to five layers of 40
LR = 1e-4
# Others divide gradients by their own size: below batch norm some are nothing but rounding, and become whole steps.
SGDS = [row for row in OPTIMIZERS if row.name == "SGD"]
ACTIVATIONS = ["ReLU()", "LeakyReLU(0.2)", "LeakyReLU(-0.5)", "ELU(0.7)", "SELU()", "Softplus()", "Sigmoid()", "Tanh()",
               "GELU()", "GELU(approximate='tanh')", "SiLU()", "Mish()", "Hardtanh(-3, 3)", "Identity()", "Flatten()",
               "Softmax(1)", "LogSoftmax(-1)"]  # fmt: skip


@st.composite
def networks(draw):
    """A network of up to 5 linear layers, some nested, some used twice, weights in either layout; its width."""
    seeds = iter(range(100))

    def linear(ins, outs):
        layer = nn.Linear(ins, outs, bias=draw(st.booleans()), rng=next(seeds))
        layer.weight = np.array(layer.weight, order=draw(st.sampled_from("CF")))
        return layer

    width = first = draw(st.integers(1, 40))
    layers = []
    for _ in range(draw(st.integers(0, 4))):
        part = []
        outs = draw(st.integers(1, 40))
        part.append(linear(width, outs))
        width = outs
        if draw(st.integers(0, 3)) == 0:
            options = {"affine": draw(st.booleans()), "track_running_stats": draw(st.booleans())}
            part.append(nn.BatchNorm1d(width, momentum=draw(st.sampled_from([None, 0.1])), **options))
            part[-1].train(draw(st.booleans()))
        if draw(st.booleans()):
            part.append(eval(f"nn.{draw(st.sampled_from(ACTIVATIONS))}"))
        if draw(st.integers(0, 4)) == 0:
            part.append(nn.ChannelwiseScale(width, bias=draw(st.booleans())))
        if draw(st.integers(0, 4)) == 0:
            part.append(nn.Dropout(draw(st.sampled_from([0.0, 0.3, 0.9])), rng=next(seeds)))
        if draw(st.integers(0, 4)) == 0:
            shared = linear(width, width)
            part += [shared, nn.Tanh(), shared]
        layers += [nn.Sequential(*part)] if draw(st.booleans()) else part
    layers.append(linear(width, 5))
    return nn.Sequential(*layers), first


@given(network=networks(), rows=st.integers(2, 70), calls=st.lists(st.sampled_from("ceeipt"), min_size=2, max_size=6),
       dtype=st.sampled_from(DTYPES), criterion=st.sampled_from(CRITERIONS), optimizer=st.sampled_from(SGDS),
       seed=st.integers(0, 99))  # fmt: skip
@settings(max_examples=150)
def test_any_network_trains_as_in_the_explicit_loop(network, rows, calls, dtype, criterion, optimizer, seed):
    """By compiled steps, epochs, explicit steps, in both modes, with weights that are replaced in between."""
    model, width = network
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, width)).astype(dtype)
    y = TARGETS[criterion.target](rng, dtype, rows, 5)
    pair = Twin(model.astype(dtype), criterion.criterion(), optimizer.optimizer, LR)
    infer = fastnn.compile(pair.copy)
    for number, call in enumerate(calls):
        if call == "c":
            pair.both(x, y, ULPS)
        elif call == "e":
            size = next(size for size in range(2 + seed % 30, 99) if rows % size != 1)
            losses = pair.step.epoch(x, y, size, rng=number)
            batches = data.batches(x, y, size, True, number)
            expected = [explicit_step(pair.model, pair.criterion, pair.optimizer, *batch) for batch in batches]
            allowed = ULPS * np.finfo(dtype).eps
            np.testing.assert_allclose(losses, expected, rtol=allowed, atol=allowed)
        elif call == "i":
            result = copy.deepcopy(pair.model).eval().forward(x)
            np.testing.assert_allclose(infer(x), result, rtol=1e3 * np.finfo(dtype).eps, atol=1e3 * np.finfo(dtype).eps)
        elif call == "p":
            for net in (pair.model, pair.copy):
                net[-1].weight = np.array(net[-1].weight * 0.5, order="CF"[number % 2])
        else:
            pair.model.train(seed % 2 == 0), pair.copy.train(seed % 2 == 0)
    pair.compare(ULPS)


@pytest.mark.usefixtures("core")
@given(network=networks(), rows=st.integers(32, 200), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
@settings(max_examples=40)
def test_any_network_trains_to_the_same_bits_on_two_threads(network, rows, seed, dtype):
    model, width = network
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((rows, width)).astype(dtype), rng.integers(0, 5, rows)
    optimizer, results = OPTIMIZERS[seed % len(OPTIMIZERS)], []
    model = model.astype(dtype)
    with backend.use_backend("native"), teams():
        for threads in (1, 2):
            twin = copy.deepcopy(model)
            step = fastnn.compile(twin, nn.CrossEntropyLoss(), optimizer.optimizer(twin))
            with backend.threads(threads):
                losses = [step(x, y), *step.epoch(x, y, max(rows // 2, 32), rng=seed, drop_last=True)]
                results.append([np.array(losses), fastnn.compile(twin)(x), *twin.state_dict().values()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)

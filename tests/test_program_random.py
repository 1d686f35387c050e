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


class Networks:
    """Draws networks of linear layers that may be nested, used twice, in branches; weights in either layout."""

    def __init__(self, draw):
        self.draw, self.seeds = draw, iter(range(1000))

    def chance(self, of):
        return self.draw(st.integers(0, of - 1)) == 0

    def linear(self, ins, outs):
        layer = nn.Linear(ins, outs, bias=self.draw(st.booleans()), rng=next(self.seeds))
        layer.weight = np.array(layer.weight, order=self.draw(st.sampled_from("CF")))
        return layer

    def part(self, width):
        """A linear layer and what may follow on it; how many columns come out."""
        outs = self.draw(st.integers(1, 40))
        part = [self.linear(width, outs)]
        if self.chance(4):
            options = {"affine": self.draw(st.booleans()), "track_running_stats": self.draw(st.booleans())}
            part.append(nn.BatchNorm1d(outs, momentum=self.draw(st.sampled_from([None, 0.1])), **options))
            part[-1].train(self.draw(st.booleans()))
        if self.draw(st.booleans()):
            part.append(eval(f"nn.{self.draw(st.sampled_from(ACTIVATIONS))}"))
        if self.chance(5):
            part.append(nn.ChannelwiseScale(outs, bias=self.draw(st.booleans())))
        if self.chance(5):
            part.append(nn.Dropout(self.draw(st.sampled_from([0.0, 0.3, 0.9])), rng=next(self.seeds)))
        if self.chance(5):
            shared = self.linear(outs, outs)
            part += [shared, nn.Tanh(), shared]
        return part, outs

    def branch(self, width, depth):
        """A module that sees what others see: nothing but the input, an activation of it, or layers."""
        kind = self.draw(st.sampled_from(["identity", "activation", "part", "part", "nested"]))
        if kind in ("identity", "activation"):
            return eval(
                f"nn.{self.draw(st.sampled_from(ACTIVATIONS))}" if kind == "activation" else "nn.Identity()"
            ), width
        part, outs = self.part(width) if kind == "part" or depth == 0 else self.layers(width, depth - 1, 2)
        return nn.Sequential(*part), outs

    def branches(self, width, depth):
        """A container of branches."""
        kind = self.draw(st.sampled_from(["Residual", "Concat", "Add"]))
        if kind == "Residual":
            branch, outs = self.branch(width, depth)
            chain = list(branch) if isinstance(branch, nn.Sequential) else [branch]
            beside = outs != width or self.draw(st.booleans())
            return nn.Residual(*chain, shortcut=self.linear(width, outs) if beside else None), outs
        found = [self.branch(width, depth) for _ in range(self.draw(st.integers(1, 3)))]
        if kind == "Concat":
            return nn.Concat(*(branch for branch, _ in found), dim=self.draw(st.sampled_from([1, -1]))), sum(
                outs for _, outs in found
            )
        outs = found[0][1]
        fitting = [nn.Sequential(branch, self.linear(n, outs)) if n != outs else branch for branch, n in found]
        return nn.Add(*fitting), outs

    def layers(self, width, depth, most):
        layers = []
        for _ in range(self.draw(st.integers(0, most))):
            if depth and self.draw(st.booleans()):
                branches, width = self.branches(width, depth)
                layers.append(branches)
            else:
                part, width = self.part(width)
                layers += [nn.Sequential(*part)] if self.draw(st.booleans()) else part
        return layers, width


@st.composite
def networks(draw, depth):
    """A network of up to 5 parts, with branches within branches as `depth` says; its width."""
    own, first = Networks(draw), draw(st.integers(1, 40))
    layers, width = own.layers(first, depth, 4)
    return nn.Sequential(*layers, own.linear(width, 5)), first


NETWORKS = st.one_of(networks(0), networks(2))


@given(network=NETWORKS, rows=st.integers(2, 70), calls=st.lists(st.sampled_from("ceeipt"), min_size=2, max_size=6),
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
@given(network=NETWORKS, rows=st.integers(32, 200), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
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

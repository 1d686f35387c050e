"""`fastnn.compile` against the explicit loop for networks of images: any geometry, branches, few rows and many."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DTYPES
from twins import Twin, assert_alike, everything, explicit_step, programs_alone, teams

import fastnn
from fastnn import backend, data, nn, optim
from fastnn.program import inference
from fastnn.program.explicit import train_step

CLASSES = 5
ULPS = (
    1 << 12
)  # sums over windows and batches in another order, which up to nine layers and norms of few values magnify
ROWS = st.one_of(st.integers(1, 18), st.sampled_from([31, 32, 33, 64, 70]))
# Smooth ones: the mean of a normalised plane is 0 but for a rounding, which decides the side of a kink there.
ACTIVATIONS = ["Sigmoid()", "Softplus()", "Tanh()", "GELU()", "SiLU()", "Mish()", "Identity()"]


class Images:
    """Draws networks of layers of images, with branches within branches, of which some layers are used twice."""

    def __init__(self, draw):
        self.draw, self.seeds = draw, iter(range(1000))

    def chance(self, of):
        return self.draw(st.integers(0, of - 1)) == 0

    def pair(self, least, most):
        return self.draw(st.integers(least, most)), self.draw(st.integers(least, most))

    def activation(self):
        return eval(f"nn.{self.draw(st.sampled_from(ACTIVATIONS))}")

    def norm(self, channels):
        if self.chance(2):
            groups = self.draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
            return nn.GroupNorm(groups, channels, eps=0.1, affine=self.draw(st.booleans()))
        options = {"affine": self.draw(st.booleans()), "track_running_stats": self.draw(st.booleans())}
        norm = nn.BatchNorm2d(channels, eps=0.1, momentum=self.draw(st.sampled_from([None, 0.1])), **options)
        return norm.train(not self.chance(4))

    def convolution(self, channels, outs=None, keeps=False):
        """Any geometry, or one that keeps height and width."""
        groups = channels if self.chance(3) else 1
        outs = groups * self.draw(st.integers(1, 9)) if outs is None else outs
        groups = 1 if outs % groups else groups
        options = {"groups": groups, "bias": self.draw(st.booleans()), "rng": next(self.seeds)}
        if keeps:
            return nn.Conv2d(channels, outs, self.pair(1, 4), padding="same", dilation=self.pair(1, 2), **options)
        slides = {"stride": self.pair(1, 4), "padding": self.pair(0, 4), "dilation": self.pair(1, 3)}
        return nn.Conv2d(channels, outs, self.pair(1, 4), **slides, **options)

    def transposed(self, channels):
        groups = channels if self.chance(3) else 1
        stride = self.pair(1, 3)
        slides = {"stride": stride, "padding": self.pair(0, 2), "dilation": self.pair(1, 3),
                  "output_padding": tuple(self.draw(st.integers(0, step - 1)) for step in stride)}  # fmt: skip
        options = {"groups": groups, "bias": self.draw(st.booleans()), "rng": next(self.seeds)}
        outs = groups * self.draw(st.integers(1, 9))
        return nn.ConvTranspose2d(channels, outs, self.pair(1, 4), **slides, **options)

    def pooling(self):
        kernel = self.pair(1, 4)
        slides = {"stride": self.pair(1, 4), "padding": tuple(self.draw(st.integers(0, k // 2)) for k in kernel)}
        slides["ceil_mode"] = self.draw(st.booleans())
        kind = self.draw(st.sampled_from(["MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d"]))
        if kind == "MaxPool2d":
            return nn.MaxPool2d(kernel, **slides)
        if kind == "AvgPool2d":
            return nn.AvgPool2d(kernel, count_include_pad=self.draw(st.booleans()), **slides)
        return nn.AdaptiveAvgPool2d((self.draw(st.integers(1, 5)), self.draw(st.sampled_from([None, 2]))))

    def samples(self, shape):
        """A norm of the last axes."""
        last = shape[self.draw(st.integers(0, 2)) :]
        if self.draw(st.booleans()):
            return nn.RMSNorm(last, eps=0.1, elementwise_affine=self.draw(st.booleans()))
        return nn.LayerNorm(last, eps=0.1, elementwise_affine=self.draw(st.booleans()), bias=self.draw(st.booleans()))

    def resized(self, shape):
        """Zeros around the image, or parts of it, or every pixel several times; the same as a factor or as a size."""
        kind = self.draw(st.sampled_from(["ZeroPad2d", "factor", "size"]))
        if kind == "ZeroPad2d":
            return nn.ZeroPad2d((*self.pair(-2, 3), *self.pair(-2, 3)))
        scale = self.pair(1, 3)
        if kind == "factor":
            return nn.Upsample(scale_factor=scale)
        return nn.Upsample(size=tuple(n * times for n, times in zip(shape[1:], scale, strict=True)))

    def keeping(self, channels, depth, outs=None):
        """Layers that keep height and width; how many channels come out."""
        layers = []
        kinds = st.sampled_from(["norm", "other", "pool", "conv", "twice", "dropout", "branches"])
        for kind in self.draw(st.lists(kinds, max_size=3)):
            if kind == "norm":
                layers.append(self.norm(channels))
            elif kind == "other":
                layers.append(self.activation())
            elif kind == "pool":
                layers.append(self.draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(3, 1, 1))
            elif kind == "conv":
                layers.append(self.convolution(channels, keeps=True))
                channels = layers[-1].out_channels
            elif kind == "dropout":
                layers.append(nn.Dropout2d(self.draw(st.sampled_from([0.0, 0.3, 0.9])), rng=next(self.seeds)))
                layers[-1].train(not self.chance(4))
            elif kind == "twice":
                shared = self.convolution(channels, channels, keeps=True)
                if self.draw(st.booleans()):
                    shared = nn.GroupNorm(1, channels, eps=0.1)
                layers += [shared, nn.Tanh(), shared]
            elif depth:
                branches, channels = self.branches(channels, depth - 1)
                layers.append(branches)
        if outs not in (None, channels):
            layers.append(self.convolution(channels, outs, keeps=True))
            channels = outs
        return nn.Sequential(*layers) if layers else nn.Identity(), channels

    def branches(self, channels, depth):
        kind = self.draw(st.sampled_from(["Residual", "Concat", "Add"]))
        if kind == "Concat":
            found = [self.keeping(channels, depth) for _ in range(self.draw(st.integers(1, 3)))]
            return nn.Concat(*(branch for branch, _ in found)), sum(outs for _, outs in found)
        outs = channels if self.draw(st.booleans()) else self.draw(st.integers(1, 5))
        if kind == "Residual":
            beside = self.convolution(channels, outs, keeps=True) if outs != channels or self.chance(3) else None
            return nn.Residual(self.keeping(channels, depth, outs)[0], shortcut=beside), outs
        return nn.Add(*(self.keeping(channels, depth, outs)[0] for _ in range(self.draw(st.integers(1, 3))))), outs

    def layer(self, shape):
        channels = shape[0]
        kinds = ["conv", "conv", "transposed", "pool", "resized", "samples", "keeping", "branches"]
        kind = self.draw(st.sampled_from(kinds))
        if kind in ("resized", "samples"):
            return getattr(self, kind)(shape)
        if kind in ("conv", "transposed"):
            layer = (self.convolution if kind == "conv" else self.transposed)(channels)
            rectified = layer.bias is not None and self.draw(st.booleans())
            return nn.Sequential(layer, nn.ReLU()) if rectified else layer
        if kind == "pool":
            return self.pooling()
        return (self.keeping if kind == "keeping" else self.branches)(channels, 2)[0]


@st.composite
def networks(draw):
    """A network of up to five parts that fit and a linear layer, and the shape of an image."""
    own = Images(draw)
    image = draw(st.integers(1, 9)), draw(st.integers(1, 10)), draw(st.sampled_from([1, 2, 3, 5, 8, 13, 33]))
    layers, probe = [], np.random.default_rng(0).standard_normal((2, *image))
    for _ in range(draw(st.integers(1, 5))):
        layer = own.layer(probe.shape[1:])
        try:
            output = copy.deepcopy(layer).astype(np.float64).eval().forward(probe)
        except ValueError:
            continue
        if output.size < 10_000:
            layers += [layer, own.activation()] if draw(st.booleans()) else [layer]
            probe = output
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(probe[0].size, CLASSES, rng=0)), image


isas = st.sampled_from(backend.available_isas() or [None])


def in_force(isa):
    return backend.use_isa(isa) if isa and backend.backend() == "native" else backend.threads(backend.get_num_threads())


def batch(network, rows, dtype, seed=0):
    model, image = network
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, *image)).astype(dtype)
    return model.astype(dtype), x, rng.integers(0, CLASSES, rows)


def sgd(model):
    return optim.SGD(model, lr=1e-3)


def attempt(function):
    """What a function returns, or the line that it raises."""
    try:
        return function()
    except ValueError as error:
        return str(error)


def close(got, expected, dtype=np.float64):
    allowed = ULPS * np.finfo(dtype).eps
    if isinstance(expected, str) or isinstance(got, str):
        assert got == expected
    else:
        np.testing.assert_allclose(got, expected, rtol=allowed, atol=allowed)


@given(network=networks(), calls=st.lists(st.tuples(st.sampled_from("sswepif"), ROWS, isas), min_size=2, max_size=5))
@settings(max_examples=120)
def test_any_network_of_images_trains_as_in_the_explicit_loop(network, calls):
    """By steps, weighted or with a penalty, epochs, and inference in between; on one instruction set after another."""
    model, _, _ = batch(network, 1, np.float64)
    twin = Twin(model, nn.CrossEntropyLoss(), sgd)
    infer = fastnn.compile(twin.copy)
    parts = twin.model, twin.criterion, twin.optimizer
    for number, (call, rows, isa) in enumerate(calls):
        _, x, y = batch(network, rows, np.float64, number)
        with in_force(isa):
            if call in "swp":
                weights = np.random.default_rng(number).random(rows) if call == "w" else None
                for optimizer in (twin.optimizer, twin.optimizer_of_copy):
                    optimizer.penalty = 0.1 if call == "p" else 0.0
                x = np.asfortranarray(x) if rows % 2 else x
                expected = attempt(lambda x=x, y=y, w=weights: train_step(*parts, x, y, w)[0])
                close(attempt(lambda x=x, y=y, w=weights: twin.step(x, y, w)), expected)
            elif call == "e":
                size = 1 + (7 * number + rows) % 20
                batches = data.batches(x, y, size, True, number)
                expected = attempt(lambda batches=batches: [train_step(*parts, *pair)[0] for pair in batches])
                close(attempt(lambda x=x, y=y, size=size, seed=number: twin.step.epoch(x, y, size, rng=seed)), expected)
            else:
                expected = attempt(lambda x=x: copy.deepcopy(twin.model).eval().forward(x))
                serve = infer if call == "i" else fastnn.compile(twin.copy, freeze=True)
                close(attempt(lambda x=x, serve=serve: serve(x)), expected)
        assert_alike(everything(twin.copy), everything(twin.model), ULPS, f"{number} {call}")


@pytest.mark.usefixtures("core")
@given(network=networks(), rows=st.integers(32, 80), dtype=st.sampled_from(DTYPES), isa=isas)
@settings(max_examples=40)
def test_any_network_of_images_trains_to_the_same_bits_on_teams(network, rows, dtype, isa):
    model, x, y = batch(network, rows, dtype)
    results = []
    with backend.use_backend("native"), backend.use_isa(isa), teams():
        for threads in (1, 2, 3):
            twin = copy.deepcopy(model)
            step = fastnn.compile(twin, nn.CrossEntropyLoss(), sgd(twin))
            with backend.threads(threads):
                losses = [step(x, y), *step.epoch(x, y, 32, rng=0, drop_last=True)]
                results.append([np.array(losses), fastnn.compile(twin)(x), *twin.state_dict().values()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


NET = [nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3, groups=1),
       nn.ConvTranspose2d(5, 4, 2, stride=2), nn.AvgPool2d(2, 1), nn.Conv2d(4, 5, 2),
       nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 3, 16, 19, 40])
def test_what_is_no_number_stays_in_its_row(isa, rows, bad):
    model = copy.deepcopy(nn.Sequential(*NET)).eval()
    x = np.random.default_rng(0).standard_normal((rows, 2, 9, 8)).astype(np.float32)
    with backend.use_backend("native"):
        expected = fastnn.compile(model)(x)
        for row in (0, rows - 1):
            broken = x.copy()
            broken[row] = bad
            output = fastnn.compile(model)(broken)
            others = np.arange(rows) != row
            np.testing.assert_array_equal(output[others], expected[others])
            assert not np.isfinite(output[row]).any()


@pytest.mark.parametrize("rows", [1, 2, 5, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_without_a_row_add_nothing(isa, rows, dtype):
    """A window within the padding is -inf, in every lane: the mean over a batch is then -inf too, and not NaN."""
    model = nn.Sequential(
        nn.MaxPool2d(2, 1, 1, dilation=3), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, CLASSES, rng=0)
    )
    model = model.astype(dtype)
    x, y = np.ones((rows, 1, 2, 2), dtype), np.arange(rows) % CLASSES
    step = fastnn.compile(model, nn.CrossEntropyLoss(), sgd(model))
    if rows > 1:
        with backend.use_backend("native"), programs_alone(), np.errstate(invalid="ignore"):
            step(x, y)
        np.testing.assert_array_equal(model[1].running_mean, [-np.inf])


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("rows", range(1, 20))
def test_few_rows_give_what_many_do(isa, rows, track):
    """Batch normalisation by the batch sees all rows, and no others."""
    rng = np.random.default_rng(rows)
    model = nn.Sequential(nn.Conv2d(2, 7, 3, stride=2, rng=0), nn.BatchNorm2d(7, track_running_stats=track), nn.Tanh(),
                          nn.MaxPool2d(2), nn.BatchNorm2d(7, track_running_stats=track)).eval()  # fmt: skip
    x = rng.standard_normal((rows, 2, 9, 11))
    with backend.use_backend("native"):
        np.testing.assert_allclose(
            fastnn.compile(model.astype(np.float64))(x), model.forward(x), rtol=1e-12, atol=1e-12
        )


def test_blocks_change_no_bit(isa, monkeypatch):
    monkeypatch.setattr(inference, "BLOCK_BYTES", 1)
    model = copy.deepcopy(nn.Sequential(*NET)).eval()
    x = np.random.default_rng(0).standard_normal((211, 2, 9, 8)).astype(np.float32)
    with backend.use_backend("native"), teams():
        whole = fastnn.compile(model)(x)
        np.testing.assert_array_equal(
            np.concatenate([fastnn.compile(model)(x[i : i + 48]) for i in range(0, 211, 48)]), whole
        )
        with backend.threads(3):
            np.testing.assert_array_equal(fastnn.compile(model)(x), whole)


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average_pooling_whose_zeros_count_in_part_trains(count_include_pad):
    """That has no instruction: the explicit loop serves."""
    pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=count_include_pad)
    model = nn.Sequential(nn.Conv2d(1, 2, 2, rng=0), pool, nn.Flatten(), nn.Linear(8, CLASSES, rng=0)).astype(
        np.float64
    )
    twin = Twin(model, nn.CrossEntropyLoss(), sgd)
    x, y = np.random.default_rng(0).standard_normal((3, 1, 4, 4)), np.arange(3)
    twin.both(x, y, ULPS)
    twin.compare(ULPS)
    np.testing.assert_allclose(fastnn.compile(twin.copy)(x), twin.model.eval().forward(x), rtol=1e-12, atol=1e-12)


def test_a_step_on_another_instruction_set_is_right():
    """Arrays in lanes are those of an instruction set: the program is built anew."""
    model = nn.Sequential(*copy.deepcopy(NET), nn.Linear(5, CLASSES, rng=0)).astype(np.float64)
    twin, rng = Twin(model, nn.CrossEntropyLoss(), sgd), np.random.default_rng(0)
    x, y = rng.standard_normal((21, 2, 9, 8)), rng.integers(0, CLASSES, 21)
    for isa in 2 * (backend.available_isas() or [None]):
        with in_force(isa), programs_alone():
            got = twin.step(x, y)
        close(got, explicit_step(twin.model, twin.criterion, twin.optimizer, x, y))
        twin.compare(ULPS)


def test_means_of_large_windows_are_sums_by_rows(isa):
    """A sum in one go would be off by hundreds of eps."""
    x = 1 + np.random.default_rng(0).random((2, 1, 400, 300)).astype(np.float32)
    with backend.use_backend("native"):
        got = fastnn.compile(nn.AdaptiveAvgPool2d(1))(x)
    np.testing.assert_allclose(got[:, 0, 0, 0], x.mean((1, 2, 3), np.float64), rtol=16 * np.finfo(np.float32).eps)


SCARCE = """
import copy, resource, sys
import numpy as np
import fastnn
from fastnn import nn, optim

model = nn.Sequential(nn.Conv2d(1, 256, 3, padding=1, rng=0), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
optimizer = optim.Adam(model)
step, infer = fastnn.compile(model, nn.CrossEntropyLoss(), optimizer), fastnn.compile(model)
before, small, large = model.state_dict(), np.ones((2, 1, 8, 8), np.float32), np.ones((32, 1, 256, 256), np.float32)
if sys.argv[1] == "warm":
    infer(small)
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))
for call in (lambda: step(large, np.zeros(32, int)), lambda: step.epoch(large, np.zeros(32, int), 16),
             lambda: infer(large), lambda: infer(large[:1].repeat(4, 2).repeat(4, 3))):
    try:
        call()
    except MemoryError:
        continue
    sys.exit("there was enough memory")
assert not optimizer.state and all(np.array_equal(model.state_dict()[name], before[name]) for name in before)
np.testing.assert_allclose(infer(small), copy.deepcopy(model).eval().forward(small), rtol=1e-4, atol=1e-5)
step(small, np.zeros(2, int))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize("start", ["warm", "cold"])
def test_too_little_memory_is_an_error_and_leaves_everything_as_it_was(start):
    subprocess.run([sys.executable, "-c", SCARCE, start], check=True, timeout=120)


@pytest.mark.parametrize("rows", [2, 21, 40])
@pytest.mark.parametrize("by_batch", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_norms_with_rectifiers_behind_them_train(isa, rows, by_batch, affine):
    model = nn.Sequential(nn.Conv2d(2, 3, 3, rng=0), nn.BatchNorm2d(3, affine=affine), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(3, 4, 2, rng=1), nn.BatchNorm2d(4, affine=affine), nn.ReLU(), nn.Flatten(),
                          nn.Linear(4 * 8, CLASSES, rng=2)).astype(np.float64)  # fmt: skip
    for norm in (model[1], model[5]):
        norm.train(by_batch)
        if affine:
            norm.weight[...], norm.bias[...] = -0.5, 0.3
    twin, rng = Twin(model, nn.CrossEntropyLoss(), sgd), np.random.default_rng(0)
    for _ in range(3):
        x, y = rng.standard_normal((rows, 2, 9, 12)), rng.integers(0, CLASSES, rows)
        with backend.use_backend("native"), programs_alone():
            got = twin.step(x, y)
        close(got, explicit_step(twin.model, twin.criterion, twin.optimizer, x, y))
        twin.compare(ULPS)
    expected = twin.model.eval().forward(x)
    np.testing.assert_allclose(fastnn.compile(twin.copy.eval())(x), expected, rtol=1e-9, atol=1e-9)

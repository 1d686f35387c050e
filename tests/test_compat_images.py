"""`Conv2d` and `MaxPool2d` of every dialect: names, errors, subclasses, small nets, PyTorch's numbers."""
# ruff: noqa: NPY002

import copy

import numpy as np
import pytest
from compat_support import gradients, hook, parameters
from course import VOICES
from course.twins import flat, one_hot, same, step, twins
from support import outcome

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((2, 3, 4, 6)), RNG.standard_normal((2, 5, 4, 6))


@pytest.fixture(params=VOICES.values(), ids=VOICES)
def voice(request):
    return request.param


@pytest.fixture
def lib(voice):
    return voice.compat


def test_names_and_print(voice, lib):
    np.random.seed(0)
    layer, pool = lib.Conv2d(in_channels=3, out_channels=5, kernel_size=3), lib.MaxPool2d(kernel_size=2)
    assert (layer.in_channels, layer.out_channels, layer.kernel_size, pool.kernel_size) == (3, 5, 3, 2)
    plain = voice.name == "plain"
    assert repr(layer) == ("Conv2d" if plain else "Conv2d 3 -> 5")
    assert repr(pool) == ("MaxPool2d" if plain else "MaxPool2d, kern 2, stride 2")
    np.random.seed(0)
    bound = 1 / np.sqrt(3)
    np.testing.assert_array_equal(layer.W, np.random.uniform(-bound, bound, (5, 3, 3, 3)))
    np.testing.assert_array_equal(layer.b, np.random.uniform(-bound, bound, 5))
    slopes = [getattr(layer, voice.gradients[name]) for name in ("W", "b")]
    assert [slope.shape for slope in slopes] == [(5, 3, 3, 3), (5,)] and not any(slope.any() for slope in slopes)
    assert parameters(layer, voice)[0] is layer.W and gradients(layer, voice)[1] is slopes[1]
    assert parameters(pool, voice) == [] == gradients(pool, voice)
    assert pool.max_indices is None and layer.output is None


def test_gradients_add_up_in_place_or_come_as_new_arrays(voice, lib):
    layer = lib.Conv2d(3, 5, 3)
    first = gradients(layer, voice)
    layer.backward(X, DY)
    once = [slope.copy() for slope in gradients(layer, voice)]
    layer.backward(X, DY)
    for before, now, one in zip(first, gradients(layer, voice), once, strict=True):
        assert (before is now) == voice.accumulates
        same(now, 2 * one if voice.accumulates else one)
    kept = gradients(layer, voice)[0]
    hook(layer, voice, "zero_grad_params")
    assert not gradients(layer, voice)[0].any() and kept.any() != voice.accumulates


def test_the_indices_of_the_largest_elements(voice):
    ours, oracle = twins(voice, lambda voice, module: module.MaxPool2d(2))
    for x in (X, np.round(X), np.zeros((0, 3, 4, 6)), np.ones((1, 1, 2, 2), int)):
        same(ours.forward(x), oracle.forward(x.astype(float)))
        assert ours.max_indices.dtype == np.int64 and ours.max_indices is ours.max_indices
        np.testing.assert_array_equal(ours.max_indices, oracle.max_indices)


def test_a_subclass_may_keep_indices_of_its_own(voice, lib):
    def forward(self, input):
        self.output, self.max_indices = input.max(axis=(2, 3), keepdims=True), "mine"
        return self.output

    own = type("Whole", (lib.MaxPool2d,), {voice.update_output: forward})(2)
    assert own.forward(X).shape == (2, 3, 1, 1) and own.max_indices == "mine"
    assert copy.deepcopy(own).max_indices == "mine"


def test_errors(voice, lib):
    def line(call, kind, text):
        result = outcome(*call)
        assert result[0] == "raised" and issubclass(result[1], kind) and result[2] == text, result

    line((lib.Conv2d, 3, 5, 2), ValueError, "Conv2d: expected an odd kernel_size, got 2")
    line((lib.Conv2d, 3, 0, 3), ValueError, "Conv2d: expected out_channels >= 1, got 0")
    line((lib.MaxPool2d, 1.5), TypeError, "MaxPool2d: expected kernel_size as an integer, got 1.5")
    layer, pool = lib.Conv2d(3, 5, 3), lib.MaxPool2d(2)
    line((layer.forward, X[:, :2]), ValueError, "Conv2d: expected input of shape (N, 3, H, W), got (2, 2, 4, 6)")
    line((layer.forward, X[0]), ValueError, "Conv2d: expected input of shape (N, 3, H, W), got (3, 4, 6)")
    line((layer.backward, X[0], DY), ValueError, "Conv2d: expected input of shape (N, 3, H, W), got (3, 4, 6)")
    line((layer.forward, "words"), TypeError, "Conv2d: expected input of real numbers, got dtype <U5")
    slope = "grad_output" if voice.name in ("snake", "plain") else "gradOutput"
    result = outcome(layer.backward, X, DY[:, :, 1:])
    assert result[1] is ValueError and result[2].startswith(f"Conv2d: expected {slope} of shape ("), result
    result = outcome(pool.backward, X, DY)
    assert result[1] is ValueError and result[2].startswith(f"MaxPool2d: expected {slope} of shape ("), result
    wanted = "MaxPool2d: expected input of shape (N, C, H, W) with multiples of 2 for H and W, got "
    line((pool.forward, X[:, :, 1:]), ValueError, wanted + "(2, 3, 3, 6)")
    line((pool.forward, X[0]), ValueError, wanted + "(3, 4, 6)")
    assert not any(gradient.any() for gradient in gradients(layer, voice)) and layer.output is None
    layer.W = np.zeros((5, 3))
    shape = "(out_channels, in_channels, kernel_size, kernel_size)"
    line((layer.forward, X), ValueError, f"Conv2d: expected W of shape {shape}, got (5, 3)")


def network(voice, module):
    layers = [module.Conv2d(1, 4, 3), module.ReLU(), module.MaxPool2d(2), module.Conv2d(4, 3, 5), module.MaxPool2d(2),
              module.Flatten(), module.Linear(12, 3), module.LogSoftMax()]  # fmt: skip
    return voice.sequential(module, *layers)


def test_a_small_net_trains_as_the_texts(voice):
    pair = twins(voice, network)
    x, target = RNG.standard_normal((6, 1, 8, 8)), one_hot(RNG, 6, 3)
    criterions = [getattr(module, voice.nll_on_log_probabilities)() for module in (voice.compat, voice.course)]
    losses: list[list[float]] = [[], []]
    for _ in range(5):
        for net, criterion, found in zip(pair, criterions, losses, strict=True):
            found.append(float(criterion.forward(net.forward(x), target)))
            slope = criterion.backward(net.forward(x), target)
            step(voice, net, x, slope)
            arrays = zip(flat(parameters(net, voice)), flat(gradients(net, voice)), strict=True)
            for array, gradient in arrays:
                array -= 0.1 * gradient
    same(np.array(losses[0]), np.array(losses[1]))
    assert losses[0][-1] < losses[0][0]
    for got, expected in zip(*(flat(parameters(net, voice)) for net in pair), strict=True):
        same(got, expected)


def test_float32_as_pytorch(voice, lib):
    """What the course's tests compare, to their tolerances."""
    torch = pytest.importorskip("torch")
    twin, layer = torch.nn.Conv2d(3, 5, 3, padding=1), lib.Conv2d(3, 5, 3)
    layer.W, layer.b = twin.weight.detach().numpy(), twin.bias.detach().numpy()
    x, dy = X.astype(np.float32), DY.astype(np.float32)
    given = torch.tensor(x, requires_grad=True)
    output = twin(given)
    output.backward(torch.tensor(dy))
    np.testing.assert_allclose(layer.forward(x), output.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(layer.backward(x, dy), given.grad.numpy(), atol=1e-5)
    for slope, tensor in zip(gradients(layer, voice), twin.parameters(), strict=True):
        np.testing.assert_allclose(slope, tensor.grad.numpy(), atol=1e-5)
    pool, given = lib.MaxPool2d(2), torch.tensor(x, requires_grad=True)
    output = torch.nn.MaxPool2d(2)(given)
    output.backward(torch.tensor(dy[:, :3, :2, :3]))
    np.testing.assert_array_equal(pool.forward(x), output.detach().numpy())
    np.testing.assert_array_equal(pool.backward(x, dy[:, :3, :2, :3]), given.grad.numpy())
    assert pool.output.dtype == layer.output.dtype == np.float32

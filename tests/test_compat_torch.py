"""The dialects against PyTorch, in the manner of the courses' own tests: float32 data, a hundred random batches."""

import numpy as np
import pytest
from course.twins import voices

BATCH, SIZE, TIMES = 32, 16, 100


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def batches(low=-10, high=10, cols=SIZE):
    """Inputs and gradients by the output, float32."""
    rng = np.random.default_rng(42)
    for _ in range(TIMES):
        yield (rng.uniform(low, high, (BATCH, SIZE)).astype(np.float32),
               rng.uniform(-1, 1, (BATCH, cols)).astype(np.float32))  # fmt: skip


def close(got, expected, atol, what=""):
    expected = expected.detach().numpy()
    assert got.dtype == np.float32, what
    assert np.shape(got) == expected.shape, what
    assert np.allclose(got, expected, atol=atol), f"{what}: off by {np.abs(got - expected).max()}"


def compare(torch, layer, peer, x, dy, forward=1e-6, backward=1e-6):
    """One forward and one backward on both sides; `layer` stands in front, so that both halves see the same x."""
    tx = torch.tensor(x, requires_grad=True)
    ty = peer(tx)
    ty.backward(torch.tensor(dy))
    close(layer.forward(x), ty, forward, "output")
    close(layer.backward(x, dy), tx.grad, backward, "gradient of the input")


@voices
def test_linear(voice, torch):
    torch.manual_seed(42)
    for x, dy in batches(-1, 1, cols=8):
        layer, peer = voice.compat.Linear(SIZE, 8), torch.nn.Linear(SIZE, 8, bias=voice.has_bias)
        weight = peer.weight.data.numpy()  # memory that PyTorch owns
        layer.W = weight if voice.out_by_in else weight.T
        if voice.has_bias:
            layer.b = peer.bias.data.numpy()
        compare(torch, layer, peer, x, dy)
        if not voice.accumulates:
            # gradients of torch7 keep the float64 arrays they were born with
            assert getattr(layer, voice.gradients["W"]).dtype == np.float32
        grads = [np.asarray(getattr(layer, voice.gradients[name]), np.float32) for name in voice.linear_parameters]
        close(grads[0] if voice.out_by_in else grads[0].T, peer.weight.grad, 1e-6, "gradient of W")
        if voice.has_bias:
            close(grads[1], peer.bias.grad, 1e-6, "gradient of b")


@voices
@pytest.mark.parametrize("ours,theirs", [
    ("ReLU", lambda nn: nn.ReLU()), ("LeakyReLU", lambda nn: nn.LeakyReLU(0.03)), ("ELU", lambda nn: nn.ELU()),
    ("SoftPlus", lambda nn: nn.Softplus(threshold=80)), ("Sigmoid", lambda nn: nn.Sigmoid()),
    ("Tanh", lambda nn: nn.Tanh())], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_activations(voice, torch, ours, theirs):
    for x, dy in batches():
        compare(torch, getattr(voice.compat, ours)(), theirs(torch.nn), x, dy)


@voices
def test_softmax(voice, torch):
    for x, dy in batches():
        compare(torch, voice.compat.SoftMax(), torch.nn.Softmax(dim=1), x, dy, 1e-5, 1e-5)


@voices
def test_log_softmax(voice, torch):
    for x, dy in batches():
        compare(torch, voice.compat.LogSoftMax(), torch.nn.LogSoftmax(dim=1), x, dy)


@voices
def test_batch_normalization(voice, torch):
    alpha = 0.9
    for x, dy in batches(-5, 5):
        layer = voice.compat.BatchNormalization(alpha)
        peer = torch.nn.BatchNorm1d(SIZE, eps=layer.EPS, momentum=1 - alpha, affine=False)
        layer.moving_mean = peer.running_mean.numpy().copy()
        layer.moving_variance = peer.running_var.numpy().copy()
        compare(torch, layer, peer, x, dy, 1e-6, 1e-5)
        assert np.allclose(layer.moving_mean, peer.running_mean.numpy())
        layer.moving_variance = peer.running_var.numpy()  # PyTorch's is the unbiased one
        getattr(layer, voice.evaluate)()
        peer.eval()
        if voice.name == "snake":  # its backward is the training formula
            close(layer.forward(x), peer(torch.tensor(x)), 1e-6, "evaluation")
        else:
            compare(torch, layer, peer, x, dy, 1e-6, 1e-6)


@voices
def test_affine(voice, torch):
    for x, dy in batches():
        layer = getattr(voice.compat, voice.affine)(SIZE)
        rng = np.random.default_rng(0)
        gamma, beta = (rng.uniform(-1, 1, SIZE).astype(np.float32) for _ in range(2))
        layer.gamma, layer.beta = gamma.reshape(layer.gamma.shape), beta.reshape(layer.beta.shape)
        tgamma = torch.tensor(gamma, requires_grad=True)
        tbeta = torch.tensor(beta, requires_grad=True)
        compare(torch, layer, lambda tx, g=tgamma, b=tbeta: tx * g + b, x, dy)
        close(np.asarray(getattr(layer, voice.gradients["gamma"])), tgamma.grad, 1e-5, "gradient of gamma")
        close(np.asarray(getattr(layer, voice.gradients["beta"])), tbeta.grad, 1e-6, "gradient of beta")


def compare_criterion(torch, criterion, loss, x, target, atol=1e-6):
    tx = torch.tensor(x, requires_grad=True)
    expected = loss(tx)
    expected.backward()
    assert np.allclose(criterion.forward(x, target), expected.item(), atol=atol)
    got = np.asarray(criterion.backward(x, target))
    assert np.allclose(got, tx.grad.numpy(), atol=atol)


@voices
@pytest.mark.parametrize("targets", [np.float32, np.float64, np.int64, bool], ids=lambda dtype: dtype.__name__)
def test_criterions(voice, torch, targets):
    module, functional = voice.compat, torch.nn.functional
    rng = np.random.default_rng(1)
    for x, dy in batches(-1, 1):
        labels = torch.tensor(rng.integers(0, SIZE, BATCH))
        target = np.eye(SIZE)[labels.numpy()].astype(targets)
        logs = functional.log_softmax(torch.tensor(x), dim=1).numpy()
        compare_criterion(
            torch, getattr(module, voice.nll_on_log_probabilities)(), lambda t, y=labels: functional.nll_loss(t, y),
            logs, target
        )  # fmt: skip
        compare_criterion(
            torch, getattr(module, voice.nll_on_probabilities)(),
            lambda t, y=labels: functional.nll_loss(torch.log(torch.clamp(t, 1e-15, 1)), y), np.exp(logs), target
        )  # fmt: skip
        compare_criterion(
            torch, getattr(module, voice.mse)(),
            lambda t, y=dy: functional.mse_loss(t, torch.tensor(y), reduction="sum") / BATCH, x, dy
        )  # fmt: skip


@voices
@pytest.mark.parametrize("p", [0.3, 0.5, 0.8])
def test_dropout_keeps_its_expectation(voice, p):
    """No PyTorch here: what the courses check of Dropout."""
    np.random.seed(42)  # noqa: NPY002
    for x, dy in batches(-5, 5):
        layer = voice.compat.Dropout(p)
        y = layer.forward(x)
        assert np.all((y == 0) | np.isclose(y * (1 - p), x))
        grad = layer.backward(x, dy)
        assert np.all((grad == 0) == (y == 0)) and np.all((grad == 0) | np.isclose(grad * (1 - p), dy))
        getattr(layer, voice.evaluate)()
        assert layer.forward(x) is x and np.array_equal(layer.backward(x, dy), dy)
        layer.train()
        big = layer.forward(np.ones((200, 200), np.float32))
        assert abs((big != 0).mean() - (1 - p)) < 0.05

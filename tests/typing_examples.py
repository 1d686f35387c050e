"""What type checkers make of programs that use fastnn: checked by `make lint`, run by test_typing.py.

`assert_type` is an error of the checker where an expression has another type than the line says; at run time it does
nothing. The public names are used as they are written in programs.
"""

from typing import Any, assert_type

import numpy as np

import fastnn
from fastnn import data, nn, optim
from fastnn.program import Inference, Step


class Shift(nn.Module):
    """A layer of one's own."""

    param_names = ("bias",)

    def __init__(self, size: int) -> None:
        self.bias, self.grad_bias = np.zeros(size, np.float32), np.zeros(size, np.float32)

    def update_output(self, input: np.ndarray) -> np.ndarray:
        return input + self.bias

    def update_grad_input(self, input: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
        return grad_output

    def acc_grad_params(self, input: np.ndarray, grad_output: np.ndarray) -> None:
        self.grad_bias += grad_output.sum(axis=0)


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = data.load_digits()
    train, _, _ = data.standardize(X[:256])
    assert_type(train, np.ndarray)
    return train, y[:256]


def loop() -> float:
    """The explicit loop, with a schedule."""
    X, y = digits()
    model = nn.Sequential(nn.Linear(64, 16, rng=0), Shift(16), nn.ReLU(), nn.Linear(16, 10, rng=1))
    criterion: nn.Criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.AdamW(model, lr=0.01)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    loss = 0.0
    for x, target in data.batches(X, y, batch_size=64, shuffle=True, rng=0):
        model.zero_grad()
        output = model.forward(x)
        loss = criterion.forward(output, target)
        assert_type(output, np.ndarray)
        assert_type(loss, float)
        assert_type(model.backward(x, criterion.backward(output, target)), np.ndarray)
        optimizer.step()
    schedule.step()
    for name, array in model.named_parameters():
        assert_type(name, str)
        assert_type(array, np.ndarray)
    assert_type(model.state_dict(), dict[str, np.ndarray])
    return loss


def compiled() -> np.ndarray:
    """A compiled step, and a compiled output."""
    X, y = digits()
    model = nn.Sequential(nn.Linear(64, 16, rng=0), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 10, rng=1))
    step = fastnn.compile(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.1, momentum=0.9))
    assert_type(step, Step)
    assert_type(step(X, y), float)
    predict = fastnn.compile(model, freeze=True)
    assert_type(predict, Inference)
    scores = predict(X)
    assert_type(scores, np.ndarray)
    return scores


def trainer() -> fastnn.History:
    X, y = digits()
    model = nn.Sequential(nn.Linear(64, 10, rng=0))
    training = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01))
    return training.fit(X, y, epochs=2, batch_size=64, validation_data=(X, y), rng=0, progress=False)


def settings() -> dict[str, Any]:
    with fastnn.use_backend("reference"), fastnn.threads(1):
        assert_type(fastnn.get_num_threads(), int)
    fastnn.manual_seed(0)
    return fastnn.show_config(mode="dicts") or {}


def saved(path: str) -> nn.Module:
    fastnn.save(nn.Sequential(nn.Linear(4, 2, rng=0)), path)
    model = fastnn.load(path).eval()
    assert_type(model.training, bool)
    return model

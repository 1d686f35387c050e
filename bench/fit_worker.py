"""The process of one library for `fit.py`.

python bench/fit_worker.py LIBRARY CPU,CPU [FOLDER]: {"seed": of the order} -> {"seconds": s, "accuracy": share}.
"""

from __future__ import annotations

import gc
import sys
import time

from peer_process import pin, serve

if __name__ == "__main__":
    THREADS = pin()  # before any library counts the CPUs

import numpy as np
from peer_numpy import Net
from peer_work import LR, STEPS, Case, Library, parameters
from peer_worker import library

EPOCHS, BATCH, RATE = 10, 128, 0.05
HIDDEN, CLASSES = (256, 128), 10
TRAIN, TEST = 8000, 2000  # rows


def digits(folder=None):
    """X_train, y_train, X_test, y_test."""
    from fastnn import data

    if folder:
        (images, labels), _ = data.load_idx_folder(folder)
        X, y, scale, train, test = images.reshape(len(images), -1), labels, 255, TRAIN, TEST
    else:
        X, y = data.load_digits()
        scale, test = 16, len(X) // 5
        train = len(X) - test
    if len(X) < train + test:
        raise ValueError(f"{folder}: expected at least {train + test} images, got {len(X)}")
    X, y = np.ascontiguousarray(X / np.float32(scale), np.float32), y.astype(np.int64)
    return X[:train], y[:train], X[-test:], y[-test:]


# What a library does of a fit: (library, case, arrays) -> a function that makes a net, which returns two functions,
# one that trains it in the order of a seed and one from rows to scores.


def native(fastnn, case, made):
    def start():
        model = fastnn._net(case, made)
        trainer = fastnn.fastnn.Trainer(model, fastnn.nn.CrossEntropyLoss(), fastnn._optimizer("SGD", model))

        def fit(seed):
            trainer.fit(made["x"], made["y"], EPOCHS, BATCH, rng=seed, progress=False)

        return fit, trainer.predict

    return start


def numpy(_, case, made):
    x, y = made["x"], made["y"]
    memory = np.empty((BATCH, x.shape[1]), x.dtype)

    def start():
        net = Net(made["parameters"])

        def fit(seed):
            rng = np.random.default_rng(seed)
            for _ in range(EPOCHS):
                order = rng.permutation(len(x))
                for first in range(0, len(x), BATCH):
                    rows = order[first : first + BATCH]
                    net.step(x.take(rows, axis=0, out=memory[: len(rows)], mode="clip"), y[rows])

        return fit, net.forward

    return start


def torch(library, case, made):
    torch = library.torch
    x, y = torch.from_numpy(made["x"]), torch.from_numpy(made["y"])

    def start():
        net, criterion = library._net(case, made), torch.nn.CrossEntropyLoss()
        optimizer = library._optimizer("SGD", net.parameters())

        def fit(seed):
            torch.manual_seed(seed)
            for _ in range(EPOCHS):
                order = torch.randperm(len(x))
                for first in range(0, len(x), BATCH):
                    rows = order[first : first + BATCH]
                    optimizer.zero_grad()
                    criterion(net(x[rows]), y[rows]).backward()
                    optimizer.step()

        return fit, lambda x: net(torch.from_numpy(x)).detach().numpy()

    return start


def jax(library, case, made):
    jax, step = library.jax, library._step(case)
    x, y = jax.device_put((made["x"], made["y"]))
    whole = len(x) // BATCH * BATCH

    def epoch(state, key, x, y):
        def train(state, rows):
            return step(state, x[rows], y[rows])

        order = jax.random.permutation(key, len(x))
        state, _ = jax.lax.scan(train, state, order[:whole].reshape(-1, BATCH))
        return train(state, order[whole:])[0] if whole < len(x) else state

    epoch, scores = jax.jit(epoch, donate_argnums=0), jax.jit(library._scores)

    def start():
        state = jax.block_until_ready(library._state(case.name, library._parameters(made)))

        def fit(seed):
            nonlocal state
            for key in jax.random.split(jax.random.key(seed), EPOCHS):
                state = epoch(state, key, x, y)
            jax.block_until_ready(state)

        return fit, lambda x: np.asarray(scores([param for param, *_ in state], x))

    return start


class Fits:
    """One library and the digits."""

    def __init__(self, name, folder=None):
        X, y, self.X_test, self.y_test = digits(folder)
        widths = (X.shape[1], *HIDDEN, CLASSES)
        case = Case(STEPS, "training_step", "SGD", (BATCH, *widths), "float32")
        made = {"x": X, "y": y, "parameters": parameters(np.random.default_rng(0), widths, "float32")}
        peer = library(name)
        self.version = peer.version
        self.start = {"native": native, "numpy": numpy, "torch": torch, "jax": jax}[name](peer, case, made)

    def answer(self, request):
        fit, predict = self.start()
        gc.collect()
        start = time.perf_counter()
        fit(request["seed"])
        seconds = time.perf_counter() - start
        hits = predict(self.X_test).argmax(axis=1) == self.y_test
        return {"seconds": seconds, "accuracy": float(hits.mean())}


if __name__ == "__main__":
    Library.threads, LR["SGD"] = THREADS, RATE
    serve(lambda: Fits(sys.argv[1], *sys.argv[3:4]))

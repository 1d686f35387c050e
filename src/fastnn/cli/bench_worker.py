"""The process of one library that `fastnn bench` times: a request is a line of JSON, and so is the answer.

Each library has a process of its own, since the threads of two OpenMP libraries in one process disturb each other. The
first answer is {"version": ...} or {"missing": why}. {"sizes": ..., "batch_size": ..., "dtype": ..., "optimizer": ...}
makes a network and answers {}; {"seconds": s} times each of its calls for about so long and answers {"step": seconds of
a call, "batch": ..., "row": ...}. What fails answers {"error": why}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

KINDS = "step", "batch", "row"  # a training step, the outputs of a batch, the output of one row
RATE, MOMENTUM = 1e-4, 0.9
Calls = dict[str, Callable[[], object]]
Make = Callable[[list[int], np.ndarray, np.ndarray, str], Calls]


def fastnn_calls(compiled: bool) -> Make:
    """fastnn, one native call or the explicit loop; FASTNN_BACKEND says on which back end."""
    fastnn = import_module("fastnn")
    nn = fastnn.nn

    def make(sizes: list[int], X: np.ndarray, y: np.ndarray, optimizer: str) -> Calls:
        layers: list[Any] = []
        for size, width in pairwise(sizes):
            layers += [nn.Linear(size, width, rng=0), nn.ReLU()]
        model = nn.Sequential(*layers[:-1]).astype(X.dtype)
        criterion, row = nn.CrossEntropyLoss(), X[:1].copy()
        adam = optimizer == "adam"
        update = fastnn.optim.Adam(model, lr=RATE) if adam else fastnn.optim.SGD(model, lr=RATE, momentum=MOMENTUM)
        if compiled:
            step, outputs = fastnn.compile(model, criterion, update), fastnn.compile(model)
            return {"step": lambda: step(X, y), "batch": lambda: outputs(X), "row": lambda: outputs(row)}

        def one_step() -> None:
            model.zero_grad()
            output = model.forward(X)
            criterion.forward(output, y)
            model.acc_grad_params(X, criterion.backward(output, y))
            update.step()

        return {"step": one_step, "batch": lambda: model.forward(X), "row": lambda: model.forward(row)}

    return make


def torch_calls(threads: int) -> Make:
    """PyTorch, as it is written by hand."""
    torch = import_module("torch")
    torch.set_num_threads(threads)

    def make(sizes: list[int], X: np.ndarray, y: np.ndarray, optimizer: str) -> Calls:
        layers: list[Any] = []
        for size, width in pairwise(sizes):
            layers += [torch.nn.Linear(size, width), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1]).to(torch.from_numpy(X).dtype)
        criterion, x, target = torch.nn.CrossEntropyLoss(), torch.from_numpy(X), torch.from_numpy(y)
        row, parameters = x[:1].clone(), model.parameters()
        adam = optimizer == "adam"
        update = (
            torch.optim.Adam(parameters, lr=RATE) if adam else torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM)
        )

        def one_step() -> None:
            update.zero_grad()
            criterion(model(x), target).backward()
            update.step()

        def outputs(batch: Any) -> None:
            with torch.inference_mode():
                model(batch)

        return {"step": one_step, "batch": lambda: outputs(x), "row": lambda: outputs(row)}

    return make


def sklearn_calls() -> Make:
    """scikit-learn's MLPClassifier: a step is `partial_fit` of a batch."""
    MLPClassifier = import_module("sklearn.neural_network").MLPClassifier

    def make(sizes: list[int], X: np.ndarray, y: np.ndarray, optimizer: str) -> Calls:
        model = MLPClassifier(
            sizes[1:-1], solver=optimizer, batch_size=len(X), learning_rate_init=RATE, alpha=0, momentum=MOMENTUM,
            nesterovs_momentum=False, random_state=0,
        )  # fmt: skip
        model.partial_fit(X, y, classes=np.arange(sizes[-1]))
        row = X[:1].copy()
        calls = {"batch": lambda: model.predict_proba(X), "row": lambda: model.predict_proba(row)}
        return {"step": lambda: model.partial_fit(X, y), **calls}

    return make


def library(name: str, threads: int) -> tuple[str, Make]:
    """The version of a library and what makes its calls."""
    if name in ("fastnn", "loop", "numpy"):
        version = np.__version__ if name == "numpy" else import_module("fastnn").__version__
        return str(version), fastnn_calls(name == "fastnn")
    if name == "torch":
        return str(import_module("torch").__version__), torch_calls(threads)
    return str(import_module("sklearn").__version__), sklearn_calls()


def seconds_of(call: Callable[[], object], budget: float) -> float:
    """The median of the seconds that a call takes, as often as the budget allows, three times at least."""
    call()
    times: list[float] = []
    end = perf_counter() + budget
    while len(times) < 3 or perf_counter() < end:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Answer until there are no more requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def send(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        version, make = library(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # not installed, or installed and broken
        send({"missing": " ".join(f"{type(error).__name__}: {error}".split())[:200]})
        return
    send({"version": version})
    calls: Calls = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "sizes" in request:
                calls = _prepared(make, **request)
                send({})
            else:
                send({kind: seconds_of(calls[kind], request["seconds"]) for kind in KINDS})
        except Exception as error:  # of any library: the one who asks names it, and the others go on
            send({"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]})


def _prepared(make: Make, sizes: list[int], batch_size: int, dtype: str, optimizer: str) -> Calls:
    """The calls for a batch of noise with labels, the same for every library."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch_size, sizes[0])).astype(dtype)
    return make(sizes, X, rng.integers(0, sizes[-1], batch_size), optimizer)


if __name__ == "__main__":
    main()

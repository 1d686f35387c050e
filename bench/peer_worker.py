"""The process of one library: it answers the requests of `peers.py`, a line of JSON each, on one CPU.

python bench/peer_worker.py LIBRARY CPU: first a line about the library ({"version": ...} or {"missing": why}), then
{"prepare": case} -> {"check": numbers} | {"absent": true} | {"error": why}, and {"seconds": s} -> {"call": seconds of a
call, measured for about so long}. fastnn, NumPy, scikit-learn and the limits of the machine are here, PyTorch and JAX
in `peer_autograd.py`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

if __name__ == "__main__" and hasattr(os, "sched_setaffinity"):  # before any library counts the CPUs
    os.sched_setaffinity(0, {int(sys.argv[2])})

import numpy as np
from peer_work import LR, MOMENTUM, UNCHECKED, Case, Job, Library, arrays, layer, network

CHECKED = 5  # calls whose results are compared
MAX_CALLS = 100_000


class Fastnn(Library):
    """The layers through the ordinary API, on either back end: FASTNN_BACKEND chooses."""

    def __init__(self):
        import fastnn

        self.fastnn, self.nn = fastnn, fastnn.nn
        config = fastnn.backend.config()
        parts = [" ".join(config[name].split()[:2]) for name in ("backend", "isa", "blas") if name in config]
        self.version = f"{fastnn.__version__} ({', '.join(parts)})"

    def _linear(self, case, made):
        linear = self.nn.Linear(*case.shape[1:], dtype=case.dtype)
        linear.weight[...], linear.bias[...] = made["weight"], made["bias"]
        return linear, made["x"], made["dy"]

    def linear_forward(self, case, made):
        linear, x, _ = self._linear(case, made)
        return Job(lambda: linear.forward(x))

    def linear_weight(self, case, made):
        linear, x, dy = self._linear(case, made)
        return Job(lambda: linear.acc_grad_params(x, dy), lambda _: [linear.grad_weight, linear.grad_bias])

    def linear_input(self, case, made):
        linear, x, dy = self._linear(case, made)
        return Job(lambda: linear.update_grad_input(x, dy))

    def layer_forward(self, case, made):
        module, x = layer(self.nn, case).astype(case.dtype), made["x"]
        return Job(lambda: module.forward(x))

    def layer_backward(self, case, made):
        module, x, dy = layer(self.nn, case).astype(case.dtype), made["x"], made["dy"]
        module.forward(x)
        return Job(lambda: module.backward(x, dy))

    def cross_entropy(self, case, made):
        criterion, x, y = self.nn.CrossEntropyLoss(), made["x"], made["y"]
        return Job(lambda: (criterion.forward(x, y), criterion.backward(x, y)), list)

    def update(self, case, made):
        class Model:
            parameters = staticmethod(lambda: [made["param"]])
            grad_parameters = staticmethod(lambda: [made["grad"]])

        momentum = {"momentum": MOMENTUM} if case.name == "SGD" else {}
        optimizer = getattr(self.fastnn.optim, case.name)(Model, lr=LR, **momentum)
        return Job(optimizer.step, lambda _: [made["param"]])

    def training_step(self, case, made):
        model, criterion = network(self.nn, case.shape[1:]).astype(case.dtype), self.nn.CrossEntropyLoss()
        for param, value in zip(model.parameters(), sum(made["parameters"], ()), strict=True):
            param[...] = value
        optimizer, x, y = self.fastnn.optim.SGD(model, lr=LR, momentum=MOMENTUM), made["x"], made["y"]

        def step():
            model.zero_grad()
            output = model.forward(x)
            loss = criterion.forward(output, y)
            model.acc_grad_params(x, criterion.backward(output, y))  # no library computes the gradient by the data
            optimizer.step()
            return loss

        return Job(step)


class NumPy(Library):
    """A training step by hand, at NumPy's best: weights (in, out), everything in place."""

    version = np.__version__

    def training_step(self, case, made):
        x, y, batch = made["x"], made["y"], len(made["x"])
        weights = [(np.ascontiguousarray(w.T), b) for w, b in made["parameters"]]
        outputs = [np.empty((batch, len(b)), b.dtype) for _, b in weights]
        grads, velocities = ([tuple(map(np.zeros_like, pair)) for pair in weights] for _ in range(2))
        rows, inputs = np.arange(batch), [x, *outputs[:-1]]
        deltas = [np.empty_like(array) for array in outputs]

        def forward():
            for input, output, (w, b) in zip(inputs, outputs, weights, strict=True):
                np.matmul(input, w, out=output)
                output += b
                if output is not outputs[-1]:
                    np.maximum(output, 0, out=output)

        def loss_and_gradient():
            scores, delta = outputs[-1], deltas[-1]
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=delta)
            total = delta.sum(axis=1, keepdims=True)
            loss = np.log(total).mean() - scores[rows, y].mean()
            delta /= total
            delta[rows, y] -= 1
            delta *= 1 / batch
            return loss

        def backward():
            for i in reversed(range(len(weights))):
                np.matmul(inputs[i].T, deltas[i], out=grads[i][0])
                deltas[i].sum(axis=0, out=grads[i][1])
                if i:
                    np.matmul(deltas[i], weights[i][0].T, out=deltas[i - 1])
                    deltas[i - 1] *= inputs[i] > 0

        def update():
            for params, gradients, moving in zip(weights, grads, velocities, strict=True):
                for param, grad, velocity in zip(params, gradients, moving, strict=True):
                    velocity *= MOMENTUM
                    velocity += grad
                    np.multiply(velocity, LR, out=grad)
                    param -= grad

        def step():
            forward()
            loss = loss_and_gradient()
            backward()
            update()
            return loss

        return Job(step)


class ScikitLearn(Library):
    """MLPClassifier.partial_fit of one batch."""

    def __init__(self):
        import sklearn
        from sklearn.neural_network import MLPClassifier

        self.version, self.classifier = sklearn.__version__, MLPClassifier

    def training_step(self, case, made):
        x, y, widths = made["x"], made["y"], case.shape[1:]
        net = self.classifier(widths[1:-1], solver="sgd", alpha=0, batch_size=len(x), learning_rate_init=LR,
                              momentum=MOMENTUM, nesterovs_momentum=False, shuffle=False)  # fmt: skip
        net.partial_fit(x, y, classes=np.arange(widths[-1]))  # makes the arrays
        for i, (weight, bias) in enumerate(made["parameters"]):
            net.coefs_[i][...], net.intercepts_[i][...] = weight.T, bias
        for velocity in net._optimizer.velocities:
            velocity[...] = 0
        return Job(lambda: net.partial_fit(x, y), lambda net: [net.loss_])


class Machine(Library):
    """What a core takes at the roof, or to copy as many bytes: the limit of each case."""

    def __init__(self):
        from machine import Limits

        self.limits = Limits()
        self.version = json.dumps({"source": self.limits.source, **self.limits.measured()})

    def job(self, case, made):
        if not case.flops:
            return Job(self.limits.copy(case.bytes), lambda _: [])
        function, flops = self.limits.multiply_add(case.dtype)
        return Job(function, lambda _: [], case.flops / flops)


def library(name):
    """The library of a name; ImportError where it is not installed."""
    if name in ("torch", "compiled", "jax"):
        import peer_autograd

        return {"torch": peer_autograd.Torch, "compiled": peer_autograd.Compiled, "jax": peer_autograd.Jax}[name]()
    return {"native": Fastnn, "reference": Fastnn, "numpy": NumPy, "sklearn": ScikitLearn, "limits": Machine}[name]()


# ---------------------------------------------------------------------------------------------------------------
# The requests
# ---------------------------------------------------------------------------------------------------------------


def projections(array):
    """The root of the mean square of an array, and its mean product with a wave."""
    array = np.asarray(array, float).ravel()
    wave = np.cos(np.arange(array.size)) * np.sqrt(array.size)
    return [float(np.sqrt(np.mean(array * array))), float(np.mean(array * wave))]


class Timer:
    """One library and the job that it prepared last."""

    def __init__(self, name):
        self.library, self.job, self.once = library(name), None, 0.0

    def prepare(self, case):
        self.job = None  # its memory
        gc.enable()
        gc.collect()
        self.job = self.library.job(case, arrays(case))
        if self.job is None:
            return {"absent": True}
        results = [[projections(array) for array in self.job.view(self.job.run())] for _ in range(CHECKED)]
        gc.disable()
        self.once = min(self._call(1) for _ in range(3))
        return {"check": [] if case.name in UNCHECKED else results}

    def _call(self, calls):
        run, result = self.job.run, None
        start = time.perf_counter()
        for _ in range(calls):
            result = run()
        self.library.wait(result)
        return (time.perf_counter() - start) / calls

    def time(self, seconds):
        calls = min(max(round(seconds / self.once), 1), MAX_CALLS)
        self._call(1 + calls // 10)  # another process had the caches
        return {"call": self._call(calls) * self.job.share}

    def answer(self, request):
        if "seconds" in request:
            return self.time(request["seconds"])
        case = request["prepare"]
        try:
            return self.prepare(Case(**{**case, "shape": tuple(case["shape"])}))
        except Exception as error:  # of any library: the parent names it, and the others go on
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def send(answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        timer = Timer(sys.argv[1])
    except Exception as error:  # not installed, or installed and broken
        return send({"missing": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"})
    send({"version": timer.library.version})
    for line in sys.stdin:
        send(timer.answer(json.loads(line)))
    return None


if __name__ == "__main__":
    main()

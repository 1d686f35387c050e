"""The process of one library: it answers the requests of `peers.py`, a line of JSON each.

python bench/peer_worker.py LIBRARY CPU,CPU: {"prepare": case} -> {"check": numbers} | {"absent": true} |
{"error": why}, and {"seconds": s} -> {"call": seconds of a call, measured for about so long}. fastnn and the limits of
the machine are here; NumPy by hand, scikit-learn and ONNX Runtime in `peer_numpy.py`, PyTorch and JAX in
`peer_autograd.py`. A library has as many threads as CPUs.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from functools import partial
from importlib import import_module

from peer_process import pin, serve

if __name__ == "__main__":
    THREADS = pin()  # before any library counts the CPUs

import image_work
import numpy as np
from peer_work import BATCHES, LR, MOMENTUM, REGULARISED, Case, Job, Library, arrays, layer, network

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

        return Job(self._optimizer(case.name, Model).step, lambda _: [made["param"]])

    def _optimizer(self, name, model):
        momentum = {"momentum": MOMENTUM} if name == "SGD" else {}
        return getattr(self.fastnn.optim, name)(model, lr=LR[name], **momentum)

    def _net(self, case, made):
        regularised = case.table == REGULARISED
        model = network(self.nn, case.shape[1:], regularised).astype(case.dtype)
        linear = [module for module in model.modules() if isinstance(module, self.nn.Linear)]
        for module, (weight, bias) in zip(linear, made["parameters"], strict=True):
            module.weight[...], module.bias[...] = weight, bias
        return model

    def _explicit(self, case, made):
        model = self._net(case, made)
        return self._loop(model, self.nn.CrossEntropyLoss(), self._optimizer(case.name, model))

    def _loop(self, model, criterion, optimizer):
        """The function of a step in the explicit loop."""

        def step(x, y):
            model.zero_grad()
            output = model.forward(x)
            loss = criterion.forward(output, y)
            model.acc_grad_params(x, criterion.backward(output, y))  # no library computes the gradient by the data
            optimizer.step()
            return loss

        return step

    def training_step(self, case, made):
        return Job(partial(self._explicit(case, made), made["x"], made["y"]))

    def _compiled(self, case, made):
        model = self._net(case, made)
        return self.fastnn.compile(model, self.nn.CrossEntropyLoss(), self._optimizer(case.name, model))

    def compiled_step(self, case, made):
        return Job(partial(self._compiled(case, made), made["x"], made["y"]))

    regularised_step = compiled_step

    def epoch(self, case, made):
        epoch = self._compiled(case, made).epoch
        return Job(partial(epoch, made["x"], made["y"], case.shape[0], shuffle=False), share=1 / BATCHES)

    def inference(self, case, made):
        options = {"freeze": True} if case.name == "frozen" else {}
        return Job(partial(self.fastnn.compile(self._net(case, made), **options), made["x"]))

    def _image_net(self, case, made):
        """The net, its criterion and its optimiser."""
        model = image_work.network(self.nn, case.name).astype(case.dtype)
        for param, value in zip(model.parameters(), made["parameters"], strict=True):
            param[...] = value
        return model, self.nn.CrossEntropyLoss(), self._optimizer("SGD", model)

    def image_step(self, case, made):
        return Job(partial(self.fastnn.compile(*self._image_net(case, made)), made["x"], made["y"]))

    def image_inference(self, case, made):
        return Job(partial(self.fastnn.compile(self._image_net(case, made)[0]), made["x"]))


class Explicit(Fastnn):
    """The explicit loop where fastnn compiles."""

    compiled_step = regularised_step = Fastnn.training_step

    def epoch(self, case, made):
        step, x, y, rows = self._explicit(case, made), made["x"], made["y"], case.shape[0]

        def epoch():
            return [step(x[start : start + rows], y[start : start + rows]) for start in range(0, len(x), rows)]

        return Job(epoch, share=1 / BATCHES)

    def inference(self, case, made):
        return Job(partial(self._net(case, made).eval().forward, made["x"]))

    def image_step(self, case, made):
        return Job(partial(self._loop(*self._image_net(case, made)), made["x"], made["y"]))

    def image_inference(self, case, made):
        model, *_ = self._image_net(case, made)
        return Job(partial(model.eval().forward, made["x"]))


class Machine(Library):
    """What the cores take at the roof, or one to copy as many bytes: the limit of each case."""

    def __init__(self):
        from machine import Limits

        self.limits = Limits(self.threads)
        self.version = json.dumps({"source": self.limits.source, **self.limits.measured()})

    def job(self, case, made):
        if not case.flops:
            return Job(self.limits.copy(case.bytes), lambda _: [])
        function, flops = self.limits.multiply_add(case.dtype)
        return Job(function, lambda _: [], case.flops / flops)


ELSEWHERE = {
    "numpy": "peer_numpy.NumPy",
    "sklearn": "peer_numpy.ScikitLearn",
    "onnx": "peer_numpy.Onnx",
    "torch": "peer_autograd.Torch",
    "compiled": "peer_autograd.Compiled",
    "channels": "peer_autograd.ChannelsLast",
    "jax": "peer_autograd.Jax",
}


def library(name):
    """The library of a name; ImportError where it is not installed."""
    if name in ELSEWHERE:
        module, made = ELSEWHERE[name].split(".")
        return getattr(import_module(module), made)()
    return {"native": Fastnn, "reference": Fastnn, "explicit": Explicit, "limits": Machine}[name]()


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
        self.version = self.library.version

    def prepare(self, case):
        self.job = None  # its memory
        gc.enable()
        gc.collect()
        self.job = self.library.job(case, arrays(case))
        if self.job is None:
            return {"absent": True}
        calls = max(case.checked, 1)
        results = [[projections(array) for array in self.job.view(self.job.run())] for _ in range(calls)]
        gc.disable()
        self.once = min(self._call(1) for _ in range(3))
        return {"check": results if case.checked else []}

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
        return self.prepare(Case(**{**case, "shape": tuple(case["shape"])}))


if __name__ == "__main__":
    Library.threads = THREADS
    serve(lambda: Timer(sys.argv[1]))

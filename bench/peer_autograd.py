"""The work of `peers.py` on PyTorch, eager and compiled, and on JAX, each in the form that its users would tune."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import numpy as np
from image_work import IMAGE_INFERENCE, IMAGE_LAYERS, IMAGE_STEPS
from peer_images import JaxImages, TorchImages
from peer_work import BATCHES, INFERENCE, LR, MOMENTUM, REGULARISED, Job, Library, layer, network

BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # the defaults of fastnn and PyTorch


class Torch(TorchImages, Library):
    """Eager PyTorch; gradients by autograd, over a graph that is kept where only they are timed."""

    def __init__(self):
        import torch

        torch.set_num_threads(self.threads)
        self.torch, self.version, self.mode = torch, torch.__version__, ExitStack()

    def compiled(self, function):
        return function

    def job(self, case, made):
        self.mode.close()
        self.torch.set_grad_enabled(case.work not in ("linear_forward", "layer_forward"))
        if case.table in (INFERENCE, IMAGE_INFERENCE):
            self.mode.enter_context(self.torch.inference_mode())
        made = {name: self.torch.from_numpy(v) if hasattr(v, "dtype") else v for name, v in made.items()}
        job = super().job(case, made)
        return job and job._replace(view=lambda result: [array.detach().numpy() for array in job.view(result)])

    def linear_forward(self, case, a):
        function = self.compiled(self.torch.nn.functional.linear)
        return Job(lambda: function(a["x"], a["weight"], a["bias"]))

    def linear_weight(self, case, a):
        grads = self.torch.zeros_like(a["weight"]), self.torch.zeros_like(a["bias"])

        @self.compiled
        def accumulate(grad_weight, grad_bias, x, dy):
            grad_weight.addmm_(dy.T, x)
            grad_bias.add_(dy.sum(0))

        return Job(lambda: accumulate(*grads, a["x"], a["dy"]), lambda _: list(grads))

    def linear_input(self, case, a):
        function = self.compiled(self.torch.mm)
        return Job(lambda: function(a["dy"], a["weight"]))

    def _layer(self, case):
        module = layer(self.torch.nn, case).to(getattr(self.torch, case.dtype))
        return module, self.compiled(module)

    def layer_forward(self, case, a):
        _, function = self._layer(case)
        return Job(lambda: function(a["x"]))

    def layer_backward(self, case, a):
        module, function = self._layer(case)
        leaf = a["x"].requires_grad_()
        leaves, output = [leaf, *module.parameters()], function(leaf)
        grad = partial(self.torch.autograd.grad, output, leaves, a["dy"], retain_graph=True)
        return Job(grad, lambda grads: [grads[0]])

    def cross_entropy(self, case, a):
        criterion, leaf = self.compiled(self.torch.nn.CrossEntropyLoss()), a["x"].requires_grad_()

        def run():
            loss = criterion(leaf, a["y"])
            return loss, *self.torch.autograd.grad(loss, leaf)

        return Job(run, list)

    def _optimizer(self, name, params):
        momentum = {"momentum": MOMENTUM} if name == "SGD" else {}
        return getattr(self.torch.optim, name)(params, lr=LR[name], fused=True, **momentum)

    def update(self, case, a):
        param = self.torch.nn.Parameter(a["param"])
        param.grad = a["grad"]
        step = self.compiled(self._optimizer(case.name, [param]).step)
        return Job(step, lambda _: [param])

    def _net(self, case, a):
        net = network(self.torch.nn, case.shape[1:], case.table == REGULARISED).to(getattr(self.torch, case.dtype))
        linear = [module for module in net if isinstance(module, self.torch.nn.Linear)]
        with self.torch.no_grad():
            for module, values in zip(linear, a["parameters"], strict=True):
                for param, value in zip((module.weight, module.bias), values, strict=True):
                    param.copy_(self.torch.from_numpy(value))
        return net

    def _step(self, case, a):
        """The function of a step."""
        return self._step_of(self._net(case, a), case.name)

    def _step_of(self, net, rule):
        """The function of a step of a net with the optimiser of this name."""
        criterion, optimizer = self.torch.nn.CrossEntropyLoss(), self._optimizer(rule, list(net.parameters()))
        objective = self.compiled(lambda x, y: criterion(net(x), y))

        def step(x, y):
            optimizer.zero_grad()
            loss = objective(x, y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def training_step(self, case, a):
        return Job(partial(self._step(case, a), a["x"], a["y"]))

    compiled_step = regularised_step = training_step

    def epoch(self, case, a):
        step, rows = self._step(case, a), case.shape[0]

        def epoch():
            batches = zip(a["x"].split(rows), a["y"].split(rows), strict=True)
            return [step(x, y).detach() for x, y in batches]

        return Job(epoch, lambda losses: [self.torch.stack(losses)], 1 / BATCHES)

    def inference(self, case, a):
        net = self.compiled(self._net(case, a).eval())
        return Job(lambda: net(a["x"]))


class Compiled(Torch):
    """PyTorch through torch.compile, which needs a C++ compiler."""

    def __init__(self):
        super().__init__()
        import torch._functorch.config

        torch._functorch.config.donated_buffer = False  # a kept graph runs backward more than once
        self.compiled(torch.nn.functional.silu)(torch.ones(2, 3))  # fails here where no compiler works

    def compiled(self, function):
        return self.torch.compile(function, dynamic=False)

    def job(self, case, made):
        self.torch.compiler.reset()  # what was compiled for other cases
        return super().job(case, made)


class ChannelsLast(Torch):
    """Eager PyTorch with images and convolutions in memory as (N, H, W, C), which pays on CPUs too."""

    def job(self, case, made):
        if case.table in (IMAGE_STEPS, IMAGE_INFERENCE):
            made = {**made, "x": np.ascontiguousarray(made["x"].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)}
        return super().job(case, made)

    def _image_net(self, case, a):
        return super()._image_net(case, a).to(memory_format=self.torch.channels_last)


class Jax(JaxImages, Library):
    """Jitted functions of arrays that are on the device already; updates donate theirs. The calls run in order."""

    def __init__(self):
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # handing over to another thread costs, on one CPU
        self.jax, self.version = jax, jax.__version__

    def wait(self, result):
        self.jax.block_until_ready(result)

    def job(self, case, made):
        return super().job(case, self.jax.device_put(made))

    def linear_forward(self, case, a):
        function, weight = self.jax.jit(lambda x, w, b: x @ w + b), self._transposed(a["weight"])
        return Job(lambda: function(a["x"], weight, a["bias"]))

    def _transposed(self, array):
        """(in, out), as JAX's users keep weights."""
        return self.jax.block_until_ready(self.jax.jit(lambda array: array.T.copy())(array))

    def linear_weight(self, case, a):
        state = self.jax.numpy.zeros_like(a["weight"].T), self.jax.numpy.zeros_like(a["bias"])
        function = self.jax.jit(lambda gw, gb, x, dy: (gw + x.T @ dy, gb + dy.sum(0)), donate_argnums=(0, 1))

        def run():
            nonlocal state
            state = function(*state, a["x"], a["dy"])
            return state

        return Job(run, lambda state: [state[0].T, state[1]])

    def linear_input(self, case, a):
        function, weight = self.jax.jit(lambda dy, w: dy @ w.T), self._transposed(a["weight"])
        return Job(lambda: function(a["dy"], weight))

    def _batch_norm(self, x, weight, bias, mean, var):
        """As in a training step: the output, then the new running statistics."""
        batch_mean, batch_var = x.mean(0), x.var(0)
        y = (x - batch_mean) * self.jax.lax.rsqrt(batch_var + 1e-5) * weight + bias
        unbiased = batch_var * (len(x) / (len(x) - 1))
        return y, 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * unbiased

    def _dropout(self, x, key):
        return self.jax.numpy.where(self.jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)

    def _layer(self, case):
        """The function of a layer and its arguments but the first."""
        if case.table == IMAGE_LAYERS:
            return self._image_layer(case)
        nn, ones = self.jax.nn, self.jax.numpy.ones(case.shape[1], case.dtype)
        if case.name == "BatchNorm1d":
            return self._batch_norm, (ones, 0 * ones, 0 * ones, ones)
        if case.name == "Dropout":
            return self._dropout, (self.jax.random.key(0),)
        special = {
            "Tanh": self.jax.numpy.tanh,
            "LogSoftmax": nn.log_softmax,
            "GELU": partial(nn.gelu, approximate=False),
        }
        return special.get(case.name) or getattr(nn, case.name.lower()), ()

    def layer_forward(self, case, a):
        function, others = self._layer(case)
        function = self.jax.jit(function)
        return Job(lambda: function(a["x"], *others), lambda y: [y[0] if isinstance(y, tuple) else y])

    def layer_backward(self, case, a):
        function, others = self._layer(case)
        if case.name == "BatchNorm1d":
            others, statistics = others[:2], others[2:]
            function = lambda *args: self._batch_norm(*args, *statistics)[0]  # noqa: E731

        @self.jax.jit
        def backward(dy, x, *others):  # from the input, as fastnn's; what the output alone needs is left out
            return self.jax.vjp(function, x, *others)[1](dy)

        return Job(lambda: backward(a["dy"], a["x"], *others), lambda grads: [grads[0]])

    def _loss(self, scores, y):
        chosen = self.jax.numpy.take_along_axis(scores, y[:, None], axis=1)[:, 0]
        return (self.jax.nn.logsumexp(scores, axis=1) - chosen).mean()

    def cross_entropy(self, case, a):
        function = self.jax.jit(self.jax.value_and_grad(self._loss))
        return Job(lambda: function(a["x"], a["y"]), list)

    def _sgd(self, param, grad, velocity):
        velocity = MOMENTUM * velocity + grad
        return param - LR["SGD"] * velocity, velocity

    def _adam(self, param, grad, m, v, step):
        step = step + 1
        m, v = BETAS[0] * m + (1 - BETAS[0]) * grad, BETAS[1] * v + (1 - BETAS[1]) * grad * grad
        root = self.jax.numpy.sqrt(v / (1 - BETAS[1] ** step).astype(v.dtype)) + ADAM_EPS
        return param - (LR["Adam"] / (1 - BETAS[0] ** step)).astype(m.dtype) * m / root, m, v, step

    def update(self, case, a):
        states, zeros = (1, self._sgd) if case.name == "SGD" else (2, self._adam), self.jax.numpy.zeros_like
        state = a["param"], *(zeros(a["param"]) for _ in range(states[0]))
        if case.name == "Adam":
            state = *state, self.jax.numpy.zeros((), int)
        function = self.jax.jit(lambda state, grad: states[1](state[0], grad, *state[1:]), donate_argnums=0)

        def run():
            nonlocal state
            state = function(state, a["grad"])
            return state

        return Job(run, lambda state: [state[0]])

    def _parameters(self, a):
        """Of all layers in one list."""
        return [array for weight, bias in a["parameters"] for array in (self._transposed(weight), bias)]

    def _scores(self, parameters, x):
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            x = self.jax.nn.relu(x @ weight + bias)
        return x @ parameters[-2] + parameters[-1]

    def _objective(self, parameters, x, y):
        return self._loss(self._scores(parameters, x), y)

    def _state(self, name, parameters):
        """Each parameter with what the optimiser keeps of it."""
        zeros = self.jax.numpy.zeros_like
        if name == "SGD":
            return [(param, zeros(param)) for param in parameters]
        return [(param, zeros(param), zeros(param), self.jax.numpy.zeros((), int)) for param in parameters]

    def _updated(self, name, state, grads):
        rule = {"SGD": self._sgd, "Adam": self._adam}[name]
        return [rule(param, grad, *kept) for (param, *kept), grad in zip(state, grads, strict=True)]

    def _step(self, case):
        """The function of a step, to be jitted: from the state and a batch to the state and the loss."""

        def step(state, x, y):
            loss, grads = self.jax.value_and_grad(self._objective)([param for param, *_ in state], x, y)
            return self._updated(case.name, state, grads), loss

        return step

    def _running(self, function, state, *arguments):
        """A function that calls another one, jitted, on the state that it returned before."""
        function = self.jax.jit(function, donate_argnums=0)

        def run():
            nonlocal state
            state, loss = function(state, *arguments)
            return loss

        return run

    def training_step(self, case, a):
        state = self._state(case.name, self._parameters(a))
        return Job(self._running(self._step(case), state, a["x"], a["y"]))

    compiled_step = training_step

    def epoch(self, case, a):
        step, x = self._step(case), a["x"].reshape(BATCHES, -1, a["x"].shape[1])

        def epoch(state, x, y):
            return self.jax.lax.scan(lambda state, batch: step(state, *batch), state, (x, y))

        state = self._state(case.name, self._parameters(a))
        return Job(self._running(epoch, state, x, a["y"].reshape(BATCHES, -1)), share=1 / BATCHES)

    def inference(self, case, a):
        function, parameters = self.jax.jit(self._scores), self._parameters(a)
        return Job(lambda: function(parameters, a["x"]))

    def regularised_step(self, case, a):
        """Blocks of four parameters: weight, bias, and batch norm's."""
        jax, widths = self.jax, case.shape[2:-1]

        def objective(parameters, statistics, keys, x, y):
            new = []
            for i, (mean, var) in enumerate(statistics):
                weight, bias, gamma, beta = parameters[4 * i : 4 * i + 4]
                x, *moved = self._batch_norm(x @ weight + bias, gamma, beta, mean, var)
                x = self._dropout(jax.nn.relu(x), keys[i])
                new.append(tuple(moved))
            return self._loss(x @ parameters[-2] + parameters[-1], y), new

        def step(state, x, y):
            state, statistics, key = state
            key, *keys = jax.random.split(key, 1 + len(widths))
            parameters = [param for param, *_ in state]
            (loss, statistics), grads = jax.value_and_grad(objective, has_aux=True)(parameters, statistics, keys, x, y)
            return (self._updated(case.name, state, grads), statistics, key), loss

        one, zero = (partial(make, dtype=case.dtype) for make in (jax.numpy.ones, jax.numpy.zeros))
        linear, parameters = self._parameters(a), []
        for i, width in enumerate(widths):
            parameters += [*linear[2 * i : 2 * i + 2], one(width), zero(width)]
        state = self._state(case.name, [*parameters, *linear[-2:]])
        statistics = [(zero(width), one(width)) for width in widths]
        return Job(self._running(step, (state, statistics, jax.random.key(0)), a["x"], a["y"]))

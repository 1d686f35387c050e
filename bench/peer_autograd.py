"""The work of `peers.py` on PyTorch, eager and compiled, and on JAX, each in the form that its users would tune."""

from __future__ import annotations

from functools import partial

from peer_work import LR, MOMENTUM, Job, Library, layer, network

BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # the defaults of fastnn and PyTorch


class Torch(Library):
    """Eager PyTorch; gradients by autograd, over a graph that is kept where only they are timed."""

    def __init__(self):
        import torch

        torch.set_num_threads(1)
        self.torch, self.version = torch, torch.__version__

    def compiled(self, function):
        return function

    def job(self, case, made):
        self.torch.set_grad_enabled(case.work not in ("linear_forward", "layer_forward"))
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
        return getattr(self.torch.optim, name)(params, lr=LR, fused=True, **momentum)

    def update(self, case, a):
        param = self.torch.nn.Parameter(a["param"])
        param.grad = a["grad"]
        step = self.compiled(self._optimizer(case.name, [param]).step)
        return Job(step, lambda _: [param])

    def training_step(self, case, a):
        model = network(self.torch.nn, case.shape[1:]).to(getattr(self.torch, case.dtype))
        with self.torch.no_grad():
            for param, value in zip(model.parameters(), sum(a["parameters"], ()), strict=True):
                param.copy_(self.torch.from_numpy(value))
        criterion, optimizer = self.torch.nn.CrossEntropyLoss(), self._optimizer("SGD", list(model.parameters()))
        objective = self.compiled(lambda x, y: criterion(model(x), y))

        def step():
            optimizer.zero_grad()
            loss = objective(a["x"], a["y"])
            loss.backward()
            optimizer.step()
            return loss

        return Job(step)


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


class Jax(Library):
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
        return param - LR * velocity, velocity

    def _adam(self, param, grad, m, v, step):
        step = step + 1
        m, v = BETAS[0] * m + (1 - BETAS[0]) * grad, BETAS[1] * v + (1 - BETAS[1]) * grad * grad
        root = self.jax.numpy.sqrt(v / (1 - BETAS[1] ** step).astype(v.dtype)) + ADAM_EPS
        return param - (LR / (1 - BETAS[0] ** step)).astype(m.dtype) * m / root, m, v, step

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

    def _objective(self, parameters, x, y):
        for weight, bias in parameters[:-1]:
            x = self.jax.nn.relu(x @ weight + bias)
        return self._loss(x @ parameters[-1][0] + parameters[-1][1], y)

    def training_step(self, case, a):
        tree_map = self.jax.tree.map
        parameters = [(self._transposed(weight), bias) for weight, bias in a["parameters"]]
        velocities = tree_map(self.jax.numpy.zeros_like, parameters)

        @partial(self.jax.jit, donate_argnums=(0, 1))
        def update(parameters, velocities, x, y):
            loss, grads = self.jax.value_and_grad(self._objective)(parameters, x, y)
            velocities = tree_map(lambda velocity, grad: MOMENTUM * velocity + grad, velocities, grads)
            return tree_map(lambda param, velocity: param - LR * velocity, parameters, velocities), velocities, loss

        def step():
            nonlocal parameters, velocities
            parameters, velocities, loss = update(parameters, velocities, a["x"], a["y"])
            return loss

        return Job(step)

"""The networks and layers of images on PyTorch and JAX; `peer_autograd.py` adds them to its libraries."""

from __future__ import annotations

from functools import partial

from image_work import NETWORKS, POOLS, convolution, network
from peer_work import Job

EPS = 1e-5


class TorchImages:
    """A training step, and one image without gradients."""

    def _image_net(self, case, a):
        net = network(self.torch.nn, case.name).to(getattr(self.torch, case.dtype))
        with self.torch.no_grad():
            for param, value in zip(net.parameters(), a["parameters"], strict=True):
                param.copy_(self.torch.from_numpy(value))
        return net

    def image_step(self, case, a):
        net = self._image_net(case, a)
        return Job(partial(self._step_of(net, "SGD"), a["x"], a["y"]))

    def image_inference(self, case, a):
        net = self.compiled(self._image_net(case, a).eval())
        return Job(lambda: net(a["x"]))


class JaxImages:
    """Images as (N, H, W, C), which XLA's convolutions on CPUs are made for; max-pooling of windows of 2x2 as maxima of
    slices, whose step took half as long there as that of `reduce_window`."""

    def _forward(self, name, parameters, statistics, x):
        """The scores of a network, and the new statistics of batch normalisation."""
        parameters, statistics, moved = iter(parameters), iter(statistics), []
        for kind, *arguments in NETWORKS[name]:
            if kind == "Conv2d":
                _, _, _, padding, bias = convolution(arguments)
                x = self.jax.lax.conv_general_dilated(
                    x, next(parameters), (1, 1), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                x = x + next(parameters) if bias else x
            elif kind == "Linear":
                x = x @ next(parameters) + next(parameters)
            elif kind == "BatchNorm2d":
                x, *new = self._batch_norm_images(x, next(parameters), next(parameters), *next(statistics))
                moved.append(tuple(new))
            elif kind == "ReLU":
                x = self.jax.nn.relu(x)
            elif kind == "MaxPool2d":
                x = self._pooled(x)
            elif kind == "AdaptiveAvgPool2d":
                x = x.mean((1, 2), keepdims=True)
            else:
                x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return x, moved

    def _pooled(self, x):
        corners = [x[:, top::2, left::2] for top in (0, 1) for left in (0, 1)]
        return self._greatest(*corners)

    def _greatest(self, a, b, c, d):
        maximum = self.jax.numpy.maximum
        return maximum(maximum(a, b), maximum(c, d))

    def _batch_norm_images(self, x, weight, bias, mean, var):
        """Of a training step, for (N, H, W, C)."""
        batch_mean, batch_var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        y = (x - batch_mean) * self.jax.lax.rsqrt(batch_var + EPS) * weight + bias
        count = x.size // x.shape[-1]
        return y, 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var * (count / (count - 1))

    def _image_parameters(self, a):
        """In the order of axes that JAX's users have."""
        axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
        return [self.jax.numpy.array(array.transpose(axes[array.ndim]), copy=True) for array in a["parameters"]]

    def image_step(self, case, a):
        np, name = self.jax.numpy, case.name
        x = self.jax.block_until_ready(np.array(a["x"].transpose(0, 2, 3, 1), copy=True))

        def objective(parameters, statistics, x, y):
            scores, moved = self._forward(name, parameters, statistics, x)
            return self._loss(scores, y), moved

        def step(state, x, y):
            state, statistics = state
            parameters = [param for param, *_ in state]
            (loss, moved), grads = self.jax.value_and_grad(objective, has_aux=True)(parameters, statistics, x, y)
            return (self._updated("SGD", state, grads), moved), loss

        widths = [layer[1] for layer in NETWORKS[name] if layer[0] == "BatchNorm2d"]
        statistics = [(np.zeros(width, case.dtype), np.ones(width, case.dtype)) for width in widths]
        state = self._state("SGD", self._image_parameters(a))
        return Job(self._running(step, (state, statistics), x, a["y"]))

    def image_inference(self, case, a):
        parameters, x = self._image_parameters(a), self.jax.numpy.array(a["x"].transpose(0, 2, 3, 1), copy=True)
        function = self.jax.jit(lambda parameters, x: self._forward(case.name, parameters, (), x)[0])
        return Job(lambda: function(parameters, x))

    def _image_layer(self, case):
        """The function of a layer and its parameters, for arrays in PyTorch's order of axes."""
        np, lax = self.jax.numpy, self.jax.lax
        if case.name == "MaxPool2d":
            return lambda x: self._greatest(*(x[:, :, top::2, left::2] for top in (0, 1) for left in (0, 1))), ()
        if case.name in POOLS:
            kernel, stride, pad = POOLS[case.name]
            return lambda x: lax.reduce_window(x, -np.inf, lax.max, (1, 1, kernel, kernel), (1, 1, stride, stride),
                                               ((0, 0), (0, 0), (pad, pad), (pad, pad))), ()  # fmt: skip
        axes, size = ((0, 2, 3), case.shape[1]) if case.name == "BatchNorm2d" else ((-1,), case.shape[-1])
        shape = (size, 1, 1) if case.name == "BatchNorm2d" else (size,)

        def normalised(x, weight, bias):
            mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
            y = (x - mean) * lax.rsqrt(var + EPS)
            return y * weight.reshape(shape) + bias.reshape(shape)

        return normalised, (np.ones(size, case.dtype), np.zeros(size, case.dtype))

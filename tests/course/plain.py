"""forward(), backward(), parameters(): Sequential(*layers), flat lists, gradients overwrite, W is (n_out, n_in)."""
# ruff: noqa: NPY002

import numpy as np

from .torch7 import adam_optimizer, sgd_momentum

__all__ = [
    "ELU", "MSE", "NLL", "SGD", "BatchNormalization", "ChannelwiseScaling", "Conv2d", "Criterion", "CrossEntropy",
    "Dropout", "Flatten", "LeakyReLU", "Linear", "LogSoftMax", "MaxPool2d", "Module", "ReLU", "Sequential",
    "Sigmoid", "SoftMax", "SoftPlus", "Tanh", "adam_optimizer", "np", "sgd_momentum",
]  # fmt: skip


class Module:
    def __init__(self):
        self.output = None
        self._train = True

    def forward(self, input):
        raise NotImplementedError

    def backward(self, input, grad_output):
        raise NotImplementedError

    def parameters(self):
        return []

    def grad_parameters(self):
        return []

    def zero_grad(self):
        pass

    def train(self):
        self._train = True

    def eval(self):
        self._train = False

    def __repr__(self):
        return type(self).__name__


class Sequential(Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers

    def forward(self, input):
        self.output = input
        for layer in self.layers:
            self.output = layer.forward(self.output)
        return self.output

    def backward(self, input, grad_output):
        inputs = [input] + [layer.output for layer in self.layers[:-1]]
        for i in reversed(range(len(self.layers))):
            grad_output = self.layers[i].backward(inputs[i], grad_output)
        return grad_output

    def parameters(self):
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def grad_parameters(self):
        return [gradient for layer in self.layers for gradient in layer.grad_parameters()]

    def zero_grad(self):
        for layer in self.layers:
            layer.zero_grad()

    def train(self):
        self._train = True
        for layer in self.layers:
            layer.train()

    def eval(self):
        self._train = False
        for layer in self.layers:
            layer.eval()

    def __repr__(self):
        return "\n".join(str(layer) for layer in self.layers)


class Linear(Module):
    def __init__(self, dim_in, dim_out):
        super().__init__()
        bound = 1.0 / np.sqrt(dim_in)
        self.W = np.random.uniform(-bound, bound, size=(dim_out, dim_in))
        self.b = np.random.uniform(-bound, bound, size=dim_out)
        self.zero_grad()

    def forward(self, input):
        self.output = np.dot(input, self.W.T) + self.b
        return self.output

    def backward(self, input, grad_output):
        self.grad_W = np.dot(grad_output.T, input)
        self.grad_b = np.sum(grad_output, axis=0)
        return np.dot(grad_output, self.W)

    def parameters(self):
        return [self.W, self.b]

    def grad_parameters(self):
        return [self.grad_W, self.grad_b]

    def zero_grad(self):
        self.grad_W = np.zeros_like(self.W)
        self.grad_b = np.zeros_like(self.b)


class SoftMax(Module):
    def forward(self, input):
        exps = np.exp(input - np.max(input, axis=1, keepdims=True))
        self.output = exps / np.sum(exps, axis=1, keepdims=True)
        return self.output

    def backward(self, input, grad_output):
        return self.output * (grad_output - np.sum(grad_output * self.output, axis=1, keepdims=True))


class LogSoftMax(Module):
    def forward(self, input):
        shifted = input - np.max(input, axis=1, keepdims=True)
        self.output = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return self.output

    def backward(self, input, grad_output):
        return grad_output - np.exp(self.output) * np.sum(grad_output, axis=1, keepdims=True)


class BatchNormalization(Module):
    EPS = 1e-3

    def __init__(self, alpha=0.0):
        super().__init__()
        self.alpha = alpha
        self.moving_mean = None
        self.moving_variance = None

    def forward(self, input):
        if self._train:
            mean = np.mean(input, axis=0)
            variance = np.var(input, axis=0)
            if self.moving_mean is None:
                self.moving_mean = mean
                self.moving_variance = variance
            else:
                self.moving_mean = self.moving_mean * self.alpha + mean * (1 - self.alpha)
                self.moving_variance = self.moving_variance * self.alpha + variance * (1 - self.alpha)
        else:
            mean = self.moving_mean
            variance = self.moving_variance
        self.output = (input - mean) / np.sqrt(variance + self.EPS)
        return self.output

    def backward(self, input, grad_output):
        if not self._train:
            return grad_output / np.sqrt(self.moving_variance + self.EPS)
        n = input.shape[0]
        std = np.sqrt(np.var(input, axis=0) + self.EPS)
        normed = (input - np.mean(input, axis=0)) / std
        total = np.sum(grad_output, axis=0)
        along = np.sum(grad_output * normed, axis=0)
        return (n * grad_output - total - normed * along) / (n * std)


class ChannelwiseScaling(Module):
    def __init__(self, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_out)
        self.gamma = np.random.uniform(-bound, bound, size=n_out)
        self.beta = np.random.uniform(-bound, bound, size=n_out)
        self.zero_grad()

    def forward(self, input):
        self.output = input * self.gamma + self.beta
        return self.output

    def backward(self, input, grad_output):
        self.grad_gamma = np.sum(grad_output * input, axis=0)
        self.grad_beta = np.sum(grad_output, axis=0)
        return grad_output * self.gamma

    def parameters(self):
        return [self.gamma, self.beta]

    def grad_parameters(self):
        return [self.grad_gamma, self.grad_beta]

    def zero_grad(self):
        self.grad_gamma = np.zeros_like(self.gamma)
        self.grad_beta = np.zeros_like(self.beta)


class Dropout(Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p
        self.mask = []

    def forward(self, input):
        if self._train:
            self.mask = np.random.binomial(1, 1 - self.p, size=input.shape)
            self.output = input * self.mask / (1 - self.p)
        else:
            self.output = input
        return self.output

    def backward(self, input, grad_output):
        return grad_output * self.mask / (1 - self.p) if self._train else grad_output


class Conv2d(Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        bound = 1.0 / np.sqrt(in_channels)
        self.W = np.random.uniform(-bound, bound, size=(out_channels, in_channels, kernel_size, kernel_size))
        self.b = np.random.uniform(-bound, bound, size=out_channels)
        self.grad_W = np.zeros_like(self.W)
        self.grad_b = np.zeros_like(self.b)
        self.kernel_size = kernel_size

    def forward(self, input):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        self.output = self.b[:, None, None] + sum(
            np.einsum("nchw,oc->nohw", around[:, :, i : i + h, j : j + w], self.W[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )
        return self.output

    def backward(self, input, grad_output):
        self.grad_W = np.zeros(self.W.shape, np.result_type(input, grad_output))
        self.grad_b = np.zeros(self.b.shape, np.result_type(input, grad_output))
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        for i, j in np.ndindex(k, k):
            self.grad_W[:, :, i, j] += np.einsum("nchw,nohw->oc", around[:, :, i : i + h, j : j + w], grad_output)
        self.grad_b += grad_output.sum(axis=(0, 2, 3))
        slopes = np.pad(grad_output, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        turned = self.W[:, :, ::-1, ::-1]
        return sum(
            np.einsum("nohw,oc->nchw", slopes[:, :, i : i + h, j : j + w], turned[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )

    def zero_grad(self):
        self.grad_W = np.zeros_like(self.W)
        self.grad_b = np.zeros_like(self.b)

    def parameters(self):
        return [self.W, self.b]

    def grad_parameters(self):
        return [self.grad_W, self.grad_b]


class MaxPool2d(Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.kernel_size = kernel_size
        self.max_indices = None

    def forward(self, input):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        self.output = squares.max(axis=-1)
        self.max_indices = squares.argmax(axis=-1)
        return self.output

    def backward(self, input, grad_output):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        first = np.arange(k * k) == squares.argmax(axis=-1)[..., None]
        slopes = np.where(first, grad_output[..., None], grad_output.dtype.type(0))
        return slopes.reshape(n, c, h // k, w // k, k, k).swapaxes(3, 4).reshape(input.shape)


class Flatten(Module):
    def forward(self, input):
        self.output = input.reshape(input.shape[0], int(np.prod(input.shape[1:])))
        return self.output

    def backward(self, input, grad_output):
        return grad_output.reshape(input.shape)


class ReLU(Module):
    def forward(self, input):
        self.output = np.maximum(input, 0)
        return self.output

    def backward(self, input, grad_output):
        return np.multiply(grad_output, input > 0)


class LeakyReLU(Module):
    def __init__(self, slope=0.03):
        super().__init__()
        self.slope = slope

    def forward(self, input):
        self.output = np.where(input > 0, input, self.slope * input)
        return self.output

    def backward(self, input, grad_output):
        return np.where(input > 0, grad_output, self.slope * grad_output)


class ELU(Module):
    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, input):
        self.output = np.where(input > 0, input, self.alpha * (np.exp(input) - 1))
        return self.output

    def backward(self, input, grad_output):
        return np.where(input > 0, grad_output, self.alpha * np.exp(input) * grad_output)


class SoftPlus(Module):
    def forward(self, input):
        self.output = np.log(1 + np.exp(input))
        return self.output

    def backward(self, input, grad_output):
        return grad_output / (1 + np.exp(-input))


class Sigmoid(Module):
    def forward(self, input):
        self.output = 1 / (1 + np.exp(-input))
        return self.output

    def backward(self, input, grad_output):
        sigmoid = 1 / (1 + np.exp(-input))
        return grad_output * sigmoid * (1 - sigmoid)


class Tanh(Module):
    def forward(self, input):
        self.output = np.tanh(input)
        return self.output

    def backward(self, input, grad_output):
        return grad_output * (1 - np.tanh(input) ** 2)


class Criterion:
    def __init__(self):
        self.output = None
        self.grad_output = None

    def __repr__(self):
        return type(self).__name__


class MSE(Criterion):
    def forward(self, input, target):
        self.output = np.sum(np.power(input - target, 2)) / input.shape[0]
        return self.output

    def backward(self, input, target):
        self.grad_output = 2 * (input - target) / input.shape[0]
        return self.grad_output


class CrossEntropy(Criterion):
    def forward(self, input, target):
        clipped = np.clip(input, 1e-9, 1 - 1e-9)
        self.output = -np.sum(target * np.log(clipped)) / input.shape[0]
        return self.output

    def backward(self, input, target):
        clipped = np.clip(input, 1e-15, 1 - 1e-15)
        self.grad_output = -(target / clipped) / input.shape[0]
        return self.grad_output


class NLL(Criterion):
    def forward(self, input, target):
        self.output = -np.sum(target * input) / input.shape[0]
        return self.output

    def backward(self, input, target):
        self.grad_output = -target / input.shape[0]
        return self.grad_output


def SGD(parameters, grads, lr=1e-3):
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter -= lr * grad

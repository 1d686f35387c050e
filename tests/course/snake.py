"""snake_case: gradients overwrite, W is (n_in, n_out), Sequential.output is the list of all outputs."""
# ruff: noqa: NPY002

import numpy as np

from .torch7 import adam_optimizer
from .torch7 import sgd_momentum as SGD

__all__ = [
    "ELU", "SGD", "BatchNormalization", "Conv2d", "Criterion", "Dropout", "Flatten", "LeakyReLU", "Linear",
    "LogSoftMax", "MSECriterion", "MaxPool2d", "Module", "NLLCriterion", "NLLCriterionUnstable", "ReLU", "Scaling",
    "Sequential", "Sigmoid", "SoftMax", "SoftPlus", "Tanh", "adam_optimizer", "np", "sgd_momentum",
]  # fmt: skip

sgd_momentum = SGD


class Module:
    def __init__(self):
        self.output = None
        self.grad_input = None
        self.training = True

    def forward(self, input):
        return self.update_output(input)

    def backward(self, input, grad_output):
        self.update_grad_input(input, grad_output)
        self.update_grad_params(input, grad_output)
        return self.grad_input

    def update_output(self, input):
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output
        return self.grad_input

    def update_grad_params(self, input, grad_output):
        pass

    def zero_grad_params(self):
        pass

    def get_parameters(self):
        return []

    def get_params(self):
        return self.get_parameters()

    def get_grad_params(self):
        return []

    def train(self):
        self.training = True

    def evaluate(self):
        self.training = False

    def __repr__(self):
        return type(self).__name__


class Sequential(Module):
    def __init__(self):
        super().__init__()
        self.modules = []

    def add(self, module):
        self.modules.append(module)

    def update_output(self, input):
        self.output = [input]
        for module in self.modules:
            self.output.append(module.forward(self.output[-1]))
        return self.output[-1]

    def backward(self, input, grad_output):
        inputs = [input, *self.output[1:]]
        self.grad_input = [grad_output]
        for i in reversed(range(len(self.modules))):
            self.grad_input.append(self.modules[i].backward(inputs[i], self.grad_input[-1]))
        return self.grad_input[-1]

    def zero_grad_params(self):
        for module in self.modules:
            module.zero_grad_params()

    def get_parameters(self):
        return [module.get_parameters() for module in self.modules]

    def get_grad_params(self):
        return [module.get_grad_params() for module in self.modules]

    def train(self):
        self.training = True
        for module in self.modules:
            module.train()

    def evaluate(self):
        self.training = False
        for module in self.modules:
            module.evaluate()

    def __getitem__(self, index):
        return self.modules[index]

    def __repr__(self):
        return "\n".join(str(module) for module in self.modules)


class Linear(Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_in)
        self.W = np.random.uniform(-bound, bound, size=(n_in, n_out))
        self.b = np.random.uniform(-bound, bound, size=n_out)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def update_output(self, input):
        self.output = np.dot(input, self.W) + self.b
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.dot(grad_output, self.W.T)
        return self.grad_input

    def update_grad_params(self, input, grad_output):
        self.gradW = np.dot(input.T, grad_output)
        self.gradb = np.sum(grad_output, axis=0)

    def zero_grad_params(self):
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def get_parameters(self):
        return [self.W, self.b]

    def get_grad_params(self):
        return [self.gradW, self.gradb]

    def __repr__(self):
        n_in, n_out = self.W.shape
        return f"Linear {n_in} -> {n_out}"


class SoftMax(Module):
    def update_output(self, input):
        exps = np.exp(input - np.max(input, axis=1, keepdims=True))
        self.output = exps / np.sum(exps, axis=1, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        exps = np.exp(input - np.max(input, axis=1, keepdims=True))
        probs = exps / np.sum(exps, axis=1, keepdims=True)
        self.grad_input = probs * (grad_output - np.sum(grad_output * probs, axis=1, keepdims=True))
        return self.grad_input


class LogSoftMax(Module):
    def update_output(self, input):
        shifted = input - np.max(input, axis=1, keepdims=True)
        self.output = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return self.output

    def update_grad_input(self, input, grad_output):
        exps = np.exp(input - np.max(input, axis=1, keepdims=True))
        probs = exps / np.sum(exps, axis=1, keepdims=True)
        self.grad_input = grad_output - probs * np.sum(grad_output, axis=1, keepdims=True)
        return self.grad_input


class BatchNormalization(Module):
    EPS = 1e-3

    def __init__(self, alpha=0.0):
        super().__init__()
        self.alpha = alpha
        self.moving_mean = None
        self.moving_variance = None

    def update_output(self, input):
        if self.training:
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

    def update_grad_input(self, input, grad_output):
        n = input.shape[0]
        std = np.sqrt(np.var(input, axis=0) + self.EPS)
        normed = (input - np.mean(input, axis=0)) / std
        total = np.sum(grad_output, axis=0)
        along = np.sum(grad_output * normed, axis=0)
        self.grad_input = (n * grad_output - total - normed * along) / (n * std)
        return self.grad_input


class Scaling(Module):
    def __init__(self, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_out)
        self.gamma = np.random.uniform(-bound, bound, size=(1, n_out))
        self.beta = np.random.uniform(-bound, bound, size=(1, n_out))
        self.gradGamma = np.zeros(n_out)
        self.gradBeta = np.zeros(n_out)

    def update_output(self, input):
        self.output = input * self.gamma + self.beta
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * self.gamma
        return self.grad_input

    def update_grad_params(self, input, grad_output):
        self.gradGamma = np.sum(grad_output * input, axis=0)
        self.gradBeta = np.sum(grad_output, axis=0)

    def zero_grad_params(self):
        self.gradGamma.fill(0)
        self.gradBeta.fill(0)

    def get_parameters(self):
        return [self.gamma, self.beta]

    def get_grad_params(self):
        return [self.gradGamma, self.gradBeta]


class Dropout(Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p
        self.mask = []

    def update_output(self, input):
        if self.training:
            self.mask = np.random.binomial(1, 1 - self.p, size=input.shape)
            self.output = input * self.mask / (1 - self.p)
        else:
            self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * self.mask / (1 - self.p) if self.training else grad_output
        return self.grad_input


class Conv2d(Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        bound = 1.0 / np.sqrt(in_channels)
        self.W = np.random.uniform(-bound, bound, size=(out_channels, in_channels, kernel_size, kernel_size))
        self.b = np.random.uniform(-bound, bound, size=out_channels)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)
        self.kernel_size = kernel_size

    def update_output(self, input):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        self.output = self.b[:, None, None] + sum(
            np.einsum("nchw,oc->nohw", around[:, :, i : i + h, j : j + w], self.W[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )
        return self.output

    def update_grad_input(self, input, grad_output):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(grad_output, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        turned = self.W[:, :, ::-1, ::-1]
        self.grad_input = sum(
            np.einsum("nohw,oc->nchw", around[:, :, i : i + h, j : j + w], turned[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )
        return self.grad_input

    def update_grad_params(self, input, grad_output):
        self.gradW = np.zeros(self.W.shape, np.result_type(input, grad_output))
        self.gradb = np.zeros(self.b.shape, np.result_type(input, grad_output))
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        for i, j in np.ndindex(k, k):
            self.gradW[:, :, i, j] += np.einsum("nchw,nohw->oc", around[:, :, i : i + h, j : j + w], grad_output)
        self.gradb += grad_output.sum(axis=(0, 2, 3))

    def zero_grad_params(self):
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def get_parameters(self):
        return [self.W, self.b]

    def get_grad_params(self):
        return [self.gradW, self.gradb]

    def __repr__(self):
        return f"Conv2d {self.W.shape[1]} -> {self.W.shape[0]}"


class MaxPool2d(Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.kernel_size = kernel_size
        self.max_indices = None

    def update_output(self, input):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        self.output = squares.max(axis=-1)
        self.max_indices = squares.argmax(axis=-1)
        return self.output

    def update_grad_input(self, input, grad_output):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        first = np.arange(k * k) == squares.argmax(axis=-1)[..., None]
        slopes = np.where(first, grad_output[..., None], grad_output.dtype.type(0))
        self.grad_input = slopes.reshape(n, c, h // k, w // k, k, k).swapaxes(3, 4).reshape(input.shape)
        return self.grad_input

    def __repr__(self):
        return f"MaxPool2d, kern {self.kernel_size}, stride {self.kernel_size}"


class Flatten(Module):
    def update_output(self, input):
        self.output = input.reshape(input.shape[0], int(np.prod(input.shape[1:])))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.reshape(input.shape)
        return self.grad_input


class ReLU(Module):
    def update_output(self, input):
        self.output = np.maximum(input, 0)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.multiply(grad_output, input > 0)
        return self.grad_input


class LeakyReLU(Module):
    def __init__(self, slope=0.03):
        super().__init__()
        self.slope = slope

    def update_output(self, input):
        self.output = np.where(input > 0, input, self.slope * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.where(input > 0, grad_output, self.slope * grad_output)
        return self.grad_input


class ELU(Module):
    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = alpha

    def update_output(self, input):
        self.output = np.where(input > 0, input, self.alpha * (np.exp(input) - 1))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.where(input > 0, grad_output, self.alpha * np.exp(input) * grad_output)
        return self.grad_input


class SoftPlus(Module):
    def update_output(self, input):
        self.output = np.log(1 + np.exp(input))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output / (1 + np.exp(-input))
        return self.grad_input


class Sigmoid(Module):
    def update_output(self, input):
        self.output = 1 / (1 + np.exp(-input))
        return self.output

    def update_grad_input(self, input, grad_output):
        sigmoid = 1 / (1 + np.exp(-input))
        self.grad_input = grad_output * sigmoid * (1 - sigmoid)
        return self.grad_input


class Tanh(Module):
    def update_output(self, input):
        self.output = np.tanh(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * (1 - np.tanh(input) ** 2)
        return self.grad_input


class Criterion:
    def __init__(self):
        self.output = None
        self.grad_input = None

    def forward(self, input, target):
        return self.update_output(input, target)

    def backward(self, input, target):
        return self.update_grad_input(input, target)

    def __repr__(self):
        return type(self).__name__


class MSECriterion(Criterion):
    def update_output(self, input, target):
        self.output = np.sum(np.power(input - target, 2)) / input.shape[0]
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = 2 * (input - target) / input.shape[0]
        return self.grad_input


class NLLCriterionUnstable(Criterion):
    EPS = 1e-15

    def update_output(self, input, target):
        clipped = np.clip(input, self.EPS, 1 - self.EPS)
        self.output = -np.sum(target * np.log(clipped)) / input.shape[0]
        return self.output

    def update_grad_input(self, input, target):
        clipped = np.clip(input, self.EPS, 1 - self.EPS)
        self.grad_input = -(target / clipped) / input.shape[0]
        return self.grad_input


class NLLCriterion(Criterion):
    def update_output(self, input, target):
        self.output = -np.sum(target * input) / input.shape[0]
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = -target / input.shape[0]
        return self.grad_input

"""The Torch7 manner: camelCase, Linear's gradients accumulate, W is (n_out, n_in)."""
# ruff: noqa: NPY002

import numpy as np

__all__ = [
    "ELU", "BatchNormalization", "ChannelwiseScaling", "ClassNLLCriterion", "ClassNLLCriterionUnstable", "Conv2d",
    "Criterion", "Dropout", "Flatten", "LeakyReLU", "Linear", "LogSoftMax", "MSECriterion", "MaxPool2d", "Module",
    "ReLU", "Sequential", "Sigmoid", "SoftMax", "SoftPlus", "Tanh", "adam_optimizer", "np", "sgd_momentum",
]  # fmt: skip


class Module:
    def __init__(self):
        self.output = None
        self.gradInput = None
        self.training = True

    def forward(self, input):
        return self.updateOutput(input)

    def backward(self, input, gradOutput):
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput)
        return self.gradInput

    def updateOutput(self, input):
        self.output = input
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        pass

    def zeroGradParameters(self):
        pass

    def getParameters(self):
        return []

    def getGradParameters(self):
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

    def updateOutput(self, input):
        self.output = input
        for module in self.modules:
            self.output = module.forward(self.output)
        return self.output

    def backward(self, input, gradOutput):
        inputs = [input] + [module.output for module in self.modules[:-1]]
        self.gradInput = gradOutput
        for i in reversed(range(len(self.modules))):
            self.gradInput = self.modules[i].backward(inputs[i], self.gradInput)
        return self.gradInput

    def zeroGradParameters(self):
        for module in self.modules:
            module.zeroGradParameters()

    def getParameters(self):
        return [module.getParameters() for module in self.modules]

    def getGradParameters(self):
        return [module.getGradParameters() for module in self.modules]

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
        self.W = np.random.uniform(-bound, bound, size=(n_out, n_in))
        self.b = np.random.uniform(-bound, bound, size=n_out)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def updateOutput(self, input):
        self.output = np.dot(input, self.W.T) + self.b
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.dot(gradOutput, self.W)
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        self.gradW += np.dot(gradOutput.T, input)
        self.gradb += np.sum(gradOutput, axis=0)

    def zeroGradParameters(self):
        self.gradW.fill(0)
        self.gradb.fill(0)

    def getParameters(self):
        return [self.W, self.b]

    def getGradParameters(self):
        return [self.gradW, self.gradb]

    def __repr__(self):
        n_out, n_in = self.W.shape
        return f"Linear {n_in} -> {n_out}"


class SoftMax(Module):
    def updateOutput(self, input):
        exps = np.exp(input - np.max(input, axis=1, keepdims=True))
        self.output = exps / np.sum(exps, axis=1, keepdims=True)
        return self.output

    def updateGradInput(self, input, gradOutput):
        dots = np.sum(gradOutput * self.output, axis=1, keepdims=True)
        self.gradInput = self.output * (gradOutput - dots)
        return self.gradInput


class LogSoftMax(Module):
    def updateOutput(self, input):
        shifted = input - np.max(input, axis=1, keepdims=True)
        self.output = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput - np.exp(self.output) * np.sum(gradOutput, axis=1, keepdims=True)
        return self.gradInput


class BatchNormalization(Module):
    EPS = 1e-3

    def __init__(self, alpha=0.0):
        super().__init__()
        self.alpha = alpha
        self.moving_mean = None
        self.moving_variance = None

    def updateOutput(self, input):
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

    def updateGradInput(self, input, gradOutput):
        if self.training:
            n = input.shape[0]
            std = np.sqrt(np.var(input, axis=0) + self.EPS)
            normed = (input - np.mean(input, axis=0)) / std
            total = np.sum(gradOutput, axis=0)
            along = np.sum(gradOutput * normed, axis=0)
            self.gradInput = (n * gradOutput - total - normed * along) / (n * std)
        else:
            self.gradInput = gradOutput / np.sqrt(self.moving_variance + self.EPS)
        return self.gradInput


class ChannelwiseScaling(Module):
    def __init__(self, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_out)
        self.gamma = np.random.uniform(-bound, bound, size=n_out)
        self.beta = np.random.uniform(-bound, bound, size=n_out)
        self.gradGamma = np.zeros_like(self.gamma)
        self.gradBeta = np.zeros_like(self.beta)

    def updateOutput(self, input):
        self.output = input * self.gamma + self.beta
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput * self.gamma
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        self.gradGamma = np.sum(gradOutput * input, axis=0)
        self.gradBeta = np.sum(gradOutput, axis=0)

    def zeroGradParameters(self):
        self.gradGamma.fill(0)
        self.gradBeta.fill(0)

    def getParameters(self):
        return [self.gamma, self.beta]

    def getGradParameters(self):
        return [self.gradGamma, self.gradBeta]


class Dropout(Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p
        self.mask = None

    def updateOutput(self, input):
        if self.training:
            self.mask = np.random.binomial(1, 1 - self.p, size=input.shape)
            self.output = input * self.mask / (1 - self.p)
        else:
            self.output = input
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput * self.mask / (1 - self.p) if self.training else gradOutput
        return self.gradInput


class Conv2d(Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        bound = 1.0 / np.sqrt(in_channels)
        self.W = np.random.uniform(-bound, bound, size=(out_channels, in_channels, kernel_size, kernel_size))
        self.b = np.random.uniform(-bound, bound, size=out_channels)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)
        self.kernel_size = kernel_size

    def updateOutput(self, input):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        self.output = self.b[:, None, None] + sum(
            np.einsum("nchw,oc->nohw", around[:, :, i : i + h, j : j + w], self.W[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )
        return self.output

    def updateGradInput(self, input, gradOutput):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(gradOutput, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        turned = self.W[:, :, ::-1, ::-1]
        self.gradInput = sum(
            np.einsum("nohw,oc->nchw", around[:, :, i : i + h, j : j + w], turned[:, :, i, j])
            for i, j in np.ndindex(k, k)
        )
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        k, (h, w) = self.kernel_size, input.shape[2:]
        around = np.pad(input, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        for i, j in np.ndindex(k, k):
            self.gradW[:, :, i, j] += np.einsum("nchw,nohw->oc", around[:, :, i : i + h, j : j + w], gradOutput)
        self.gradb += gradOutput.sum(axis=(0, 2, 3))

    def zeroGradParameters(self):
        self.gradW.fill(0)
        self.gradb.fill(0)

    def getParameters(self):
        return [self.W, self.b]

    def getGradParameters(self):
        return [self.gradW, self.gradb]

    def __repr__(self):
        return f"Conv2d {self.W.shape[1]} -> {self.W.shape[0]}"


class MaxPool2d(Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.kernel_size = kernel_size
        self.max_indices = None

    def updateOutput(self, input):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        self.output = squares.max(axis=-1)
        self.max_indices = squares.argmax(axis=-1)
        return self.output

    def updateGradInput(self, input, gradOutput):
        k, (n, c, h, w) = self.kernel_size, input.shape
        squares = input.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4).reshape(n, c, h // k, w // k, k * k)
        first = np.arange(k * k) == squares.argmax(axis=-1)[..., None]
        slopes = np.where(first, gradOutput[..., None], gradOutput.dtype.type(0))
        self.gradInput = slopes.reshape(n, c, h // k, w // k, k, k).swapaxes(3, 4).reshape(input.shape)
        return self.gradInput

    def __repr__(self):
        return f"MaxPool2d, kern {self.kernel_size}, stride {self.kernel_size}"


class Flatten(Module):
    def updateOutput(self, input):
        self.output = input.reshape(input.shape[0], int(np.prod(input.shape[1:])))
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput.reshape(input.shape)
        return self.gradInput


class ReLU(Module):
    def updateOutput(self, input):
        self.output = np.maximum(input, 0)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.multiply(gradOutput, input > 0)
        return self.gradInput


class LeakyReLU(Module):
    def __init__(self, slope=0.03):
        super().__init__()
        self.slope = slope

    def updateOutput(self, input):
        self.output = np.where(input > 0, input, self.slope * input)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.where(input > 0, gradOutput, self.slope * gradOutput)
        return self.gradInput


class ELU(Module):
    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = alpha

    def updateOutput(self, input):
        self.output = np.where(input > 0, input, self.alpha * (np.exp(input) - 1))
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.where(input > 0, gradOutput, self.alpha * np.exp(input) * gradOutput)
        return self.gradInput


class SoftPlus(Module):
    def updateOutput(self, input):
        self.output = np.log(1 + np.exp(input))
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput / (1 + np.exp(-input))
        return self.gradInput


class Sigmoid(Module):
    def updateOutput(self, input):
        self.output = 1 / (1 + np.exp(-input))
        return self.output

    def updateGradInput(self, input, gradOutput):
        sigmoid = 1 / (1 + np.exp(-input))
        self.gradInput = gradOutput * sigmoid * (1 - sigmoid)
        return self.gradInput


class Tanh(Module):
    def updateOutput(self, input):
        self.output = np.tanh(input)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput * (1 - np.tanh(input) ** 2)
        return self.gradInput


class Criterion:
    def __init__(self):
        self.output = None
        self.gradInput = None

    def forward(self, input, target):
        return self.updateOutput(input, target)

    def backward(self, input, target):
        return self.updateGradInput(input, target)

    def __repr__(self):
        return type(self).__name__


class MSECriterion(Criterion):
    def updateOutput(self, input, target):
        self.output = np.sum(np.power(input - target, 2)) / input.shape[0]
        return self.output

    def updateGradInput(self, input, target):
        self.gradInput = 2 * (input - target) / input.shape[0]
        return self.gradInput


class ClassNLLCriterionUnstable(Criterion):
    EPS = 1e-15

    def updateOutput(self, input, target):
        clipped = np.clip(input, self.EPS, 1 - self.EPS)
        self.output = -np.sum(target * np.log(clipped)) / input.shape[0]
        return self.output

    def updateGradInput(self, input, target):
        clipped = np.clip(input, self.EPS, 1 - self.EPS)
        self.gradInput = -(target / clipped) / input.shape[0]
        return self.gradInput


class ClassNLLCriterion(Criterion):
    def updateOutput(self, input, target):
        self.output = -np.sum(target * input) / input.shape[0]
        return self.output

    def updateGradInput(self, input, target):
        self.gradInput = -target / input.shape[0]
        return self.gradInput


def pairs(variables, gradients):
    """The arrays of two nested lists, side by side, in order."""
    for variable, gradient in zip(variables, gradients, strict=True):
        if isinstance(variable, np.ndarray):
            yield variable, gradient
        else:
            yield from pairs(variable, gradient)


def sgd_momentum(variables, gradients, config, state):
    state.setdefault("accumulated_grads", {})
    for index, (variable, gradient) in enumerate(pairs(variables, gradients)):
        old = state["accumulated_grads"].setdefault(index, np.zeros_like(gradient))
        np.add(config["momentum"] * old, config["learning_rate"] * gradient, out=old)
        variable -= old


def adam_optimizer(variables, gradients, config, state):
    state.setdefault("m", {})
    state.setdefault("v", {})
    state["t"] = state.get("t", 0) + 1
    beta1, beta2 = config["beta1"], config["beta2"]
    rate = config["learning_rate"] * np.sqrt(1 - beta2 ** state["t"]) / (1 - beta1 ** state["t"])
    for index, (variable, gradient) in enumerate(pairs(variables, gradients)):
        m = state["m"].setdefault(index, np.zeros_like(gradient))
        v = state["v"].setdefault(index, np.zeros_like(gradient))
        np.add(beta1 * m, (1 - beta1) * gradient, out=m)
        np.add(beta2 * v, (1 - beta2) * gradient**2, out=v)
        variable -= rate * m / (np.sqrt(v) + config["epsilon"])

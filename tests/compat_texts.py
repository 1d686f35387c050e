"""Small frameworks in the five spellings, and notebooks, as text: what the tests of `check` and `port` read."""

import json

TORCH7 = """\
import numpy as np


class Module(object):
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
        pass

    def updateGradInput(self, input, gradOutput):
        pass

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
        return "Module"


class Sequential(Module):
    def __init__(self):
        super(Sequential, self).__init__()
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
        for module, seen in zip(self.modules[::-1], inputs[::-1]):
            gradOutput = module.backward(seen, gradOutput)
        self.gradInput = gradOutput
        return gradOutput

    def zeroGradParameters(self):
        for module in self.modules:
            module.zeroGradParameters()

    def getParameters(self):
        return [module.getParameters() for module in self.modules]

    def getGradParameters(self):
        return [module.getGradParameters() for module in self.modules]

    def __getitem__(self, i):
        return self.modules[i]


class Linear(Module):
    def __init__(self, n_in, n_out):
        super(Linear, self).__init__()
        bound = 1.0 / np.sqrt(n_in)
        self.W = np.random.uniform(-bound, bound, size=(n_out, n_in))
        self.b = np.random.uniform(-bound, bound, size=n_out)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def updateOutput(self, input):
        self.output = input.dot(self.W.T) + self.b
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput.dot(self.W)
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        self.gradW += gradOutput.T.dot(input)
        self.gradb += gradOutput.sum(axis=0)

    def zeroGradParameters(self):
        self.gradW.fill(0)
        self.gradb.fill(0)

    def getParameters(self):
        return [self.W, self.b]

    def getGradParameters(self):
        return [self.gradW, self.gradb]


class ReLU(Module):
    def __init__(self):
        super(ReLU, self).__init__()

    def updateOutput(self, input):
        self.output = np.maximum(input, 0)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput * (input > 0)
        return self.gradInput


class BatchNormalization(Module):
    EPS = 1e-3

    def __init__(self, alpha=0.0):
        super(BatchNormalization, self).__init__()
        self.alpha = alpha


class Criterion(object):
    def forward(self, input, target):
        return self.updateOutput(input, target)

    def backward(self, input, target):
        return self.updateGradInput(input, target)


class ClassNLLCriterionUnstable(Criterion):
    EPS = 1e-15

    def updateOutput(self, input, target):
        self.output = -np.sum(target * np.log(np.clip(input, self.EPS, 1 - self.EPS))) / len(input)
        return self.output


class ClassNLLCriterion(Criterion):
    def updateOutput(self, input, target):
        self.output = -np.sum(target * input) / len(input)
        return self.output

    def updateGradInput(self, input, target):
        self.gradInput = -target / len(input)
        return self.gradInput


def sgd_momentum(variables, gradients, config, state):
    for layer, grads in zip(variables, gradients):
        for w, g in zip(layer, grads):
            w -= config["learning_rate"] * g
"""

TORCH7_2017 = """\
import numpy as np

class Module(object):
    def forward(self, input):
        return self.updateOutput(input)

    def backward(self, input, gradOutput):
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput)
        return self.gradInput

    def training(self):
        self.training = True

    def evaluate(self):
        self.training = False

class Linear(Module):
    def __init__(self, n_in, n_out):
        self.W = np.random.uniform(-1, 1, size=(n_in, n_out))
        self.b = np.zeros(n_out)

    def accGradParameters(self, input, gradOutput):
        self.gradW = input.T.dot(gradOutput)
        self.gradb = gradOutput.sum(axis=0)

class Criterion(object):
    pass

class ClassNLLCriterion(Criterion):
    def updateOutput(self, input, target):
        input = np.clip(input, 1e-15, 1 - 1e-15)
        return -np.sum(target * np.log(input)) / len(input)

def sgd_momentum(x, dx, config, state):
    state.setdefault("old_grad", {})
"""

SNAKE = """\
import numpy as np

class Module:
    def forward(self, input):
        return self.update_output(input)

    def backward(self, input, grad_output):
        self.update_grad_input(input, grad_output)
        self.update_grad_params(input, grad_output)
        return self.grad_input

    def get_parameters(self):
        return []

    def get_grad_params(self):
        return []

class Linear(Module):
    def __init__(self, n_in, n_out):
        self.W = np.random.uniform(-1, 1, size=(n_in, n_out))
        self.b = np.zeros(n_out)

    def update_grad_params(self, input, grad_output):
        self.gradW = input.T @ grad_output

class Scaling(Module):
    def __init__(self, n_out):
        self.gamma = np.ones((1, n_out))

class Criterion:
    pass

class NLLCriterionUnstable(Criterion):
    EPS = 1e-15

def SGD(variables, gradients, config, state):
    pass
"""

PLAIN = """\
import numpy as np

class Module:
    def __init__(self):
        self._train = True

    def forward(self, input):
        raise NotImplementedError

    def backward(self, input, grad_output):
        raise NotImplementedError

    def parameters(self):
        return []

    def grad_parameters(self):
        return []

    def train(self):
        self._train = True

    def eval(self):
        self._train = False

class Sequential(Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers

class Linear(Module):
    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.W = np.random.randn(dim_out, dim_in)
        self.b = np.zeros(dim_out)

class MSE(Module):
    def forward(self, input, target):
        return ((input - target) ** 2).sum() / len(input)
"""

SEMINAR = """\
import numpy as np

class Module(object):
    def forward(self, input):
        assert False

    def backward(self, input, gradOutput):
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput)
        return self.gradInput

    def updateGradInput(self, input, gradOutput):
        assert False

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

class Linear(Module):
    def __init__(self, n_in, n_out):
        self.W = np.random.uniform(-1, 1, size=(n_out, n_in))
        self.gradW = np.zeros_like(self.W)

    def dumb_forward(self, input):
        return input

    def forward(self, input):
        return input.dot(self.W.T)

class Sigmoid(Module):
    def forward(self, input):
        self.output = 1 / (1 + np.exp(-input))
        return self.output
"""

FRAMEWORKS = {"torch7": TORCH7, "torch7_2017": TORCH7_2017, "snake": SNAKE, "plain": PLAIN, "seminar": SEMINAR}

PROGRAM = """\
from modules import *

net = Sequential()
net.add(Linear(4, 3))
net.add(ReLU())
criterion = ClassNLLCriterion()
net.zeroGradParameters()
loss = criterion.forward(net.forward(np.ones((2, 4))), np.eye(3)[:2])
"""

OWN_LAYER = """

class Twice(Module):
    def updateOutput(self, input):
        self.output = 2 * input
        return self.output
"""


def changed(text, *pairs):
    """A text with replacements, each of which has to be found."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def notebook(*cells, lines=True, version=4, indent=1, metadata=None):
    """The JSON of a notebook of code cells; a cell's text as a list of lines or as one string."""
    key = "source" if version == 4 else "input"
    sources = [cell.splitlines(keepends=True) if lines else cell for cell in cells]
    found = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            key: source,
            "outputs": [{"text": ["\u044f \\ \n"]}],
        }
        for source in sources
    ]
    prose = {
        "cell_type": "markdown",
        "metadata": {},
        "source": ["from modules import *\n", "# \u041f\u0440\u0438\u0432\u0435\u0442"],
    }
    inner = {"cells": [prose, *found]} if version == 4 else {"worksheets": [{"cells": [prose, *found]}]}
    book = {**inner, "metadata": metadata or {"name": "n"}, "nbformat": version, "nbformat_minor": 0}
    return json.dumps(book, indent=indent, ensure_ascii=False) + "\n"

"""Layers and a loss of one's own between those of the framework: a residual block, a gate, a penalty, Huber's loss."""

from fastnn.compat.torch7 import *

np.random.seed(5)


class Residual(Module):
    """x + f(x), the inner layers run by their hooks."""

    def __init__(self, size):
        super(Residual, self).__init__()
        self.first = Linear(size, size)
        self.act = SoftPlus()

    def updateOutput(self, inpt):
        self.hidden = self.first.updateOutput(inpt)
        self.output = inpt + self.act.updateOutput(self.hidden)
        return self.output

    def updateGradInput(self, inpt, gradOutput):
        self.inner = self.act.updateGradInput(self.hidden, gradOutput)
        self.gradInput = gradOutput + self.first.updateGradInput(inpt, self.inner)
        return self.gradInput

    def accGradParameters(self, inpt, gradOutput):
        self.first.accGradParameters(inpt, self.inner)

    def zeroGradParameters(self):
        self.first.zeroGradParameters()

    def getParameters(self):
        return self.first.getParameters()

    def getGradParameters(self):
        return self.first.getGradParameters()

    def __repr__(self):
        return "Residual"


class Gate(Module):
    """One learnt number a feature."""

    def __init__(self, size):
        super(Gate, self).__init__()
        self.g = np.ones(size)
        self.gradg = np.zeros(size)

    def updateOutput(self, _input):
        self.output = _input * self.g
        return self.output

    def updateGradInput(self, _input, gradOutput):
        self.gradInput = gradOutput * self.g  # stored, not returned

    def accGradParameters(self, _input, gradOutput):
        self.gradg = np.sum(_input * gradOutput, axis=0)

    def getParameters(self):
        return [self.g]

    def getGradParameters(self):
        return [self.gradg]


class DecayedLinear(Linear):
    def accGradParameters(self, input, gradOutput):
        super(DecayedLinear, self).accGradParameters(input, gradOutput)
        self.gradW += 1e-2 * self.W


class Huber(Criterion):
    def updateOutput(self, input, target):
        self.diff = input - target
        small = np.abs(self.diff) < 1
        self.output = np.where(small, 0.5 * self.diff**2, np.abs(self.diff) - 0.5).sum() / len(input)
        return self.output

    def updateGradInput(self, input, target):
        self.gradInput = np.clip(self.diff, -1, 1) / len(input)
        return self.gradInput


X = np.random.normal(size=(200, 3))
Y = np.sin(X) @ np.array([[1.0], [-2.0], [0.5]])

net = Sequential()
net.add(DecayedLinear(3, 8))
net.add(Residual(8))
net.add(Gate(8))
net.add(Linear(8, 1))
huber = Huber()
config, state = {"learning_rate": 0.03, "momentum": 0.8}, {}
for step in range(60):
    net.zeroGradParameters()
    prediction = net.forward(X)
    loss = huber.forward(prediction, Y)
    net.backward(X, huber.backward(prediction, Y))
    sgd_momentum(net.getParameters(), net.getGradParameters(), config, state)
    if step % 10 == 9:
        print(step + 1, loss)
print(net.modules[2].g)
print(len(net.getParameters()), [len(group) for group in net.getParameters()])

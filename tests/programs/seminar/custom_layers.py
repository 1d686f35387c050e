"""Modules that override forward and backward themselves, as the seminar's do: a bias, a maximum of pairs, L1 loss."""

from fastnn.compat.seminar import *

np.random.seed(27)


class Bias(Module):
    def __init__(self, n):
        super(Bias, self).__init__()
        self.W = np.zeros(n)
        self.gradW = np.zeros(n)

    def forward(self, x):
        self.output = x + self.W
        return self.output

    def backward(self, x, gradOutput):
        self.gradW = gradOutput.sum(axis=0)
        self.gradInput = gradOutput
        return self.gradInput

    def getParameters(self):
        return [self.W]

    def getGradParameters(self):
        return [self.gradW]


class MaxOut(Module):
    """The larger of each two neighbours."""

    def forward(self, x):
        pairs = x.reshape(len(x), -1, 2)
        self.winner = pairs == pairs.max(axis=2, keepdims=True)
        self.output = pairs.max(axis=2)
        return self.output

    def updateGradInput(self, x, gradOutput):
        self.gradInput = (self.winner * gradOutput[:, :, None]).reshape(x.shape)
        return self.gradInput


class L1(Criterion):
    def forward(self, x, target):
        self.output = np.abs(x - target).sum() / len(x)
        return self.output

    def backward(self, x, target):
        self.gradInput = np.sign(x - target) / len(x)
        return self.gradInput


X = np.random.uniform(-2, 2, (200, 2))
T = np.max(X, axis=1, keepdims=True) ** 2

net = Sequential()
for layer in (Linear(2, 12), Bias(12), MaxOut(), Linear(6, 6), Bias(6), ReLU(), Linear(6, 1), Bias(1)):
    net.add(layer)
criterion = L1()
for step in range(120):
    y = net.forward(X)
    loss = criterion.forward(y, T)
    net.backward(X, criterion.backward(y, T))
    for layer in net.modules:
        if hasattr(layer, "W"):
            layer.W -= 0.02 * layer.gradW
    if step % 30 == 0:
        print(step, loss)
print(net.modules[1].W, net.modules[-1].W)

"""Cells of a notebook run one after another: a class is redefined, the framework is imported anew, training goes on."""

# In [1]
import importlib

import fastnn.compat.torch7 as framework
from fastnn.compat.torch7 import *

np.random.seed(21)
X = np.random.normal(size=(256, 6))
Y = np.eye(3)[np.argmax(X[:, :3] + X[:, 3:] ** 2, axis=1)]

# In [2]
net = Sequential()
net.add(Linear(6, 16))
net.add(Tanh())
criterion = ClassNLLCriterionUnstable()
config, state = {"learning_rate": 0.1, "momentum": 0.9}, {}


# In [3]
def fit(net, steps):
    for _ in range(steps):
        rows = np.random.choice(len(X), 64, replace=False)
        net.zeroGradParameters()
        p = net.forward(X[rows])
        loss = criterion.forward(p, Y[rows])
        net.backward(X[rows], criterion.backward(p, Y[rows]))
        sgd_momentum(net.getParameters(), net.getGradParameters(), config, state)
    return loss


# In [4]
class Linear(Linear):
    """The same layer, with He's initialisation and a counter."""

    def __init__(self, n_in, n_out):
        super(Linear, self).__init__(n_in, n_out)
        self.W = np.random.normal(0, np.sqrt(2 / n_in), size=(n_out, n_in))
        self.calls = 0

    def updateOutput(self, input):
        self.calls += 1
        self.output = np.dot(input, self.W.T) + self.b
        return self.output


net.add(Linear(16, 16))
net.add(Tanh())
first_output = net.forward(X[:4])
kept = first_output.copy()

# In [5]
importlib.reload(framework)
from fastnn.compat.torch7 import *

net.add(Linear(16, 3))
net.add(SoftMax())
print(fit(net, 30))

# In [6]
criterion = ClassNLLCriterionUnstable()
bigger = Sequential()
bigger.add(net)
bigger.add(Dropout(0.0))
state = {}
print(fit(bigger, 30))
print(net.modules[2].calls, np.array_equal(first_output, kept))
print(bigger)

# In [7]
bigger.evaluate()
print(np.mean(bigger.forward(X).argmax(1) == Y.argmax(1)), sum(m.training for m in net.modules))

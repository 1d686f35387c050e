"""A notebook: the student's Linear and ReLU over the imported ones, the import repeated, the weights carried over."""

from fastnn.compat.seminar import *

np.random.seed(3)
X = np.random.normal(size=(100, 5))
T = np.tanh(X @ np.random.normal(size=(5, 1)))
mse = MSECriterion()


def train(first, act, second, steps=20):
    for _ in range(steps):
        h = first.forward(X)
        a = act.forward(h)
        y = second.forward(a)
        loss = mse.forward(y, T)
        first.backward(X, act.backward(h, second.backward(a, mse.backward(y, T))))
        for layer in (first, second):
            layer.W -= 0.05 * layer.gradW
    return loss


one = Linear(5, 8), ReLU(), Linear(8, 1)
print(train(*one))


# next cell
class Linear(Linear):
    def __init__(self, n_in, n_out):
        super(Linear, self).__init__(n_in, n_out)
        self.W *= 2

    def forward(self, input):
        self.output = np.einsum("ni,oi->no", input, self.W)
        return self.output


class ReLU(Module):
    def forward(self, input):
        self.output = np.maximum(0, input)
        return self.output

    def backward(self, input, gradOutput):
        self.gradInput = gradOutput * (input > 0)
        return self.gradInput


two = Linear(5, 8), ReLU(), Linear(8, 1)
print(train(*two), train(*one))

# next cell
import importlib

import fastnn.compat.seminar as nn

importlib.reload(nn)
from fastnn.compat.seminar import *

three = Linear(5, 8), Sigmoid(), Linear(8, 1)
three[0].W, three[2].W = two[0].W.copy(), two[2].W
print(train(*three), train(one[0], two[1], three[2]), train(*two))
net = Sequential()
for layer in (one[0], two[1], three[2]):
    net.add(layer)
print(np.array_equal(net.forward(X), three[2].forward(two[1].forward(one[0].forward(X)))), mse.forward(net.output, T))

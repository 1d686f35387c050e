"""A notebook: layers are redefined one by one over the imported ones, the module is reloaded, the fit goes on."""

# [1]
from fastnn.compat.plain import *

np.random.seed(70)
X = np.random.normal(size=(120, 4)).astype(np.float32)
Y = np.stack([X[:, 0] * X[:, 1], X[:, 2] - X[:, 3]], axis=1)


# [2]
def fit(net, epochs, lr=0.05):
    criterion = MSE()
    for _ in range(epochs):
        for start in range(0, len(X), 40):
            x, t = X[start : start + 40], Y[start : start + 40]
            out = net.forward(x)
            value = criterion.forward(out, t)
            net.backward(x, criterion.backward(out, t))
            SGD(net.parameters(), net.grad_parameters(), lr)
    return value


net = Sequential(Linear(4, 12), ReLU(), Linear(12, 2))
print(fit(net, 10))


# [3]
class Linear(Linear):
    def __init__(self, dim_in, dim_out):
        super(Linear, self).__init__(dim_in, dim_out)
        self.b = np.zeros(dim_out)


class ReLU(Module):
    def forward(self, input):
        self.output = (np.abs(input) + input) / 2
        return self.output

    def backward(self, input, grad_output):
        return grad_output * (np.sign(input) + 1) / 2


class MSE(MSE):
    def backward(self, input, target):
        return 0.5 * super(MSE, self).backward(input, target)


second = Sequential(Linear(4, 12), ReLU(), net.layers[2])
print(fit(second, 10), fit(net, 2))
head, body = second.layers[0], second.layers[1:]

# [4]
import importlib

import fastnn.compat.plain as plain

importlib.reload(plain)
from fastnn.compat.plain import *

third = Sequential(head, Tanh(), *body)
print(fit(third, 10), fit(second, 2))

# [5]
fourth = Sequential(third, Linear(2, 2))
print(fit(fourth, 5, lr=0.01), len(fourth.parameters()))
print(third.forward(X).dtype, type(fourth.layers) is tuple)

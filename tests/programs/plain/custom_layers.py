"""Plain modules of one's own: radial features with learnt centres, a squashing layer, the log-cosh loss."""

from fastnn.compat.plain import *

np.random.seed(44)


class Radial(Module):
    """exp(-(x - c)^2) for every centre c of one feature; the centres are learnt."""

    def __init__(self, count):
        super().__init__()
        self.c = np.linspace(-2, 2, count)
        self.grad_c = np.zeros(count)

    def forward(self, input):
        self.output = np.exp(-((input - self.c) ** 2))
        return self.output

    def backward(self, input, grad_output):
        inner = 2 * (input - self.c) * np.exp(-((input - self.c) ** 2)) * grad_output
        self.grad_c = inner.sum(axis=0)
        return -inner.sum(axis=1, keepdims=True)

    def parameters(self):
        return [self.c]

    def grad_parameters(self):
        return [self.grad_c]


class Squash(Module):
    def forward(self, x):
        self.output = x / (1 + np.abs(x))
        return self.output

    def backward(self, x, g):
        return g / (1 + np.abs(x)) ** 2


class ClippedLinear(Linear):
    """Gradients beyond 0.1 are cut."""

    def backward(self, input, grad_output):
        result = super().backward(input, grad_output)
        np.clip(self.grad_W, -0.1, 0.1, out=self.grad_W)
        np.clip(self.grad_b, -0.1, 0.1, out=self.grad_b)
        return result


class LogCosh(Criterion):
    def forward(self, input, target):
        self.output = np.log(np.cosh(input - target)).mean()
        return self.output

    def backward(self, input, target):
        self.grad_output = np.tanh(input - target) / input.size
        return self.grad_output


x = np.random.uniform(-3, 3, (150, 1))
t = np.cos(2 * x)
net = Sequential(Radial(9), ClippedLinear(9, 7), Squash(), Linear(dim_in=7, dim_out=1))
loss = LogCosh()
for step in range(80):
    y = net.forward(x)
    value = loss.forward(y, t)
    net.backward(x, loss.backward(y, t))
    SGD(net.parameters(), net.grad_parameters(), lr=0.5)
    if step % 20 == 0:
        print(step, value)
print(net.layers[0].c)
print(len(net.parameters()), net.layers[1].grad_W.max() <= 0.1)

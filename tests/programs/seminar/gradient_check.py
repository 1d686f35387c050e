"""One-sided differences with a step of 1e-8, a column of the input and a row of the weights at a time."""

from fastnn.compat.seminar import *

np.random.seed(19)
EPS = 1e-8


def total(layer, x):
    return layer.forward(x).sum()


x = np.random.uniform(0.2, 1, (5, 4)) * np.random.choice([-1, 1], (5, 4))
for layer in (
    Linear(4, 3),
    ReLU(),
    Sigmoid(),
    Tanh(),
    LeakyReLU(0.3),
    ELU(2.0),
    SoftPlus(),
    LogSoftMax(),
    ChannelwiseScaling(4),
):
    base = total(layer, x)
    dx = layer.backward(x, np.ones_like(layer.output))
    for j in range(4):
        moved = x.copy()
        moved[:, j] += EPS
        print(type(layer).__name__, j, abs((total(layer, moved) - base) / EPS - dx[:, j].sum()) < 1e-5)

layer = Linear(4, 3)
base = total(layer, x)
layer.backward(x, np.ones((5, 3)))
for i in range(3):
    layer.W[i] += EPS
    print("W", i, abs((total(layer, x) - base) / EPS - layer.gradW[i].sum()) < 1e-5)
    layer.W[i] -= EPS

a, b = Linear(4, 4), Linear(4, 2)
sigmoid, mse, t = Sigmoid(), MSECriterion(), np.random.normal(size=(5, 2))


def run(x):
    return mse.forward(b.forward(sigmoid.forward(a.forward(x))), t)


base = run(x)
db = b.backward(sigmoid.output, mse.backward(b.output, t))
da = a.backward(x, sigmoid.backward(a.output, db))
for j in range(4):
    moved = x.copy()
    moved[0, j] += EPS
    print("chain", j, abs((run(moved) - base) / EPS - da[0, j]) < 1e-5)

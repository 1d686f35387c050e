"""Every derivative of a small net against finite differences with a step of 1e-8."""

from fastnn.compat.torch7 import *

np.random.seed(3)
EPS = 1e-8


def numeric(f, array):
    """df/darray, one element after another, changed in place."""
    grad = np.zeros_like(array)
    for i in np.ndindex(*array.shape):
        kept = array[i]
        array[i] = kept + EPS
        above = f()
        array[i] = kept - EPS
        below = f()
        array[i] = kept
        grad[i] = (above - below) / (2 * EPS)
    return grad


def check(layer, x):
    dy = np.random.uniform(-1, 1, np.shape(layer.forward(x)))
    layer.zeroGradParameters()
    dx = layer.backward(x, dy)
    worst = np.abs(dx - numeric(lambda: np.sum(layer.forward(x) * dy), x)).max()
    for weights, grads in zip(layer.getParameters(), layer.getGradParameters()):
        weights, grads = (weights, grads) if isinstance(weights, list) else ([weights], [grads])
        for w, g in zip(weights, grads):
            worst = max(worst, np.abs(g - numeric(lambda: np.sum(layer.forward(x) * dy), w)).max())
    return worst < 1e-5


x = np.random.normal(size=(5, 4))
for layer in [Linear(4, 3), SoftMax(), LogSoftMax(), BatchNormalization(0.5), ChannelwiseScaling(4), ReLU(),
              LeakyReLU(), ELU(), SoftPlus(), Sigmoid(), Tanh(), Flatten()]:  # fmt: skip
    print(type(layer).__name__, check(layer, x))

net = Sequential()
for part in [Linear(4, 6), BatchNormalization(), ChannelwiseScaling(6), ELU(), Linear(6, 3), LogSoftMax()]:
    net.add(part)
print(check(net, x))

target = np.eye(3)[[0, 1, 2, 1, 0]]
p = np.random.dirichlet(np.ones(3), 5)
for criterion in [MSECriterion(), ClassNLLCriterion(), ClassNLLCriterionUnstable()]:
    grad = criterion.backward(p, target)
    print(np.abs(grad - numeric(lambda: criterion.forward(p, target), p)).max() < 1e-5)

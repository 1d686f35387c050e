"""Gradients against differences of 1e-8, inputs and weights, in training and in evaluation."""

from fastnn.compat.plain import *

np.random.seed(23)
step = 1e-8


def difference(f, array):
    result = np.empty(array.shape)
    for i in np.ndindex(*array.shape):
        array[i] += step
        plus = f()
        array[i] -= 2 * step
        minus = f()
        array[i] += step
        result[i] = (plus - minus) / (2 * step)
    return result


def error(layer, x):
    g = np.random.uniform(0.5, 1, layer.forward(x).shape)
    dx = layer.backward(x, g)
    grads = [grad.copy() for grad in layer.grad_parameters()]
    errors = [np.abs(dx - difference(lambda: (layer.forward(x) * g).sum(), x)).max()]
    for w, grad in zip(layer.parameters(), grads):
        errors.append(np.abs(grad - difference(lambda: (layer.forward(x) * g).sum(), w)).max())
    return max(errors)


x = np.random.uniform(0.1, 2, (4, 3)) * np.random.choice([-1, 1], (4, 3))
for layer in (Linear(3, 5), ReLU(), LeakyReLU(0.2), ELU(), SoftPlus(), Sigmoid(), Tanh(), SoftMax(), LogSoftMax(),
              BatchNormalization(), ChannelwiseScaling(3), Flatten()):  # fmt: skip
    print(layer.__class__.__name__, error(layer, x) < 1e-5)

net = Sequential(Linear(3, 6), ELU(), Sequential(Linear(6, 6), Tanh(), Dropout(0.5)), Linear(6, 2), LogSoftMax())
net.eval()
print("net", error(net, x) < 1e-5)

p, t = np.random.dirichlet(np.ones(4), 3), np.eye(4)[[0, 3, 1]]
for criterion in (MSE(), CrossEntropy(), NLL()):
    print(np.abs(criterion.backward(p, t) - difference(lambda: criterion.forward(p, t), p)).max() < 1e-5)

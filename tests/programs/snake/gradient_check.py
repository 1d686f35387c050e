"""Central differences with a step of 1e-8 along random directions, for every layer and for a deep net."""

from fastnn.compat.snake import *

np.random.seed(11)
h = 1e-8


def slope(f, array, direction):
    start = array.copy()
    array[...] = start + h * direction
    up = f()
    array[...] = start - h * direction
    down = f()
    array[...] = start
    return (up - down) / (2 * h)


def flat(nested):
    return [leaf for item in nested for leaf in flat(item)] if isinstance(nested, list) else [nested]


def check(layer, x):
    dy = np.random.normal(size=layer.forward(x).shape)
    grads = [layer.backward(x, dy), *flat(layer.get_grad_params())]
    arrays = [x, *flat(layer.get_parameters())]
    answers = []
    for array, grad in zip(arrays, grads):
        direction = np.random.choice([-1.0, 1.0], array.shape)
        found = slope(lambda: np.sum(layer.forward(x) * dy), array, direction)
        answers.append(bool(abs(np.sum(grad * direction) - found) < 1e-4))
    return answers


x = np.random.uniform(0.05, 1, (6, 5)) * np.random.choice([-1, 1], (6, 5))
for layer in [Linear(5, 4), ReLU(), LeakyReLU(), ELU(), SoftPlus(), Sigmoid(), Tanh(), SoftMax(), LogSoftMax(),
              BatchNormalization(), Scaling(5)]:  # fmt: skip
    print(layer.__class__.__name__, check(layer, x))

deep = Sequential()
for width in (5, 7, 7):
    deep.add(Linear(width, 7))
    deep.add(BatchNormalization(0.9))
    deep.add(Scaling(7))
    deep.add(ELU())
deep.add(LogSoftMax())
print(check(deep, x))

p, t = np.random.dirichlet(np.ones(3), 4), np.eye(3)[[0, 2, 2, 1]]
for criterion in [MSECriterion(), NLLCriterion(), NLLCriterionUnstable()]:
    direction = np.random.choice([-1.0, 1.0], p.shape)
    found = slope(lambda: criterion.forward(p, t), p, direction)
    print(abs(np.sum(criterion.backward(p, t) * direction) - found) < 1e-4)

"""One-sided finite differences with a step of 1e-8, for inputs and for weights."""

from fastnn.compat.torch7_2017 import *

np.random.seed(17)


def eval_numerical_gradient(f, x, eps=1e-8):
    value, grad = f(x), np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        place = it.multi_index
        before = x[place]
        x[place] = before + eps
        grad[place] = (f(x) - value) / eps
        x[place] = before
        it.iternext()
    return grad


points = np.random.uniform(0.1, 1, (6, 3)) * np.random.choice([-1, 1], (6, 3))
for layer in (Linear(3, 2), ReLU(), LeakyReLU(0.1), ELU(0.7), SoftPlus(), Sigmoid(), Tanh(), SoftMax(), LogSoftMax(),
              BatchNormalization(), ChannelwiseScaling(3)):  # fmt: skip
    dy = np.random.normal(size=layer.forward(points).shape)
    ours = layer.backward(points, dy)
    grads = [grad.copy() for grad in layer.getGradParameters()]
    numeric = eval_numerical_gradient(lambda x: (layer.forward(x) * dy).sum(), points)
    print(layer.__class__.__name__, np.allclose(ours, numeric, atol=1e-5))
    for weight, grad in zip(layer.getParameters(), grads):
        print(
            "   weight",
            np.allclose(grad, eval_numerical_gradient(lambda _: (layer.forward(points) * dy).sum(), weight), atol=1e-5),
        )

probabilities = np.random.dirichlet(np.ones(4), 5)
answers = np.eye(4)[[3, 1, 0, 0, 2]]
for criterion in (ClassNLLCriterion(), LogClassNLLCriterion(), MSECriterion()):
    ours = criterion.backward(probabilities, answers)
    print(
        np.allclose(
            ours, eval_numerical_gradient(lambda p: criterion.forward(p, answers), probabilities), rtol=1e-4, atol=1e-5
        )
    )

"""Everything written out: a few examples at a time, accGradParameters and updateGradInput called by name, loops."""

import numpy as np
from fastnn.compat.seminar import *

np.random.seed(12)
X = np.random.randint(0, 5, (30, 6))
T = (X.sum(axis=1, keepdims=True) - 12) / 5.0

first, sigmoid, second, mse = Linear(n_in=6, n_out=5), Sigmoid(), Linear(n_in=5, n_out=1), MSECriterion()
for epoch in range(5):
    losses = []
    for i in range(0, 30, 3):
        x, t = X[i : i + 3], T[i : i + 3]
        assert np.allclose(first.dumb_forward(x), first.forward(x))
        y = second.forward(sigmoid.forward(first.output))
        losses.append(mse.forward(y, t))
        dy = mse.updateGradInput(y, t)
        second.accGradParameters(sigmoid.output, dy)
        ds = second.updateGradInput(sigmoid.output, dy)
        dh = sigmoid.updateGradInput(first.output, ds)
        first.accGradParameters(x, dh)
        for layer in (first, second):
            for row in range(layer.W.shape[0]):
                for column in range(layer.W.shape[1]):
                    layer.W[row, column] -= 0.05 * layer.gradW[row, column]
    print(epoch, np.mean(losses))
print(first.W)

"""Four squares of a chessboard, 2-4-2, momentum; the loop of the early edition, learning curve printed at the end."""

import numpy as np
from fastnn.compat.torch7_2017 import *

np.random.seed(0)

n = 128
X = np.random.uniform(-1, 1, (8 * n, 2)) + 0.1
labels = (X[:, 0] * X[:, 1] > 0).astype(int)
Y = np.zeros((8 * n, 2))
Y[np.arange(8 * n), labels] = 1.0


def get_batches(dataset, batch_size):
    X, Y = dataset
    indices = np.arange(X.shape[0])
    np.random.shuffle(indices)
    for start in range(0, X.shape[0], batch_size):
        batch_idx = indices[start : start + batch_size]
        yield X[batch_idx], Y[batch_idx]


net = Sequential()
net.add(Linear(2, 4))
net.add(LeakyReLU())
net.add(Linear(4, 2))
net.add(SoftMax())

criterion = ClassNLLCriterion()
optimizer_config = {"learning_rate": 0.8, "momentum": 0.7, "name": "not read"}
optimizer_state = {}
loss_history = []

for i in range(15):
    for x_batch, y_batch in get_batches((X, Y), n):
        net.zeroGradParameters()
        predictions = net.forward(x_batch)
        loss = criterion.forward(predictions, y_batch)
        dp = criterion.backward(predictions, y_batch)
        net.backward(x_batch, dp)
        sgd_momentum(net.getParameters(), net.getGradParameters(), optimizer_config, optimizer_state)
        loss_history.append(loss)

print(loss_history)
print(np.mean(np.argmax(net.forward(X), axis=1) == labels))
print(sorted(optimizer_state["accumulated_grads"]), [v.shape for v in optimizer_state["accumulated_grads"].values()])
print("W\n", net.modules[0].W)

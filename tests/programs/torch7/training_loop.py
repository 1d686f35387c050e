"""A disc inside a ring, 2-4-2, momentum; batches are shuffled by the global generator."""

from fastnn.compat.torch7 import *

np.random.seed(13)

radius = np.concatenate([np.random.uniform(0, 1, 512), np.random.uniform(2, 3, 512)])
angle = np.random.uniform(0, 2 * np.pi, 1024)
X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
Y = np.eye(2)[(radius > 1.5).astype(int)]


def get_batches(X, Y, batch_size):
    order = np.arange(len(X))
    np.random.shuffle(order)
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        yield X[rows], Y[rows]


net = Sequential()
net.add(Linear(2, 4))
net.add(ReLU())
net.add(Linear(4, 2))
net.add(LogSoftMax())
criterion = ClassNLLCriterion()
print(net)

optimizer_config = {"learning_rate": 5e-1, "momentum": 0.9}
optimizer_state = {}

for epoch in range(12):
    for x_batch, y_batch in get_batches(X, Y, 128):
        net.zeroGradParameters()

        predictions = net.forward(x_batch)
        loss = criterion.forward(predictions, y_batch)

        dp = criterion.backward(predictions, y_batch)
        net.backward(x_batch, dp)

        sgd_momentum(net.getParameters(), net.getGradParameters(), optimizer_config, optimizer_state)
    if epoch == 8:
        optimizer_config["learning_rate"] = 1e-1  # read at every call
    print(epoch, loss)

print("accuracy", np.mean(net.forward(X).argmax(axis=-1) == Y.argmax(axis=-1)))

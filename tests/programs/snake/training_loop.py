"""XOR with noise, 2-4-2: the loop of task 8; outputs of all layers are looked at through Sequential.output."""

from fastnn.compat.snake import *

np.random.seed(31)

corners = np.random.randint(0, 2, (1024, 2))
X = corners + np.random.normal(0, 0.15, (1024, 2))
y = corners[:, 0] ^ corners[:, 1]
Y = np.eye(2)[y]


def get_batches(X, Y, batch_size):
    perm = np.random.permutation(len(X))
    for i in range(0, len(X), batch_size):
        yield X[perm[i : i + batch_size]], Y[perm[i : i + batch_size]]


net = Sequential()
net.add(Linear(2, 4))
net.add(ReLU())
net.add(Linear(4, 2))
net.add(LogSoftMax())
criterion = NLLCriterion()

config, state = {"learning_rate": 0.5, "momentum": 0.9}, {}
for epoch in range(12):
    losses = []
    for x_batch, y_batch in get_batches(X, Y, 128):
        net.zero_grad_params()
        predictions = net.forward(x_batch)
        losses.append(criterion.forward(predictions, y_batch))
        grad = net.backward(x_batch, criterion.backward(predictions, y_batch))
        SGD(net.get_parameters(), net.get_grad_params(), config, state)
    config["learning_rate"] *= 0.9
    print(epoch, np.mean(losses))

print([o.shape for o in net.output], [g.shape for g in net.grad_input], net.output[-1] is predictions)
print(grad is net.grad_input[-1], np.mean(net.forward(X).argmax(axis=1) == y))
print(net)

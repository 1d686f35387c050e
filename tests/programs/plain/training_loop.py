"""Sequential(*layers), SGD(parameters, gradients, lr): three stripes told apart, 2-4-3."""

from fastnn.compat.plain import *

np.random.seed(14)

X = np.random.uniform(-1, 1, size=(1024, 2))
y = np.digitize(X[:, 0] + X[:, 1], [-0.4, 0.4])
Y = np.eye(3)[y]


def get_batches(X, Y, batch_size=128):
    idx = np.arange(len(X))
    np.random.shuffle(idx)
    for start in range(0, len(X), batch_size):
        part = idx[start : start + batch_size]
        yield X[part], Y[part]


net = Sequential(Linear(2, 4), ReLU(), Linear(4, 3), SoftMax())
criterion = CrossEntropy()
lr = 0.7

for epoch in range(15):
    total = 0.0
    for xb, yb in get_batches(X, Y):
        pred = net.forward(xb)
        loss = criterion.forward(pred, yb)
        total += loss
        net.backward(xb, criterion.backward(pred, yb))
        SGD(net.parameters(), net.grad_parameters(), lr)
    if epoch % 5 == 4:
        lr /= 2
    print(epoch, total / 8)

print("accuracy", (net.forward(X).argmax(axis=1) == y).mean())
print([w.shape for w in net.parameters()], [g.shape for g in net.grad_parameters()])
print(net.layers[0].W)

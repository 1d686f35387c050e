"""784-100-10 on made-up digits with the seminar's names: no biases, train() and eval(), weights are updated by hand."""

from fastnn.compat.seminar import *

np.random.seed(15)
masks = np.random.uniform(size=(10, 28, 28)) < 0.12


def images(n):
    y = np.random.randint(0, 10, n)
    return (masks[y] * 100 + np.random.randint(0, 120, (n, 28, 28))).astype(np.uint8), y


X, y = images(512)
X_val, y_val = images(1200)

net = Sequential()
net.add(Flatten())
net.add(BatchNormalization(0.5))
net.add(Linear(784, 100))
net.add(ReLU())
net.add(Dropout(0.4))
net.add(Linear(100, 10))
net.add(SoftMax())
criterion = ClassNLLCriterionUnstable()
velocity = [np.zeros((100, 784)), np.zeros((10, 100))]

for epoch in range(3):
    net.train()
    for rows in np.array_split(np.random.permutation(512), 8):
        x, t = X[rows], np.eye(10)[y[rows]]
        p = net.forward(x)
        loss = criterion.forward(p, t)
        net.zeroGradParameters()
        net.backward(x, criterion.backward(p, t))
        for v, layer in zip(velocity, (net.modules[2], net.modules[5])):
            v *= 0.9
            v += 0.02 * layer.gradW
            layer.W -= v
    net.eval()
    p = net.forward(X_val)
    print(epoch, loss, criterion.forward(p, np.eye(10)[y_val]), np.mean(p.argmax(axis=1) == y_val))
print(net)
print(p.shape, p.dtype, [len(group) for group in net.getParameters()])

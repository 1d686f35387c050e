"""Flat lists of parameters: weight decay, a norm of all gradients, averaging of weights, saving and putting back."""

from fastnn.compat.plain import *

np.random.seed(90)

X = np.random.normal(size=(256, 8))
y = (np.abs(X).sum(axis=1) > 6.4).astype(int)
Y = np.eye(2)[y]

net = Sequential(Linear(8, 32), LeakyReLU(0.01), Linear(32, 2), SoftMax())
criterion = CrossEntropy()
params = net.parameters()
average = [np.zeros_like(w) for w in params]
steps = 100

for step in range(steps):
    rows = np.random.randint(0, 256, 64)
    out = net.forward(X[rows])
    loss = criterion.forward(out, Y[rows])
    net.backward(X[rows], criterion.backward(out, Y[rows]))

    grads = net.grad_parameters()
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    grads = [g * min(1, 1 / norm) + 1e-3 * w for g, w in zip(grads, params)]
    SGD(params, grads, 0.3)  # the arrays that were captured before the loop
    for mean, w in zip(average, net.parameters()):
        mean += w / steps
    if step % 20 == 0:
        print(step, loss, norm)

last = [w.copy() for w in params]
print(np.mean(net.forward(X).argmax(1) == y))
for w, mean in zip(params, average):
    w[:] = mean
print(np.mean(net.forward(X).argmax(1) == y), criterion.forward(net.forward(X), Y))
for layer, (W, b) in zip(net.layers[::2], (last[:2], last[2:])):
    layer.W, layer.b = W, b
print(criterion.forward(net.forward(X), Y), net.parameters()[0] is last[0])
print(sum(w.size for w in net.parameters()), np.concatenate([w.ravel() for w in net.parameters()]).std())

"""Layers chained by hand, no Sequential, updates written out: 2-4-2, a column of ones in place of the bias."""

from fastnn.compat.seminar import *

np.random.seed(33)

points = np.random.normal(size=(1024, 2))
answers = ((points**2).sum(axis=1) > 1.5).astype(int)
X = np.hstack([points, np.ones((1024, 1))])
Y = np.eye(2)[answers]

hidden, relu, out, softmax = Linear(3, 4), ReLU(), Linear(4, 2), LogSoftMax()
loss = ClassNLLCriterion()
lr = 0.4


def get_batches(batch_size):
    order = np.random.permutation(len(X))
    for i in range(0, len(X), batch_size):
        yield X[order[i : i + batch_size]], Y[order[i : i + batch_size]]


for epoch in range(12):
    for x, t in get_batches(128):
        h = hidden.forward(x)
        a = relu.forward(h)
        o = out.forward(a)
        p = softmax.forward(o)
        value = loss.forward(p, t)

        dp = loss.backward(p, t)
        do = softmax.backward(o, dp)
        da = out.backward(a, do)
        dh = relu.backward(h, da)
        hidden.backward(x, dh)
        for layer in (hidden, out):
            layer.W -= lr * layer.gradW
    print(epoch, value)

p = out.forward(relu.forward(hidden.forward(X)))
print(np.mean(p.argmax(axis=1) == answers))
print(hidden, relu, out, sep="\n")
print(np.allclose(hidden.dumb_forward(X[:5]), hidden.forward(X[:5])))

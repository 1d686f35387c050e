"""784-100-10 on made-up digits: BatchNormalization, ChannelwiseScaling, Dropout, train() and eval(), three updates."""

from fastnn.compat.plain import *

np.random.seed(60)
ink = np.random.gamma(1.0, 1.0, (10, 784)) * (np.random.uniform(size=(10, 784)) < 0.2)


def draw(n):
    y = np.random.randint(10, size=n)
    return (ink[y] + np.random.gamma(1.0, 1.2, (n, 784))) / 10, y


X, y = draw(512)
X_val, y_val = draw(2000)
Y, Y_val = np.eye(10)[y], np.eye(10)[y_val]

momentum, adam, history = {}, {}, {}


def step_sgd(net):
    SGD(net.parameters(), net.grad_parameters(), 0.1)


def step_momentum(net):
    sgd_momentum(net.parameters(), net.grad_parameters(), {"learning_rate": 0.03, "momentum": 0.9}, momentum)


def step_adam(net):
    config = {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    adam_optimizer(net.parameters(), net.grad_parameters(), config, adam)


for step in (step_sgd, step_momentum, step_adam):
    net = Sequential(
        Linear(784, 100),
        BatchNormalization(alpha=0.9),
        ChannelwiseScaling(100),
        LeakyReLU(),
        Dropout(0.2),
        Linear(100, 10),
        SoftMax(),
    )
    criterion = CrossEntropy()
    history[step.__name__] = []
    for epoch in range(2):
        net.train()
        for rows in np.split(np.random.permutation(512), 4):
            out = net.forward(X[rows])
            history[step.__name__].append(criterion.forward(out, Y[rows]))
            net.backward(X[rows], criterion.backward(out, Y[rows]))
            step(net)
        net.eval()
        out = net.forward(X_val)
        print(step.__name__, criterion.forward(out, Y_val), np.mean(out.argmax(-1) == y_val))
print(history)
print(net)

"""784-100-10 on made-up digits given as whole numbers 0..255; modes of the layers are switched by hand."""

from fastnn.compat.torch7_2017 import *

np.random.seed(2)
strokes = np.random.randint(0, 200, (10, 784)) * (np.random.uniform(size=(10, 784)) < 0.1)


def sample(n):
    y = np.random.randint(0, 10, n)
    return strokes[y] + np.random.randint(0, 56, (n, 784)), np.eye(10)[y]


X, Y = sample(512)
X_test, Y_test = sample(1500)

model = Sequential()
for layer in (
    BatchNormalization(alpha=0.8),
    Linear(n_in=784, n_out=100),
    ReLU(),
    Dropout(p=0.25),
    Linear(100, 10),
    SoftMax(),
):
    model.add(layer)


def set_mode(training):
    for module in model.modules:
        if training:
            module.train()
        else:
            module.evaluate()


criterion = ClassNLLCriterion()
config = {"learning_rate": 0.05, "momentum": 0.9}
state = {}
for epoch in range(3):
    set_mode(True)
    order = np.random.permutation(len(X))
    for start in range(0, len(X), 64):
        x, y = X[order[start : start + 64]], Y[order[start : start + 64]]
        p = model.forward(x)
        train_loss = criterion.forward(p, y)
        model.zeroGradParameters()
        model.backward(x, criterion.backward(p, y))
        sgd_momentum(model.getParameters(), model.getGradParameters(), config, state)
    set_mode(False)
    p = model.forward(X_test)
    print(epoch, train_loss, criterion.forward(p, Y_test), np.mean(p.argmax(-1) == Y_test.argmax(-1)))

print(p.dtype, model.modules[0].moving_mean.shape, model.modules[1].gradW.shape)
print(model)

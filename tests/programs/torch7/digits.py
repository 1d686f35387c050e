"""784-100-10 on made-up digits: BatchNormalization, its affine layer, Dropout, adam, validation after each epoch."""

from fastnn.compat.torch7 import *

np.random.seed(1)

SHAPES = np.random.uniform(0, 255, (10, 784)) * (np.random.uniform(size=(10, 784)) < 0.15)


def digits(count):
    labels = np.random.randint(10, size=count)
    pixels = SHAPES[labels] * np.random.uniform(0.3, 1, (count, 1)) + np.random.normal(0, 90, (count, 784))
    return np.clip(pixels, 0, 255).astype(np.uint8).reshape(count, 28, 28), labels


def one_hot(labels):
    encoded = np.zeros((len(labels), 10), dtype=int)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded


X_train, y_train = digits(512)
X_val, y_val = digits(2000)
X_train, X_val = X_train / 255.0, X_val / 255.0

net = Sequential()
net.add(Flatten())
net.add(Linear(784, 100))
net.add(BatchNormalization(alpha=0.9))
net.add(ChannelwiseScaling(100))
net.add(Dropout(0.3))
net.add(ELU())
net.add(Linear(100, 10))
net.add(LogSoftMax())
print(net)

loss_fn = ClassNLLCriterion()
config = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
state = {}
history = []

for epoch in range(3):
    net.train()
    for rows in np.split(np.random.permutation(len(X_train)), 8):
        net.zeroGradParameters()
        out = net.forward(X_train[rows])
        history.append(loss_fn.forward(out, one_hot(y_train[rows])))
        net.backward(X_train[rows], loss_fn.backward(out, one_hot(y_train[rows])))
        adam_optimizer(net.getParameters(), net.getGradParameters(), config, state)

    net.evaluate()
    scores = net.forward(X_val)
    accuracy = (scores.argmax(axis=1) == y_val).mean()
    print("epoch", epoch, "train", np.mean(history[-8:]), "val", loss_fn.forward(scores, one_hot(y_val)), accuracy)

print(state["t"], sorted(state["m"]), net.modules[2].moving_mean[:3], net.modules[2].moving_variance[:3])
print(history)

"""784-100-10 on made-up digits: BatchNormalization, Scaling, Dropout, momentum; two losses compared."""

from fastnn.compat.snake import *

np.random.seed(77)
centers = np.random.normal(size=(10, 784))


def make(count):
    label = np.random.choice(10, count)
    return (centers[label] + 4 * np.random.normal(size=(count, 784))).astype(np.float32), label


X_train, y_train = make(640)
X_valid, y_valid = make(2500)
onehot_train, onehot_valid = np.eye(10)[y_train], np.eye(10, dtype=bool)[y_valid]


def build(last):
    net = Sequential()
    net.add(Linear(784, 100))
    net.add(BatchNormalization(0.9))
    net.add(Scaling(100))
    net.add(LeakyReLU(0.05))
    net.add(Dropout(0.5))
    net.add(Linear(100, 10))
    net.add(last)
    return net


for last, criterion in ((LogSoftMax(), NLLCriterion()), (SoftMax(), NLLCriterionUnstable())):
    net = build(last)
    config, state = {"learning_rate": 0.02, "momentum": 0.9}, {}
    for epoch in range(2):
        net.train()
        order = np.random.permutation(len(X_train))
        for idx in np.array_split(order, 10):
            net.zero_grad_params()
            predictions = net.forward(X_train[idx])
            loss = criterion.forward(predictions, onehot_train[idx])
            net.backward(X_train[idx], criterion.backward(predictions, onehot_train[idx]))
            SGD(net.get_parameters(), net.get_grad_params(), config, state)
        net.evaluate()
        predictions = net.forward(X_valid)
        print(loss, criterion.forward(predictions, onehot_valid), np.mean(predictions.argmax(1) == y_valid))
    print([[p.shape for p in group] for group in net.get_parameters()])
    print(predictions.dtype, sorted(state["accumulated_grads"]))

"""A notebook: a layer is patched in place, redefined, imported anew, and the old net goes on beside the new one."""

# cell 1
from fastnn.compat.torch7_2017 import *

np.random.seed(4)
X = np.random.uniform(-3, 3, (200, 1))
Y = np.abs(X) + 0.1 * np.random.normal(size=X.shape)


# cell 2
def build():
    net = Sequential()
    net.add(Linear(1, 10))
    net.add(ReLU())
    net.add(Linear(10, 1))
    return net


def train(net, state, epochs=25):
    mse = MSECriterion()
    for _ in range(epochs):
        prediction = net.forward(X)
        loss = mse.forward(prediction, Y)
        net.backward(X, mse.backward(prediction, Y))
        sgd_momentum(net.getParameters(), net.getGradParameters(), {"learning_rate": 0.01, "momentum": 0.9}, state)
    return loss


old, old_state = build(), {}
print(train(old, old_state))

# cell 3: the student's own ReLU replaces the framework's
import fastnn.compat.torch7_2017


class ReLU(Module):
    def updateOutput(self, input):
        self.output = input * (input > 0)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.multiply(gradOutput, input > 0)
        return self.gradInput


class Sequential(Sequential):
    def __init__(self, *layers):
        super(Sequential, self).__init__()
        for layer in layers:
            self.add(layer)


mixed = Sequential(Linear(1, 10), ReLU(), Linear(10, 1))
mixed_state = {}
print(train(mixed, mixed_state), train(old, old_state))

# cell 4
import importlib

importlib.reload(fastnn.compat.torch7_2017)
from fastnn.compat.torch7_2017 import *

mixed.modules[1] = ReLU()
mixed.modules.insert(2, Dropout(0.1))
print(train(mixed, mixed_state), train(old, old_state))
mixed.modules[2].evaluate()
print(MSECriterion().forward(mixed.forward(X), Y), MSECriterion().forward(old.forward(X), Y))

# cell 5: take apart and put together
tail = Sequential()
for module in mixed.modules[1:]:
    tail.add(module)
print(np.array_equal(tail.forward(mixed.modules[0].output), mixed.output), len(old.getParameters()))

"""A notebook about autoencoders: classes are redefined over the imported ones, then imported anew."""

from fastnn.compat.snake import *

np.random.seed(55)
basis = np.random.normal(size=(2, 12))
data = np.random.normal(size=(180, 2)).dot(basis)

# %% the first try
encoder, decoder = Sequential(), Sequential()
encoder.add(Linear(12, 2))
decoder.add(Linear(2, 12))
auto = Sequential()
auto.add(encoder)
auto.add(decoder)


def run_epoch(model, state, batch=60):
    mse = MSECriterion()
    np.random.shuffle(data)
    for start in range(0, len(data), batch):
        x = data[start : start + batch]
        model.zero_grad_params()
        y = model.forward(x)
        loss = mse.forward(y, x)
        model.backward(x, mse.backward(y, x))
        SGD(model.get_parameters(), model.get_grad_params(), {"learning_rate": 2e-3, "momentum": 0.9}, state)
    return loss


state = {}
print([run_epoch(auto, state) for _ in range(10)])
codes = encoder.output[-1]
saved = codes.copy()


# %% redefine
class Linear(Linear):
    def __repr__(self):
        return "my " + super(Linear, self).__repr__()


class MSECriterion(MSECriterion):
    def update_output(self, inpt, target):
        self.output = np.mean(np.sum((inpt - target) ** 2, axis=1))
        return self.output


second = Sequential()
second.add(Linear(12, 2))
second.add(decoder)
print(second)
second_state = {}
print([run_epoch(second, second_state) for _ in range(5)], run_epoch(auto, state))

# %% import anew
import importlib

import fastnn.compat.snake as lib

lib = importlib.reload(lib)
from fastnn.compat.snake import *

third = Sequential()
third.add(second)
third.add(Scaling(12))
third_state = {}
print([run_epoch(third, third_state) for _ in range(5)], run_epoch(auto, state))
print(np.array_equal(codes, saved), len(third.output), len(third.output[1]), third.get_params()[1][0].shape)

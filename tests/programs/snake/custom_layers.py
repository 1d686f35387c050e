"""Layers of one's own in snake_case: a cube, a layer that holds a Sequential, a weighted loss, a noisy Dropout."""

from fastnn.compat.snake import *

np.random.seed(6)


class Cube(Module):
    def update_output(self, inpt):
        return inpt**3  # the container keeps it

    def update_grad_input(self, inpt, grad):
        self.grad_input = 3 * inpt**2 * grad
        return self.grad_input


class Concat(Module):
    """Two branches side by side."""

    def __init__(self, left, right):
        super(Concat, self).__init__()
        self.left, self.right = left, right

    def update_output(self, inpt):
        a, b = self.left.forward(inpt), self.right.forward(inpt)
        self.width = a.shape[1]
        self.output = np.concatenate([a, b], axis=1)
        return self.output

    def update_grad_input(self, inpt, grad_output):
        self.grad_input = self.left.update_grad_input(inpt, grad_output[:, : self.width])
        self.grad_input = self.grad_input + self.right.update_grad_input(inpt, grad_output[:, self.width :])
        return self.grad_input

    def update_grad_params(self, inpt, grad_output):
        self.left.update_grad_params(inpt, grad_output[:, : self.width])
        self.right.update_grad_params(inpt, grad_output[:, self.width :])

    def get_parameters(self):
        return self.left.get_parameters() + self.right.get_parameters()

    def get_grad_params(self):
        return self.left.get_grad_params() + self.right.get_grad_params()


class GaussianDropout(Dropout):
    def update_output(self, inpt):
        if not self.training:
            return inpt
        self.mask = 1 + self.p * np.random.normal(size=inpt.shape)
        self.output = inpt * self.mask
        return self.output

    def update_grad_input(self, inpt, grad_output):
        self.grad_input = grad_output * self.mask if self.training else grad_output
        return self.grad_input


class WeightedNLL(NLLCriterion):
    def __init__(self, weights):
        self.weights = weights
        super(WeightedNLL, self).__init__()

    def update_output(self, inpt, target):
        return super(WeightedNLL, self).update_output(inpt, target * self.weights)

    def update_grad_input(self, inpt, target):
        return super(WeightedNLL, self).update_grad_input(inpt, target * self.weights)


X = np.random.normal(size=(240, 5))
y = (X[:, 0] * X[:, 1] > 0.3).astype(int)
Y = np.eye(2)[y]

net = Sequential()
net.add(Concat(Linear(5, 6), Linear(5, 4)))
net.add(Tanh())
net.add(GaussianDropout(0.1))
net.add(Linear(10, 6))
net.add(Cube())
net.add(Linear(6, 2))
net.add(LogSoftMax())
criterion = WeightedNLL(np.array([0.5, 2.0]))
config, state = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-7}, {}
for step in range(50):
    out = net.forward(X)
    loss = criterion.forward(out, Y)
    net.backward(X, criterion.backward(out, Y))
    adam_optimizer(net.get_parameters(), net.get_grad_params(), config, state)
    if step % 10 == 0:
        print(step, loss)
net.evaluate()
out = net.forward(X)
print(criterion.forward(out, Y), (out.argmax(axis=1) == y).mean(), net.output[3] is net.output[2])
print(len(net.get_parameters()), state["t"], len(state["v"]))

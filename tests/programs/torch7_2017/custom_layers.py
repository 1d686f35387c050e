"""A sine layer, a layer that overrides forward and backward only, and a hinge loss; two inputs joined by hand."""

from fastnn.compat.torch7_2017 import *

np.random.seed(8)


class Sine(Module):
    def __init__(self):
        super(Sine, self).__init__()

    def updateOutput(self, inpt):
        self.output = np.sin(inpt)
        return self.output

    def updateGradInput(self, inpt, gradOutput):
        self.gradInput = gradOutput * np.cos(inpt)
        return self.gradInput

    def __repr__(self):
        return "Sine"


class Standardize(Module):
    """Fixed shift and scale; leaves the hooks alone."""

    def __init__(self, data):
        Module.__init__(self)
        self.mean, self.std = data.mean(0), data.std(0)

    def forward(self, inpt):
        self.output = (inpt - self.mean) / self.std
        return self.output

    def backward(self, inpt, gradOutput):
        self.gradInput = gradOutput / self.std
        return self.gradInput


class Hinge(Criterion):
    """max(0, 1 - t y), t in {-1, 1}."""

    def __init__(self):
        super().__init__()

    def updateOutput(self, inpt, target):
        self.output = np.maximum(0, 1 - target * inpt).mean()
        return self.output

    def updateGradInput(self, inpt, target):
        self.gradInput = -target * (target * inpt < 1) / inpt.size
        return self.gradInput


class LoudReLU(ReLU):
    forwards = 0

    def updateOutput(self, inpt):
        LoudReLU.forwards += 1
        return super().updateOutput(inpt)


left, right = np.random.normal(2, 3, (2, 300, 2))
target = np.where(left[:, :1] > right[:, :1], 1, -1)
both = np.concatenate([left, right], axis=1)

branch_1, branch_2, head = Sequential(), Sequential(), Sequential()
for branch in (branch_1, branch_2):
    branch.add(Standardize(left))
    branch.add(Linear(2, 5))
    branch.add(Sine())
head.add(Linear(10, 8))
head.add(LoudReLU())
head.add(Linear(8, 1))

hinge = Hinge()
config, state = {"learning_rate": 0.2, "momentum": 0.5}, {}
for step in range(40):
    features = np.hstack([branch_1.forward(left), branch_2.forward(right)])
    score = head.forward(features)
    loss = hinge.forward(score, target)
    d_features = head.backward(features, hinge.backward(score, target))
    d_left, d_right = np.split(d_features, 2, axis=1)  # not contiguous
    branch_1.backward(left, d_left)
    branch_2.backward(right, d_right)
    nets = (branch_1, branch_2, head)
    sgd_momentum([n.getParameters() for n in nets], [n.getGradParameters() for n in nets], config, state)
    if step % 8 == 0:
        print(loss, np.mean(np.sign(score) == target))
print(LoudReLU.forwards, len(state["accumulated_grads"]))
print(branch_1.modules[2], head)

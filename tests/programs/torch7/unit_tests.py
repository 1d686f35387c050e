"""The layers against formulas, a hundred random inputs each."""

import unittest

from fastnn.compat.torch7 import *


class TestLayers(unittest.TestCase):
    def equal(self, ours, formula, atol=1e-6):
        self.assertTrue(np.allclose(ours, formula, atol=atol))

    def test_linear(self):
        np.random.seed(42)
        n_in, n_out = 3, 4
        for _ in range(100):
            x = np.random.uniform(-10, 10, (2, n_in)).astype(np.float32)
            dy = np.random.uniform(-10, 10, (2, n_out)).astype(np.float32)
            layer = Linear(n_in, n_out)
            weight = np.random.uniform(-1, 1, (n_out, n_in)).astype(np.float32)
            layer.W = weight
            layer.b = np.arange(n_out)
            self.equal(layer.updateOutput(x), x @ weight.T + np.arange(n_out))
            self.equal(layer.updateGradInput(x, dy), dy @ weight)
            layer.zeroGradParameters()
            layer.accGradParameters(x, dy)
            self.equal(layer.gradW, dy.T @ x, 1e-5)
            self.equal(layer.gradb, dy.sum(axis=0), 1e-5)
            layer.accGradParameters(x, dy)
            self.equal(layer.gradW, 2 * dy.T @ x, 1e-4)

    def test_softmax(self):
        np.random.seed(42)
        for _ in range(100):
            x = np.random.uniform(-5, 5, (2, 4)).astype(np.float32)
            dy = np.random.uniform(0, 1, (2, 4)).astype(np.float32)
            p = np.exp(x.astype(float)) / np.exp(x.astype(float)).sum(axis=1, keepdims=True)
            self.equal(SoftMax().updateOutput(x), p, 1e-5)
            layer = LogSoftMax()
            self.equal(layer.updateOutput(x), np.log(p))
            self.equal(layer.updateGradInput(x, dy), dy - p * dy.sum(axis=1, keepdims=True), 1e-5)

    def test_batch_normalization(self):
        np.random.seed(42)
        for _ in range(100):
            x = np.random.uniform(-5, 5, (32, 16)).astype(np.float32)
            slope = np.random.uniform(0.01, 0.05)
            layer = BatchNormalization(alpha=slope)
            layer.train()
            wide = x.astype(float)
            self.equal(layer.updateOutput(x), (wide - wide.mean(axis=0)) / np.sqrt(wide.var(axis=0) + layer.EPS))
            self.equal(layer.moving_mean, wide.mean(axis=0))
            layer.moving_mean = np.zeros(16, np.float32)
            layer.moving_variance = np.full(16, 4, np.float32)
            layer.evaluate()
            self.equal(layer.updateOutput(x), wide / np.sqrt(4 + BatchNormalization.EPS))

    def test_dropout(self):
        np.random.seed(42)
        for _ in range(100):
            p = np.random.uniform(0.3, 0.7)
            layer = Dropout(p)
            x, dy = np.random.uniform(-5, 5, (2, 2, 4))
            y = layer.updateOutput(x)
            self.assertTrue(np.all(np.logical_or(np.isclose(y, 0), np.isclose(y * (1 - p), x))))
            self.equal(layer.updateGradInput(x, dy), dy * layer.mask / (1 - p))
            layer.evaluate()
            self.equal(layer.updateOutput(x), x)

    def test_activations(self):
        np.random.seed(42)
        for _ in range(100):
            x = np.random.uniform(-5, 5, (2, 4)).astype(np.float32)
            slope = np.random.uniform(0.01, 0.05)
            self.equal(ReLU().updateOutput(x), np.maximum(x, 0))
            self.equal(LeakyReLU(slope).updateOutput(x), np.where(x > 0, x, slope * x))
            self.equal(ELU(1.5).updateGradInput(x, np.ones_like(x)), np.where(x > 0, 1, 1.5 * np.exp(x)))
            self.equal(SoftPlus().updateOutput(x), np.log(1 + np.exp(x)))

    def test_losses(self):
        np.random.seed(42)
        for _ in range(100):
            p = np.random.dirichlet(np.ones(4), 2)
            target = np.zeros((2, 4), np.float32)
            target[np.arange(2), np.random.choice(4, 2)] = 1
            self.equal(ClassNLLCriterion().updateOutput(np.log(p), target), -np.log(p[target > 0]).mean())
            self.equal(ClassNLLCriterionUnstable().updateGradInput(p, target), -target / p / 2, 1e-4)
            self.equal(MSECriterion().updateOutput(p, target), ((p - target) ** 2).sum() / 2)


suite = unittest.TestLoader().loadTestsFromTestCase(TestLayers)
result = unittest.TextTestRunner(verbosity=0).run(suite)
print(result.testsRun, "tests,", len(result.failures), "failures,", len(result.errors), "errors")

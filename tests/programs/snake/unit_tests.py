"""Task 8's own kind of tests: hooks called one by one, backward first and update_grad_params again."""

import unittest

from fastnn.compat.snake import *


class TestLayers(unittest.TestCase):
    def test_linear(self):
        np.random.seed(42)
        for _ in range(100):
            x = np.random.uniform(-10, 10, (2, 3)).astype(np.float32)
            dy = np.random.uniform(-10, 10, (2, 4)).astype(np.float32)
            layer = Linear(3, 4)
            self.assertTrue(np.allclose(layer.update_grad_input(x, dy), dy @ layer.W.T, atol=1e-6))
            self.assertTrue(np.allclose(layer.update_output(x), x @ layer.W + layer.b, atol=1e-6))
            layer.zero_grad_params()
            layer.backward(x, dy)
            layer.update_grad_params(x, dy)
            self.assertTrue(np.allclose(layer.gradW, x.T @ dy, atol=1e-5))
            self.assertTrue(np.allclose(layer.gradb, dy.sum(axis=0), atol=1e-5))

    def test_log_softmax_leaves_the_gradient_alone(self):
        np.random.seed(42)
        for _ in range(100):
            x = np.random.uniform(-10, 10, (2, 4))
            dy = np.random.uniform(0, 1, (2, 4))
            kept = dy.copy()
            layer = LogSoftMax()
            out = layer.update_output(x)
            p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
            self.assertTrue(np.allclose(out, np.log(p)))
            self.assertTrue(np.allclose(layer.update_grad_input(x, dy), dy - p * dy.sum(axis=1, keepdims=True)))
            self.assertTrue(np.array_equal(dy, kept))

    def test_batch_normalization(self):
        np.random.seed(42)
        for _ in range(100):
            x, dy = np.random.uniform(-5, 5, (2, 32, 16))
            layer = BatchNormalization(0.8)
            layer.train()
            std = np.sqrt(x.var(axis=0) + 1e-3)
            xhat = (x - x.mean(axis=0)) / std
            self.assertTrue(np.allclose(layer.update_output(x), xhat))
            formula = (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0)) / std
            self.assertTrue(np.allclose(layer.update_grad_input(x, dy), formula))
            mean, other = layer.moving_mean, np.random.uniform(-5, 5, (32, 16))
            layer.update_output(other)
            self.assertTrue(np.allclose(layer.moving_mean, 0.8 * mean + 0.2 * other.mean(axis=0)))
            layer.evaluate()
            layer.update_output(x)
            self.assertTrue(np.allclose(layer.update_grad_input(x, dy), formula))

    def test_scaling(self):
        np.random.seed(42)
        for _ in range(100):
            x, dy = np.random.uniform(-5, 5, (2, 8, 3))
            layer = Scaling(3)
            self.assertEqual(layer.gamma.shape, (1, 3))
            self.assertTrue(np.allclose(layer.update_output(x), x * layer.gamma + layer.beta))
            layer.backward(x, dy)
            layer.update_grad_params(x, dy)
            self.assertTrue(np.allclose(layer.gradGamma, (dy * x).sum(axis=0)))
            self.assertTrue(np.allclose(layer.gradBeta, dy.sum(axis=0)))

    def test_sequential(self):
        np.random.seed(42)
        for _ in range(100):
            net = Sequential()
            net.add(Linear(3, 5))
            net.add(ELU(0.5))
            net.add(Linear(5, 2))
            x, dy = np.random.uniform(-1, 1, (4, 3)), np.random.uniform(-1, 1, (4, 2))
            out = net.forward(x)
            a, b, c = net.modules
            self.assertTrue(np.allclose(out, c.forward(b.forward(a.forward(x)))))
            self.assertIs(net.output[0], x)
            self.assertTrue(np.array_equal(net.output[3], out))
            dx = net.backward(x, dy)
            by_hand = a.backward(x, b.backward(net.output[1], c.backward(net.output[2], dy)))
            self.assertTrue(np.allclose(dx, by_hand))
            self.assertEqual(len(net.grad_input), 4)

    def test_criterions(self):
        np.random.seed(42)
        for _ in range(100):
            p = np.random.dirichlet(np.ones(4), 2)
            t = np.eye(4)[np.random.randint(0, 4, 2)]
            self.assertTrue(np.isclose(NLLCriterion().update_output(np.log(p), t), -(t * np.log(p)).sum() / 2))
            self.assertTrue(np.allclose(NLLCriterion().update_grad_input(p, t), -t / 2))
            self.assertTrue(np.isclose(NLLCriterionUnstable().update_output(p, t), -(t * np.log(p)).sum() / 2))


result = unittest.TextTestRunner(verbosity=0).run(unittest.TestLoader().loadTestsFromTestCase(TestLayers))
print("ran", result.testsRun, "bad", len(result.failures) + len(result.errors))

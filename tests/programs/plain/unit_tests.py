"""The plain layers against formulas, a hundred random inputs each."""

import unittest

import numpy as np
from fastnn.compat.plain import *


class LayersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        np.random.seed(9)

    def pair(self, rows, n_in, n_out):
        return np.random.normal(size=(rows, n_in)), np.random.normal(size=(rows, n_out))

    def test_linear(self):
        for _ in range(100):
            x, dy = self.pair(4, 3, 5)
            layer = Linear(3, 5)
            self.assertEqual(layer.W.shape, (5, 3))
            self.assertTrue(np.allclose(layer.forward(x), x @ layer.W.T + layer.b))
            self.assertTrue(np.allclose(layer.backward(x, dy), dy @ layer.W))
            self.assertTrue(np.allclose(layer.grad_W, dy.T @ x))
            self.assertTrue(np.allclose(layer.grad_b, dy.sum(axis=0)))
            self.assertEqual(len(layer.parameters()), 2)

    def test_relu(self):
        for _ in range(100):
            x, dy = self.pair(4, 6, 6)
            layer = ReLU()
            self.assertTrue(np.array_equal(layer.forward(x), np.where(x > 0, x, 0)))
            self.assertTrue(np.array_equal(layer.backward(x, dy), np.where(x > 0, dy, 0)))
            self.assertEqual(layer.parameters(), [])

    def test_softmax_and_cross_entropy(self):
        for _ in range(100):
            x, target = np.random.normal(size=(5, 4)), np.eye(4)[np.random.randint(4, size=5)]
            softmax, loss = SoftMax(), CrossEntropy()
            p = softmax.forward(x)
            self.assertTrue(np.allclose(p.sum(axis=1), 1))
            self.assertTrue(np.isclose(loss.forward(p, target), -np.log((p * target).sum(axis=1)).mean()))
            dx = softmax.backward(x, loss.backward(p, target))
            self.assertTrue(np.allclose(dx, (p - target) / 5))

    def test_cross_entropy_clips(self):
        p, target = np.array([[0.0, 1.0]]), np.array([[1, 0]])
        self.assertTrue(np.isclose(CrossEntropy().forward(p, target), -np.log(1e-9)))
        self.assertTrue(np.isclose(CrossEntropy().backward(p, target)[0, 0], -1e15))

    def test_mse(self):
        for _ in range(100):
            x, t = self.pair(6, 2, 2)
            loss = MSE()
            self.assertTrue(np.isclose(loss.forward(x, t), ((x - t) ** 2).sum() / 6))
            self.assertTrue(np.allclose(loss.backward(x, t), (x - t) / 3))
            self.assertTrue(np.allclose(loss.grad_output, (x - t) / 3))

    def test_sequential(self):
        for _ in range(100):
            x, dy = self.pair(4, 3, 2)
            net = Sequential(Linear(3, 6), LeakyReLU(0.1), Linear(6, 2))
            a, b, c = net.layers
            self.assertTrue(np.allclose(net.forward(x), c.forward(b.forward(a.forward(x)))))
            dx = a.backward(x, b.backward(a.output, c.backward(b.output, dy)))
            self.assertTrue(np.allclose(net.backward(x, dy), dx))
            self.assertEqual([g.shape for g in net.grad_parameters()], [(6, 3), (6,), (2, 6), (2,)])

    def test_dropout(self):
        for _ in range(100):
            x = np.ones((50, 4))
            layer = Dropout(0.3)
            layer.train()
            self.assertTrue(set(np.round(layer.forward(x).ravel(), 6)) <= {0.0, round(1 / 0.7, 6)})
            layer.eval()
            self.assertIs(layer.forward(x), x)


result = unittest.TextTestRunner(verbosity=0).run(unittest.TestLoader().loadTestsFromTestCase(LayersTest))
print(result.testsRun, result.wasSuccessful())

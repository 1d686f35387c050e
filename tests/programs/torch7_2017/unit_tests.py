"""The early edition's layers against formulas, a hundred random inputs each."""

import unittest

from fastnn.compat.torch7_2017 import *


def one_hot(n, k):
    return np.eye(k)[np.random.randint(0, k, n)]


class TestLayers(unittest.TestCase):
    def setUp(self):
        np.random.seed(100)

    def test_linear_overwrites(self):
        for _ in range(100):
            layer = Linear(5, 3)
            self.assertEqual((layer.W.shape, layer.b.shape), ((5, 3), (3,)))
            self.assertTrue(np.all(np.abs(layer.W) <= 1 / np.sqrt(5)))
            x, dy = np.random.normal(size=(7, 5)), np.random.normal(size=(7, 3))
            np.testing.assert_allclose(layer.forward(x), x.dot(layer.W) + layer.b)
            for _ in range(2):
                np.testing.assert_allclose(layer.backward(x, dy), dy.dot(layer.W.T))
                np.testing.assert_allclose(layer.gradW, x.T.dot(dy))
                np.testing.assert_allclose(layer.gradb, dy.sum(0))

    def test_softmax(self):
        for _ in range(100):
            x, dy = np.random.normal(size=(4, 6)), np.random.normal(size=(4, 6))
            layer = SoftMax()
            p = layer.forward(x)
            np.testing.assert_allclose(p, np.exp(x) / np.exp(x).sum(axis=1)[:, None])
            jacobian = np.einsum("ij,jk->ijk", p, np.eye(6)) - np.einsum("ij,ik->ijk", p, p)
            np.testing.assert_allclose(layer.backward(x, dy), np.einsum("ijk,ik->ij", jacobian, dy), atol=1e-12)

    def test_relu_and_leaky_relu(self):
        for _ in range(100):
            x, dy = np.random.normal(size=(4, 6)), np.random.normal(size=(4, 6))
            x[0] = 0
            relu, leaky = ReLU(), LeakyReLU(0.2)
            np.testing.assert_array_equal(relu.forward(x), np.maximum(x, 0))
            np.testing.assert_array_equal(relu.backward(x, dy), dy * (x > 0))
            np.testing.assert_allclose(leaky.backward(x, dy), dy * np.where(x > 0, 1, 0.2))

    def test_dropout_mask(self):
        for _ in range(100):
            x = np.random.normal(size=(20, 5))
            layer = Dropout(0.4)
            y = layer.forward(x)
            np.testing.assert_allclose(y, x * layer.mask / 0.6)
            layer.training = False
            self.assertIs(layer.forward(x), x)

    def test_losses(self):
        for _ in range(100):
            p, t = np.random.dirichlet(np.ones(5), 6), one_hot(6, 5)
            nll, mse = ClassNLLCriterion(), MSECriterion()
            self.assertAlmostEqual(nll.forward(p, t), -np.log(p[t == 1]).mean())
            np.testing.assert_allclose(nll.backward(p, t), -t / p / 6, rtol=1e-9)
            self.assertAlmostEqual(mse.forward(p, t), np.sum((p - t) ** 2) / 6)
            np.testing.assert_allclose(mse.backward(p, t), (p - t) * 2 / 6)

    def test_whole_net(self):
        for _ in range(100):
            net = Sequential()
            net.add(Linear(4, 3))
            net.add(SoftMax())
            x, t = np.random.normal(size=(6, 4)), one_hot(6, 3)
            nll = ClassNLLCriterion()
            p = net.forward(x)
            net.backward(x, nll.backward(p, t))
            np.testing.assert_allclose(net.modules[0].gradb, (p - t).mean(axis=0), atol=1e-12)


result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromTestCase(TestLayers))
print(result.testsRun, len(result.failures), len(result.errors))

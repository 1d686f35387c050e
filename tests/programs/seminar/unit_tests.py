"""The seminar's layers against formulas and against Python loops, a hundred random inputs each."""

import unittest

from fastnn.compat.seminar import *


class TestSeminar(unittest.TestCase):
    def test_linear(self):
        np.random.seed(1)
        for _ in range(100):
            layer = Linear(4, 3)
            x, dy = np.random.normal(size=(2, 4)), np.random.normal(size=(2, 3))
            np.testing.assert_allclose(layer.forward(x), layer.dumb_forward(x))
            loops = [[sum(x[i][k] * layer.W[j][k] for k in range(4)) for j in range(3)] for i in range(2)]
            np.testing.assert_allclose(layer.output, loops)
            np.testing.assert_allclose(layer.backward(x, dy), dy @ layer.W)
            layer.accGradParameters(x, dy)
            np.testing.assert_allclose(layer.gradW, dy.T @ x)
            self.assertFalse(hasattr(layer, "b"))
            self.assertEqual(len(layer.getParameters()), 1)

    def test_first_numbers(self):
        np.random.seed(0)
        np.testing.assert_allclose(Linear(4, 3).W[0], [0.0488135, 0.21518937, 0.10276338, 0.04488318], rtol=1e-6)

    def test_relu(self):
        np.random.seed(1)
        for _ in range(100):
            x, dy = np.random.normal(size=(2, 6)), np.random.normal(size=(2, 6))
            x[1, 2] = 0
            layer = ReLU()
            y = layer.forward(x)
            for i in range(2):
                for j in range(6):
                    self.assertEqual(y[i, j], x[i, j] if x[i, j] > 0 else 0)
                    self.assertEqual(layer.backward(x, dy)[i, j], dy[i, j] if x[i, j] > 0 else 0)

    def test_sigmoid(self):
        np.random.seed(1)
        for _ in range(100):
            x, dy = np.random.normal(size=(5, 2)), np.random.normal(size=(5, 2))
            y = 1 / (1 + np.exp(-x))
            layer = Sigmoid()
            np.testing.assert_allclose(layer.forward(x), y)
            np.testing.assert_allclose(layer.backward(x, dy), dy * y * (1 - y))

    def test_mse(self):
        np.random.seed(1)
        for _ in range(100):
            x, t = np.random.normal(size=(5, 2)), np.random.normal(size=(5, 2))
            mse = MSECriterion()
            self.assertAlmostEqual(mse.forward(x, t), sum((x[i] - t[i]).dot(x[i] - t[i]) for i in range(5)) / 5)
            np.testing.assert_allclose(mse.backward(x, t), 2 / 5 * (x - t))


result = unittest.TextTestRunner(verbosity=0).run(unittest.TestLoader().loadTestsFromTestCase(TestSeminar))
print(result.testsRun, result.wasSuccessful())

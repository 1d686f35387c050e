"""The work of `peers.py` on nets in NumPy by hand, in scikit-learn and in ONNX Runtime."""

from __future__ import annotations

import numpy as np
from peer_work import BATCHES, LR, MOMENTUM, Job, Library


class Net:
    """A net trained by hand, at NumPy's best: weights (in, out), everything in place, SGD with momentum."""

    def __init__(self, parameters):
        self.weights = [(np.ascontiguousarray(w.T), b.copy()) for w, b in parameters]
        self.grads, self.velocities = ([tuple(map(np.zeros_like, pair)) for pair in self.weights] for _ in range(2))
        self.memory = {}

    def _buffers(self, rows):
        """The row numbers, the layers' outputs and the gradients by them, for batches of so many rows."""
        if rows not in self.memory:
            outputs, deltas = ([np.empty((rows, len(b)), b.dtype) for _, b in self.weights] for _ in range(2))
            self.memory[rows] = np.arange(rows), outputs, deltas
        return self.memory[rows]

    def forward(self, x):
        """The scores; the next call with as many rows overwrites them."""
        _, outputs, _ = self._buffers(len(x))
        for input, output, (w, b) in zip((x, *outputs[:-1]), outputs, self.weights, strict=True):
            np.matmul(input, w, out=output)
            output += b
            if output is not outputs[-1]:
                np.maximum(output, 0, out=output)
        return outputs[-1]

    def step(self, x, y):
        scores, (rows, outputs, deltas) = self.forward(x), self._buffers(len(x))
        loss = self._loss_and_gradient(scores, deltas[-1], rows, y)
        self._backward((x, *outputs[:-1]), deltas)
        self._update()
        return loss

    @staticmethod
    def _loss_and_gradient(scores, delta, rows, y):
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=delta)
        total = delta.sum(axis=1, keepdims=True)
        loss = np.log(total).mean() - scores[rows, y].mean()
        delta /= total
        delta[rows, y] -= 1
        delta *= 1 / len(rows)
        return loss

    def _backward(self, inputs, deltas):
        for i in reversed(range(len(self.weights))):
            np.matmul(inputs[i].T, deltas[i], out=self.grads[i][0])
            deltas[i].sum(axis=0, out=self.grads[i][1])
            if i:
                np.matmul(deltas[i], self.weights[i][0].T, out=deltas[i - 1])
                deltas[i - 1] *= inputs[i] > 0

    def _update(self):
        for params, gradients, moving in zip(self.weights, self.grads, self.velocities, strict=True):
            for param, grad, velocity in zip(params, gradients, moving, strict=True):
                velocity *= MOMENTUM
                velocity += grad
                np.multiply(velocity, LR["SGD"], out=grad)
                param -= grad


class NumPy(Library):
    """Nets by hand."""

    version = np.__version__

    def training_step(self, case, made):
        net, x, y = Net(made["parameters"]), made["x"], made["y"]
        return Job(lambda: net.step(x, y)) if case.name == "SGD" else None

    compiled_step = training_step

    def epoch(self, case, made):
        net, x, y, rows = Net(made["parameters"]), made["x"], made["y"], case.shape[0]

        def epoch():
            return [net.step(x[start : start + rows], y[start : start + rows]) for start in range(0, len(x), rows)]

        return Job(epoch, share=1 / BATCHES)

    def inference(self, case, made):
        net, x = Net(made["parameters"]), made["x"]
        return Job(lambda: net.forward(x))


class ScikitLearn(Library):
    """MLPClassifier.partial_fit of one batch."""

    def __init__(self):
        import sklearn
        from sklearn.neural_network import MLPClassifier

        self.version, self.classifier = sklearn.__version__, MLPClassifier

    def _net(self, case, made):
        """The classifier, after a step that makes the arrays, with all of its state as at the start."""
        x, y, (rows, *widths) = made["x"], made["y"], case.shape
        net = self.classifier(widths[1:-1], solver="sgd", alpha=0, batch_size=rows, learning_rate_init=LR["SGD"],
                              momentum=MOMENTUM, nesterovs_momentum=False, shuffle=False)  # fmt: skip
        net.partial_fit(x[:rows], y[:rows], classes=np.arange(widths[-1]))
        for i, (weight, bias) in enumerate(made["parameters"]):
            net.coefs_[i][...], net.intercepts_[i][...] = weight.T, bias
        for velocity in net._optimizer.velocities:
            velocity[...] = 0
        return net, x, y, rows

    def training_step(self, case, made):
        if case.name != "SGD":
            return None
        net, x, y, _ = self._net(case, made)
        return Job(lambda: net.partial_fit(x, y), lambda net: [net.loss_])

    compiled_step = training_step

    def epoch(self, case, made):
        net, x, y, rows = self._net(case, made)

        def epoch():
            return [net.partial_fit(x[start : start + rows], y[start : start + rows]).loss_
                    for start in range(0, len(x), rows)]  # fmt: skip

        return Job(epoch, share=1 / BATCHES)


class Onnx(Library):
    """ONNX Runtime: a graph of Gemm and Relu."""

    def __init__(self):
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.version = onnx, onnxruntime, onnxruntime.__version__
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads, self.options.inter_op_num_threads = self.threads, 1
        self.options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL

    def inference(self, case, made):
        helper, from_array = self.onnx.helper, self.onnx.numpy_helper.from_array
        nodes, constants, before = [], [], "x"
        for i, (weight, bias) in enumerate(made["parameters"]):
            constants += [from_array(weight, f"weight{i}"), from_array(bias, f"bias{i}")]
            nodes.append(helper.make_node("Gemm", [before, f"weight{i}", f"bias{i}"], [f"y{i}"], transB=1))
            before = f"y{i}"
            if i < len(made["parameters"]) - 1:
                nodes.append(helper.make_node("Relu", [before], [f"relu{i}"]))
                before = f"relu{i}"
        real = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
        ends = [helper.make_tensor_value_info(name, real, [case.shape[0], width])
                for name, width in (("x", case.shape[1]), (before, case.shape[-1]))]  # fmt: skip
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = self.runtime.InferenceSession(
            model.SerializeToString(), self.options, providers=["CPUExecutionProvider"]
        )
        names, feed = [before], {"x": made["x"]}
        return Job(lambda: session.run(names, feed), list)

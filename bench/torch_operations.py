"""What PyTorch calls the operations of the registry: name -> a function of torch and of the tensors, or None."""

from __future__ import annotations

import numpy as np

UNARY = {
    "ReLU": lambda F, x: F.relu(x),
    "LeakyReLU": lambda F, x: F.leaky_relu(x, 0.125),
    "ELU": lambda F, x: F.elu(x, 1.25),
    "SELU": lambda F, x: F.selu(x),
    "Softplus": lambda F, x: F.softplus(x, 2, 8),
    "Sigmoid": lambda F, x: x.sigmoid(),
    "Tanh": lambda F, x: x.tanh(),
    "GELU": lambda F, x: F.gelu(x),
    "GELU_tanh": lambda F, x: F.gelu(x, approximate="tanh"),
    "SiLU": lambda F, x: F.silu(x),
    "Mish": lambda F, x: F.mish(x),
    "Hardtanh": lambda F, x: F.hardtanh(x, -1, 1.5),
}
LOSS = {
    "MSELoss": lambda F, x, t: F.mse_loss(x, t, reduction="sum"),
    "L1Loss": lambda F, x, t: F.l1_loss(x, t, reduction="sum"),
    "HalfMSELoss": lambda F, x, t: 0.5 * F.mse_loss(x, t, reduction="sum"),
    "PoissonNLLLoss": lambda F, x, t: F.poisson_nll_loss(x, t, reduction="sum"),
    "HuberLoss": lambda F, x, t: F.huber_loss(x, t, reduction="sum", delta=0.75),
    "BCEWithLogitsLoss": lambda F, x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum"),
}


def even(padding):
    """Padding that is the same on either side, as PyTorch has it."""
    assert all(before == behind for before, behind in padding)
    return tuple(before for before, _ in padding)


FORWARD = {
    "linear_forward": lambda F, a: F.linear(a["input"], a["weight"], a["bias"]),
    "unary_forward": lambda F, a: UNARY[a["name"]](F, a["input"]),
    "softmax_forward": lambda F, a: a["input"].softmax(-1),
    "log_softmax_forward": lambda F, a: a["input"].log_softmax(-1),
    "channel_scale_forward": lambda F, a: a["input"] * a["weight"] + a["bias"],
    "batch_norm_forward": lambda F, a: F.batch_norm(
        a["input"], None, None, a["weight"], a["bias"], True, 0.1, a["eps"]
    ),
    "batch_norm_inference": lambda F, a: F.batch_norm(
        a["input"], a["mean"], a["var"], a["weight"], a["bias"], False, 0.1, a["eps"]
    ),
    "dropout": lambda F, a: F.dropout(a["input"], a["p"]),
    "loss_forward": lambda F, a: LOSS[a["name"]](F, a["input"], a["target"]),
    "nll_forward": lambda F, a: F.nll_loss(a["input"], a["target"], a["weight"], reduction="sum"),
    "cross_entropy_forward": lambda F, a: F.cross_entropy(
        a["input"], a["target"], a["weight"], reduction="sum", label_smoothing=a["label_smoothing"]
    ),
    "conv_forward": lambda F, a: F.conv2d(
        a["input"], a["weight"], a["bias"], a["stride"], even(a["padding"]), a["dilation"], a["groups"]
    ),
    "max_pool_forward": lambda F, a: F.max_pool2d(
        a["input"], a["kernel"], a["stride"], even(a["padding"]), a["dilation"]
    ),
    "avg_pool_forward": lambda F, a: F.avg_pool2d(
        a["input"], a["kernel"], a["stride"], even(a["padding"]), False, a["count_include_pad"]
    ),
    "adaptive_avg_pool_forward": lambda F, a: F.adaptive_avg_pool2d(a["input"], a["out_size"]),
    "upsample_forward": lambda F, a: F.interpolate(a["input"], scale_factor=a["scale"]),
    "layer_norm_forward": lambda F, a: F.layer_norm(a["input"], a["input"].shape[1:], a["weight"], a["bias"], a["eps"]),
    "rms_norm_forward": lambda F, a: F.rms_norm(a["input"], a["input"].shape[1:], a["weight"], a["eps"]),
    "group_norm_forward": lambda F, a: F.group_norm(a["input"], a["groups"], a["weight"], a["bias"], a["eps"]),
    "embedding_forward": lambda F, a: F.embedding(a["index"], a["weight"]),
    "masked_scale": lambda F, a: a["input"] * a["mask"] * a["scale"],
    "square_sum": lambda F, a: a["array"].square().sum(),
    "scale_": lambda F, a: a["array"].mul_(a["factor"]),
    "clip_": lambda F, a: a["array"].clamp_(a["low"], a["high"]),
}


def _backward(forward):
    """The backward pass alone: the graph is built once and kept."""

    def prepare(torch, arguments):
        leaf = arguments["input"].requires_grad_()
        output = forward(torch.nn.functional, arguments)
        seed = arguments.get("grad_output", torch.ones_like(output))
        return lambda: torch.autograd.grad(output, leaf, seed, retain_graph=True)

    return prepare


def _backward_at(forward, *shape, wanted=("input",)):
    """The gradients of `wanted` alone; `shape` names what the input that is not given has: channels, then its size."""

    def prepare(torch, a):
        if shape:
            channels, size = (a[name] for name in shape)
            channels = channels.shape[1] if shape[0] == "grad_output" else channels.shape[1] * a["groups"]
            a["input"] = torch.randn(len(a["grad_output"]), channels, *size, dtype=a["grad_output"].dtype)
        a = {"weight": a.get("grad_weight"), "bias": a.get("grad_bias"), **a}
        leaves = [a[name].requires_grad_() for name in wanted if a[name] is not None]
        output = forward(torch.nn.functional, a)
        return lambda: torch.autograd.grad(output, leaves, a["grad_output"], retain_graph=True)

    return prepare


def _norm_backward(forward):
    """The gradients of the input, the weight and, if there is one, the bias."""

    def prepare(torch, a):
        bias = torch.zeros_like(a["weight"]) if "rms" not in forward else None
        return _backward_at(FORWARD[forward], wanted=("input", "weight", "bias"))(torch, {**a, "bias": bias})

    return prepare


def _adaptive_avg_pool_backward(torch, a):
    dy = a["grad_output"]
    x = torch.empty(*dy.shape[:2], *a["size"], dtype=dy.dtype)
    return lambda: torch.ops.aten._adaptive_avg_pool2d_backward(dy, x)


def _upsample_backward(torch, a):
    dy = a["grad_output"]
    size = (*dy.shape[:2], dy.shape[2] // a["scale"][0], dy.shape[3] // a["scale"][1])
    return lambda: torch.ops.aten.upsample_nearest2d_backward(dy, dy.shape[2:], size)


def _embedding_backward(torch, a):
    return lambda: a["grad_weight"].index_add_(0, a["index"], a["grad_output"])


def _linear_params(torch, a):
    def run():
        a["grad_weight"].addmm_(a["grad_output"].T, a["input"])
        a["grad_bias"].add_(a["grad_output"].sum(0))

    return run


def _linear_gradients(torch, a):
    x, dy = a["input"], a["grad_output"]
    return lambda: (x.T @ dy if a["transposed"] else dy.T @ x, dy.sum(0))


def _from_output(name):
    """The gradient of a softmax from its output, as autograd calls it."""
    return lambda torch, a: lambda: getattr(torch.ops.aten, name)(a["grad_output"], a["output"], -1, a["output"].dtype)


BACKWARD = {
    "linear_gradients": _linear_gradients,
    "softmax_backward_from_output": _from_output("_softmax_backward_data"),
    "log_softmax_backward_from_output": _from_output("_log_softmax_backward_data"),
    "linear_backward_input": lambda torch, a: lambda: a["grad_output"] @ a["weight"],
    "linear_backward_params": _linear_params,
    "conv_backward_input": _backward_at(FORWARD["conv_forward"], "weight", "size"),
    "conv_backward_params": _backward_at(FORWARD["conv_forward"], wanted=("weight", "bias")),
    "max_pool_backward": _backward_at(FORWARD["max_pool_forward"]),
    "avg_pool_backward": _backward_at(FORWARD["avg_pool_forward"], "grad_output", "size"),
    "adaptive_avg_pool_backward": _adaptive_avg_pool_backward,
    "upsample_backward": _upsample_backward,
    "embedding_backward": _embedding_backward,
    **{name: _norm_backward(name.replace("backward", "forward"))
       for name in ("layer_norm_backward", "rms_norm_backward", "group_norm_backward")},
    **{name: _backward(FORWARD[name.replace("backward", "forward")])
       for name in ("unary_backward", "softmax_backward", "log_softmax_backward", "loss_backward", "nll_backward",
                    "cross_entropy_backward")},
}  # fmt: skip


def prepared(torch, operation, arguments):
    """A function without arguments that does in PyTorch what the operation does, or None where there is none."""
    if operation.name.startswith("loss") and arguments["name"] not in LOSS:
        return None
    tensors = {n: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for n, v in arguments.items()}
    if operation.name in FORWARD:
        forward = FORWARD[operation.name]
        return lambda: forward(torch.nn.functional, tensors)
    return BACKWARD[operation.name](torch, tensors) if operation.name in BACKWARD else None

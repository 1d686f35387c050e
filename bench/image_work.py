"""The networks and layers of images that `convolutions.py` times, described so that every library can build them.

A network is a list of layers, each with the name and the arguments that `fastnn.nn` and `torch.nn` share.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

IMAGE_STEPS, IMAGE_INFERENCE, IMAGE_LAYERS = "training steps of images", "inference of images", "layers of images"
IMAGE_TABLES = IMAGE_STEPS, IMAGE_INFERENCE, IMAGE_LAYERS
LENET, CIFAR = "LeNet-5", "CIFAR-shaped"
POOL = ("MaxPool2d", 2)


def _normed(ins, outs):
    return [("Conv2d", ins, outs, 3, 1, 1, 1, 1, False), ("BatchNorm2d", outs), ("ReLU",)]


NETWORKS = {
    LENET: [
        ("Conv2d", 1, 6, 5, 1, 2), ("ReLU",), POOL, ("Conv2d", 6, 16, 5), ("ReLU",), POOL, ("Flatten",),
        ("Linear", 400, 120), ("ReLU",), ("Linear", 120, 84), ("ReLU",), ("Linear", 84, 10),
    ],
    CIFAR: [
        *_normed(3, 32), *_normed(32, 32), POOL, *_normed(32, 64), POOL, *_normed(64, 128),
        ("AdaptiveAvgPool2d", 1), ("Flatten",), ("Linear", 128, 10),
    ],
}  # fmt: skip
POOLS = {"MaxPool2d": (2,), "MaxPool2d of 3": (3, 2, 1)}  # both halve the sides
PLANES = (64, 32, 32, 32), (64, 16, 28, 28), (64, 128, 8, 8)
LAYER_SHAPES = (
    ("MaxPool2d", (64, 6, 28, 28)),
    *((name, shape) for name in (*POOLS, "BatchNorm2d") for shape in PLANES),
    *(("LayerNorm", shape) for shape in ((128, 256), (128, 1000), (1024, 1024), (64, 128, 768), (4096, 1024))),
)
POOLED = 1.25  # arrays that max-pooling reads and writes, one of them a quarter
CLASSES = 10


def network(modules, name):
    """From `fastnn.nn` or `torch.nn`."""
    return modules.Sequential(*(getattr(modules, kind)(*arguments) for kind, *arguments in NETWORKS[name]))


def layer(modules, name, shape):
    """The layer of a case for this shape."""
    if name in POOLS:
        return modules.MaxPool2d(*POOLS[name])
    return getattr(modules, name)({"BatchNorm2d": shape[1], "LayerNorm": shape[-1]}[name])


def convolved(pixels, kernel, padding):
    return [n + 2 * padding - kernel + 1 for n in pixels]


def convolution(arguments):
    """Channels in and out, kernel, padding, and whether there is a bias."""
    ins, outs, kernel, *others = arguments
    return ins, outs, kernel, others[1] if len(others) > 1 else 0, others[4] if len(others) > 4 else True


def macs(name, pixels):
    """Multiply-adds of each convolution and linear map for one image."""
    found = []
    for kind, *arguments in NETWORKS[name]:
        if kind == "Conv2d":
            ins, outs, kernel, padding, _ = convolution(arguments)
            pixels = convolved(pixels, kernel, padding)
            found.append(ins * outs * kernel * kernel * prod(pixels))
        elif kind == "MaxPool2d":
            pixels = [n // arguments[0] for n in pixels]
        elif kind == "Linear":
            found.append(prod(arguments))
    return found


def flops(name, shape, training):
    """Of a batch; a training step computes no gradient of the data."""
    batch, _, *pixels = shape
    of_one = macs(name, pixels)
    return 2 * batch * (3 * sum(of_one) - of_one[0] if training else sum(of_one))


def parameters(rng, name, dtype):
    """Arrays in the order of the layers: weights, then biases."""
    found = []
    for kind, *arguments in NETWORKS[name]:
        if kind == "Conv2d":
            ins, outs, kernel, _, bias = convolution(arguments)
            shape = outs, ins, kernel, kernel
        elif kind == "Linear":
            (ins, outs), bias = arguments, True
            shape = outs, ins
        elif kind == "BatchNorm2d":
            found += [np.ones(arguments[0], dtype), np.zeros(arguments[0], dtype)]
            continue
        else:
            continue
        found.append((sqrt(2 / prod(shape[1:])) * rng.standard_normal(shape)).astype(dtype))
        found += [np.zeros(outs, dtype)] if bias else []
    return found


def arrays(rng, name, shape, dtype, net):
    """The arrays of a case: of a network, or of a layer."""
    made = {"x": rng.standard_normal(shape).astype(dtype)}
    if net:
        return made | {"y": rng.integers(0, CLASSES, shape[0]), "parameters": parameters(rng, name, dtype)}
    out = (*shape[:2], shape[2] // 2, shape[3] // 2) if name in POOLS else shape
    return made | {"dy": rng.standard_normal(out).astype(dtype)}

"""The networks that `fastnn train --model` names: layers for rows, or for rows that are images."""

from __future__ import annotations

import argparse

import numpy as np

from .. import nn

Image = tuple[int, int, int]  # channels, height, width

MODELS = "mlp", "lenet", "resnet"
ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
LENET_CHANNELS, LENET_HIDDEN = (6, 16), (120, 84)
LENET_LEAST, LENET_SMALL = 4, 12  # pixels: the least, and those from which the kernels are 5x5
RESNET_WIDTHS = 16, 32, 64
RESNET_LARGE = 16  # pixels from which the blocks start at half the resolution


def mlp(n_features: int, n_outputs: int, arguments: argparse.Namespace, rng: np.random.Generator) -> nn.Sequential:
    """Linear layers as the options say."""
    model = nn.Sequential()
    size = n_features
    for hidden in arguments.hidden:
        model.add(nn.Linear(size, hidden, bias=not arguments.batch_norm, rng=rng))
        if arguments.batch_norm:
            model.add(nn.BatchNorm1d(hidden))
        model.add(ACTIVATIONS[arguments.activation]())
        if arguments.dropout:
            model.add(nn.Dropout(arguments.dropout, rng=rng))
        size = hidden
    model.add(nn.Linear(size, n_outputs, rng=rng))
    return model


def check_image(model: str, image: Image | None) -> Image:
    """The shape of the images, or a line that says what data the model is for."""
    if image is None:
        raise ValueError(
            f"expected images for --model {model}: digits, a folder of IDX files, or an .npz with X of shape "
            "(N, H, W) or (N, C, H, W); got rows"
        )
    if model == "lenet" and min(image[1:]) < LENET_LEAST:
        least, got = f"{LENET_LEAST} x {LENET_LEAST}", f"{image[1]} x {image[2]}"
        raise ValueError(f"expected images of {least} pixels or more for --model lenet, got {got}")
    return image


def lenet(image: Image, n_outputs: int, rng: np.random.Generator) -> nn.Sequential:
    """LeNet-5 (LeCun et al., 1998) with ReLU and max-pooling; images below 12 pixels have kernels of 3x3 that pad."""
    channels, *pixels = image
    large = min(pixels) >= LENET_SMALL
    kernel, paddings = (5, (2, 0)) if large else (3, (1, 1))
    model = nn.Sequential(nn.Unflatten(1, image))
    for width, padding in zip(LENET_CHANNELS, paddings, strict=True):
        layers = nn.Conv2d(channels, width, kernel, padding=padding, rng=rng), nn.ReLU(), nn.MaxPool2d(2)
        for layer in layers:
            model.add(layer)
        pixels = [(n + 2 * padding - kernel + 1) // 2 for n in pixels]
        channels = width
    model.add(nn.Flatten())
    size = channels * pixels[0] * pixels[1]
    for hidden in LENET_HIDDEN:
        model.add(nn.Linear(size, hidden, rng=rng))
        model.add(nn.ReLU())
        size = hidden
    model.add(nn.Linear(size, n_outputs, rng=rng))
    return model


def resnet(image: Image, n_outputs: int, rng: np.random.Generator) -> nn.Sequential:
    """A residual network (He et al., 2015) of three blocks, each but the first at half the resolution of the last."""
    width = RESNET_WIDTHS[0]
    model = nn.Sequential(nn.Unflatten(1, image), *_normed(image[0], width, 1, rng), nn.ReLU())
    if min(image[1:]) >= RESNET_LARGE:
        model.add(nn.MaxPool2d(2))
    for wider in RESNET_WIDTHS:
        stride = 1 if wider == width else 2
        shortcut = None if stride == 1 else nn.Sequential(*_normed(width, wider, stride, rng, kernel=1))
        body = *_normed(width, wider, stride, rng), nn.ReLU(), *_normed(wider, wider, 1, rng)
        model.add(nn.Residual(*body, shortcut=shortcut))
        model.add(nn.ReLU())
        width = wider
    for layer in (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_outputs, rng=rng)):
        model.add(layer)
    return model


def _normed(ins: int, outs: int, stride: int, rng: np.random.Generator, kernel: int = 3) -> tuple[nn.Module, ...]:
    """A convolution and its batch normalisation, which has the bias."""
    convolution = nn.Conv2d(ins, outs, kernel, stride=stride, padding=kernel // 2, bias=False, rng=rng)
    return convolution, nn.BatchNorm2d(outs)

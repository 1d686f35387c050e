"""Dropout of elements and of channels.

Masks come from a counter-based generator: they are a function of the layer's key and of a step count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..checks import elementwise, floating, images, probability
from ..random import generator
from .module import Array, Module


class _Dropout(Module):
    """What the layers share: p, the key of the stream of masks, how many of them are used."""

    config_names = ("p",)
    random_names = ("key", "step")

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        self.p = probability(type(self).__name__, p)
        self.key = int(generator(rng).integers(2**64, dtype=np.uint64))
        self.step = 0

    def undo_output(self) -> None:
        self.step -= self.training


class Dropout(_Dropout):
    """Zero each element with probability p while training and divide the rest by 1 - p.

    y_i = x_i m_i / (1 - p), m_i = 0 with probability p, else 1. In evaluation the output is the input itself.

    Parameters
    ----------
    p : float
        Probability of zeroing, in [0, 1); honoured to 1/65536.
    rng : numpy.random.Generator, int or None
        Source of `key`, drawn here once.

    Attributes
    ----------
    key : int
        64-bit key of the layer's stream of masks.
    step : int
        Training forwards so far. Forward number k uses mask k of the stream. Both attributes are pickled with the
        layer, so a restored model goes on with the same masks.

    Raises
    ------
    ValueError
        p is outside [0, 1); in use: `grad_output` has not the shape of the input.
    TypeError
        In use: the input is not floating.

    Notes
    -----
    `backward` repeats the mask of the last training forward; before any, that of the first to come. The mask of an
    element depends on its position in C order alone, not on threads or vector width. NaN and infinity at a dropped
    place become NaN, as in PyTorch.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014; masks from
    Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer, x = nn.Dropout(0.5, rng=0), np.ones((2, 4), np.float32)
    >>> sorted({float(v) for v in layer.forward(x).ravel()} | {0.0, 2.0})
    [0.0, 2.0]
    >>> layer.eval().forward(x) is x
    True
    """

    def update_output(self, input: Array) -> Array:
        if not self.training:
            return floating("Dropout", "input", input)
        output: Array = backend.ops.dropout(input, self.p, self.key, self.step)
        self.step += 1
        return output

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        if np.shape(grad_output) != np.shape(input):
            elementwise("Dropout", input=input, grad_output=grad_output)  # raises
        if not self.training:
            return floating("Dropout", "grad_output", grad_output)
        return backend.ops.dropout(grad_output, self.p, self.key, max(self.step - 1, 0))

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "training", "p")
        return tape.dropout(input, self, probability("Dropout", self.p))


class Dropout2d(_Dropout):
    """Zero each channel of an image with probability p while training and divide the rest by 1 - p.

    In evaluation the output is the input itself.

    Parameters
    ----------
    p : float
        Probability of zeroing, in [0, 1); honoured to 1/65536.
    rng : numpy.random.Generator, int or None
        Source of `key`, drawn here once.

    Attributes
    ----------
    key, step : int
        As in `Dropout`.

    Raises
    ------
    ValueError
        p is outside [0, 1); in use: the input is not of shape (N, C, H, W), or `grad_output` has another shape.
    TypeError
        In use: the input is not floating.

    Notes
    -----
    `backward` repeats the mask of the last training forward, as in `Dropout`. NaN and infinity in a dropped channel
    become NaN. Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer, x = nn.Dropout2d(0.5, rng=0), np.ones((2, 8, 3, 3), np.float32)
    >>> sorted({float(channel.sum()) for channel in layer.forward(x).reshape(16, 9)})
    [0.0, 18.0]
    """

    def update_output(self, input: Array) -> Array:
        (input,) = images("Dropout2d", input=input)
        if not self.training:
            return input
        output = input * self._mask(input, self.step)
        self.step += 1
        return output

    def update_grad_input(self, input: Array, grad_output: Array) -> Array:
        input, grad_output = elementwise("Dropout2d", input=input, grad_output=grad_output)
        if not self.training:
            return grad_output
        return grad_output * self._mask(input, max(self.step - 1, 0))

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "training", "p")
        return tape.dropout_planes(input, self, probability("Dropout2d", self.p))

    def _mask(self, input: Array, step: int) -> Array:
        """0 or 1 / (1 - p) for each channel of each image, (N, C, 1, 1)."""
        mask: Array = backend.ops.dropout(np.ones(input.shape[:2], input.dtype), self.p, self.key, step)
        return mask[:, :, None, None]

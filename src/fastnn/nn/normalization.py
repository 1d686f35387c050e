"""Layers with one weight per channel: `BatchNorm1d`, `BatchNorm2d`, `ChannelwiseScale`.

Everything is computed in the common dtype of input and parameters; the variance takes
two passes. Running statistics are changed in place, and only by a forward that succeeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..arguments import flag, float_dtype, number, positive_int
from ..checks import shape
from .joint import _JointGradients
from .module import Array, Module


class _BatchNorm(_JointGradients):
    """Batch normalisation, whatever the axes behind the channels are."""

    _where = "BatchNorm1d"
    _axes: tuple[int, ...] = (2, 3)
    buffer_names = ("running_mean", "running_var", "num_batches_tracked")
    _caches = (*Module._caches, "_before")
    _before: tuple[Array, Array, int] | None = None  # the buffers before the last forward, if it changed them
    config_names = ("num_features", "eps", "momentum", "affine", "track_running_stats")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        self.num_features = positive_int(self._where, "num_features", num_features)
        self.eps = number(self._where, "eps", eps, low=0)
        self.momentum = None if momentum is None else number(self._where, "momentum", momentum, low=0, high=1)
        self.affine = flag(self._where, "affine", affine)
        self.track_running_stats = flag(self._where, "track_running_stats", track_running_stats)
        dtype = float_dtype(self._where, dtype)
        if self.affine:
            self.weight, self.bias = np.ones(num_features, dtype), np.zeros(num_features, dtype)
            self.grad_weight, self.grad_bias = np.zeros_like(self.weight), np.zeros_like(self.bias)
        self.running_mean: Array | None = None
        self.running_var: Array | None = None
        self.num_batches_tracked: Array | None = None
        if self.track_running_stats:
            self.running_mean, self.running_var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
            self.num_batches_tracked = np.zeros((), np.int64)

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1, count 0, in place."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.fill(0)
            self.running_var.fill(1)
            self.num_batches_tracked.fill(0)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, "training", *self.config_names, *self.param_names, *self.buffer_names)
        return tape.batch_norm(input, self)

    def update_output(self, input: Array) -> Array:
        self._before = None
        if not self._uses_batch(input):
            assert self.running_mean is not None and self.running_var is not None
            output = backend.ops.batch_norm_inference(
                self._channels(input), self.running_mean, self.running_var, self.weight, self.bias, self.eps
            )
            return self._like(input, output)
        output, mean, var = backend.ops.batch_norm_forward(self._channels(input), self.weight, self.bias, self.eps)
        if self.training and self.track_running_stats and output.size:
            self._track(mean, var, output.size // len(mean))
        return self._like(input, output)

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, Array, Array]:
        uses_batch = self._uses_batch(input)
        x, dy = self._channels(input), self._channels(grad_output, input)
        if uses_batch:
            grads = backend.ops.batch_norm_backward(x, self.weight, dy, self.eps)
        else:
            assert self.running_mean is not None and self.running_var is not None
            grads = backend.ops.batch_norm_inference_backward(
                x, self.running_mean, self.running_var, self.weight, dy, self.eps
            )
        return self._like(input, grads[0]), *grads[1:]

    def _uses_batch(self, input: Array) -> bool:
        """Whether the statistics of this batch are used, which must then have more than one value per channel."""
        if not self.training and self.running_mean is not None:
            return False
        sizes = np.shape(input)
        if sizes[:2] == (1, self.num_features) and len(sizes) in self._axes and set(sizes[2:]) <= {1}:
            raise ValueError(
                f"{self._where}: expected more than 1 value per channel when training, got input of shape {sizes}"
            )
        if len(sizes) in self._axes and sizes[1] != self.num_features:
            raise ValueError(f"{self._where}: expected input of shape {self._expected()}, got {sizes}")
        return True

    def _expected(self) -> str:
        """The shapes of inputs, in words."""
        return " or ".join(f"(N, {self.num_features}{', L' * (axes > 2)})" for axes in self._axes)

    def _channels(self, array: Array, input: Array | None = None) -> Array:
        """An input, or the gradient of the output at `input`, as the back end takes it: (N, C) or (N, C, L)."""
        return array

    def _like(self, input: Array, output: Array) -> Array:
        """What the back end gave, in the shape of the input."""
        return output

    def _track(self, mean: Array, var: Array, count: int) -> None:
        """Move the running statistics towards those of a batch of `count` values per channel, writing over these."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        if not all(array.flags.writeable for array in (self.running_mean, self.running_var, self.num_batches_tracked)):
            raise ValueError(f"{self._where}: expected writeable running statistics, got a read-only array")
        batches = int(self.num_batches_tracked)
        self._before = self.running_mean.copy(), self.running_var.copy(), batches
        share = 1 / (batches + 1) if self.momentum is None else self.momentum
        mean *= share
        mean += (1 - share) * self.running_mean
        var *= share * count / (count - 1)
        var += (1 - share) * self.running_var
        self.running_mean[...], self.running_var[...] = mean, var
        self.num_batches_tracked[...] = batches + 1

    def undo_output(self) -> None:
        if self._before is None:
            return
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.running_mean[...], self.running_var[...], self.num_batches_tracked[...] = self._before
        self._before = None


class BatchNorm1d(_BatchNorm):
    """Normalise every channel over the batch: y = (x - mean) / sqrt(var + eps) w + b.

    While training, mean and biased variance are the batch's, and the running statistics follow:
    running = (1 - momentum) running + momentum batch, with the unbiased variance. In evaluation the running statistics
    are used.

    Parameters
    ----------
    num_features : int
        Number of channels C; the input is (N, C) or (N, C, L).
    eps : float
        At least 0.
    momentum : float or None
        In [0, 1]; with None the running statistics are the plain average over all batches.
    affine : bool
        Whether there are a weight (ones at first) and a bias (zeros).
    track_running_stats : bool
        Without running statistics the batch's are used in evaluation too.
    dtype : dtype
        Of parameters and statistics, float32 or float64.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray (C,) or None
    running_mean, running_var : ndarray (C,) or None
    num_batches_tracked : ndarray (), int64, or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input has another shape or is not floating, or a
        training batch has one value per channel.

    Notes
    -----
    An empty batch gives an empty result and leaves the statistics alone. Ioffe and Szegedy, "Batch normalization",
    2015; semantics and names are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.BatchNorm1d(1, eps=0.0)
    >>> layer.forward(np.array([[1.0], [3.0]], np.float32))
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (array([0.2], dtype=float32), array([1.1], dtype=float32))
    """


class BatchNorm2d(_BatchNorm):
    """Normalise every channel of images over the batch and all pixels: y = (x - mean) / sqrt(var + eps) w + b.

    All else is as in `BatchNorm1d`.

    Parameters
    ----------
    num_features : int
        Number of channels C; the input is (N, C, H, W).
    eps : float
        At least 0.
    momentum : float or None
        In [0, 1]; with None the running statistics are the plain average over all batches.
    affine : bool
        Whether there are a weight (ones at first) and a bias (zeros).
    track_running_stats : bool
        Without running statistics the batch's are used in evaluation too.
    dtype : dtype
        Of parameters and statistics, float32 or float64.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray (C,) or None
    running_mean, running_var : ndarray (C,) or None
    num_batches_tracked : ndarray (), int64, or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input has another shape or is not floating, or a
        training batch has one value per channel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.BatchNorm2d(1, eps=0.0)
    >>> layer.forward(np.array([[[[1.0, 3.0]]]], np.float32))
    array([[[[-1.,  1.]]]], dtype=float32)
    """

    _where, _axes = "BatchNorm2d", (4,)

    def _expected(self) -> str:
        return f"(N, {self.num_features}, H, W)"

    def _channels(self, array: Array, input: Array | None = None) -> Array:
        array = np.asarray(array)
        if input is None:
            shape(self._where, "input", array, ("N", self.num_features, "H", "W"))
        else:
            shape(self._where, "grad_output", array, np.shape(input))
        return array.reshape(*array.shape[:2], array.shape[2] * array.shape[3])

    def _like(self, input: Array, output: Array) -> Array:
        return output.reshape(np.shape(input))


class ChannelwiseScale(_JointGradients):
    """Scale and shift every channel: y = x w + b.

    Parameters
    ----------
    num_features : int
        Number of channels C; the input is (N, C) or (N, C, L).
    bias : bool
        Whether there is a b.
    dtype : dtype
        Of the parameters, float32 or float64.

    Attributes
    ----------
    weight, grad_weight : ndarray (C,)
        Ones at first.
    bias, grad_bias : ndarray (C,) or None
        Zeros at first.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; in use: the input has another shape or is not floating.

    Notes
    -----
    The second half of batch normalisation as a layer of its own, as in Torch7's `CMul` and `CAdd`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> layer = nn.ChannelwiseScale(2)
    >>> layer.weight[...] = [2, 3]
    >>> layer.forward(np.ones((1, 2), np.float32))
    array([[2., 3.]], dtype=float32)
    """

    config_names = ("num_features", "bias")

    def __init__(self, num_features: int, bias: bool = True, *, dtype: Any = np.float32) -> None:
        self.num_features = positive_int("ChannelwiseScale", "num_features", num_features)
        dtype = float_dtype("ChannelwiseScale", dtype)
        self.weight, self.grad_weight = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        if flag("ChannelwiseScale", "bias", bias):
            self.bias, self.grad_bias = np.zeros(num_features, dtype), np.zeros(num_features, dtype)

    def update_output(self, input: Array) -> Array:
        return backend.ops.channel_scale_forward(input, self.weight, self.bias)

    def _gradients(self, input: Array, grad_output: Array) -> tuple[Array, Array, Array]:
        return backend.ops.channel_scale_backward(input, self.weight, grad_output)

    def lower(self, tape: Any, input: Any) -> Any:
        tape.watch(self, *self.param_names)
        return tape.channel_scale(input, self.weight, self.bias)

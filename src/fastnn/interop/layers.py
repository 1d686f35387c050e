"""The ONNX form of layers of fastnn in evaluation mode: one function each, in one table; images.py has the others.

ONNX Runtime has Elu, Selu, Softplus and Erf in float32 alone, and fails for a Clip in float64 behind a Relu; numbers
that are attributes of operators are float32. So float64 is made of simpler operators. Erf is computed in float32 there
too, which gives GELU its accuracy, about 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import FLOAT32, Array, Graph, Value

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # as in nn.SELU
AXES_ARE_INPUT = 18  # the opset from which ReduceMean takes its axes as an input


def _same(graph: Graph, layer: Any, x: Value) -> Value:
    return x


def _plain(kind: str) -> Callable[[Graph, Any, Value], Value]:
    """One operator; along the axis `dim` if the layer has one."""

    def form(graph: Graph, layer: Any, x: Value) -> Value:
        return graph.op(kind, [x], **({"axis": layer.dim} if hasattr(layer, "dim") else {}))

    return form


def _linear(graph: Graph, layer: Any, x: Value) -> Value:
    arrays = {name: getattr(layer, name) for name in ("weight", "bias") if getattr(layer, name) is not None}
    x, values = _promoted(graph, x, arrays)
    output = Value("", (x.shape[0], layer.weight.shape[0]), x.dtype)
    return graph.op("Gemm", [x, *values.values()], output, transB=1)


def _promoted(graph: Graph, x: Value, arrays: dict[str, Array]) -> tuple[Value, dict[str, Value]]:
    """Input and arrays in their common dtype, as layers compute."""
    dtype = np.result_type(x.dtype, *(array.dtype for array in arrays.values()))
    return graph.cast(x, dtype), {name: graph.parameter(name, array, dtype) for name, array in arrays.items()}


def _flatten(graph: Graph, layer: Any, x: Value) -> Value:
    """Reshape, in which 0 keeps the number of rows, which is the first axis, and -1 is what it is joined to."""
    start, end = (dim + len(x.shape) if dim < 0 else dim for dim in (layer.start_dim, layer.end_dim))
    if start == end:
        return x
    joined = x.shape[start : end + 1]
    known = math.prod(size for size in joined if size is not None)
    size = known if None not in joined and -1 not in joined else None if known == 1 else -1
    shape = (*x.shape[:start], size, *x.shape[end + 1 :])
    target = [(0 if start else -1) if size in (None, -1) else size for size in shape]
    return graph.op("Reshape", [x, graph.constant(target, np.int64)], x._replace(shape=shape))


def _unflatten(graph: Graph, layer: Any, x: Value) -> Value:
    """Reshape, in which 0 keeps the axes before and -1 is the axis behind whose size is not known, if one is not."""
    dim = layer.dim + len(x.shape) if layer.dim < 0 else layer.dim
    size, sizes = x.shape[dim], layer.unflattened_size
    if size not in (None, -1):
        known = math.prod(n for n in sizes if n != -1)
        sizes = tuple(size // known if n == -1 else n for n in sizes)
    shape = (*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
    target = [0 if place < dim and n in (None, -1) else -1 if n is None else n for place, n in enumerate(shape)]
    return graph.op("Reshape", [x, graph.constant(target, np.int64)], x._replace(shape=shape))


def _leaky_relu(graph: Graph, layer: Any, x: Value) -> Value:
    if x.dtype == FLOAT32:
        return graph.op("LeakyRelu", [x], alpha=layer.negative_slope)
    return graph.where_above(x, 0.0, x, graph.mul(x, layer.negative_slope))  # the attribute would be float32


def _elu(graph: Graph, layer: Any, x: Value) -> Value:
    if x.dtype == FLOAT32:
        return graph.op("Elu", [x], alpha=layer.alpha)
    return graph.where_above(x, 0.0, x, _exponential(graph, x, layer.alpha))


def _selu(graph: Graph, layer: Any, x: Value) -> Value:
    if x.dtype == FLOAT32:
        return graph.op("Selu", [x], alpha=SELU_ALPHA, gamma=SELU_SCALE)
    return graph.mul(graph.where_above(x, 0.0, x, _exponential(graph, x, SELU_ALPHA)), SELU_SCALE)


def _exponential(graph: Graph, x: Value, alpha: float) -> Value:
    """alpha (exp(x) - 1), which may not overflow where it is not used."""
    return graph.mul(graph.sub(graph.op("Exp", [graph.minimum(x, 0.0)]), 1.0), alpha)


def _softplus(graph: Graph, layer: Any, x: Value) -> Value:
    scaled = x if layer.beta == 1 else graph.mul(x, layer.beta)
    smooth = _log1p_exp(graph, scaled)
    if layer.beta != 1:
        smooth = graph.div(smooth, layer.beta)
    if x.dtype == FLOAT32 and layer.threshold >= 20:
        return smooth  # log(1 + exp(20)) is 20 in float32
    return graph.where_above(scaled, layer.threshold, x, smooth)


def _log1p_exp(graph: Graph, x: Value) -> Value:
    """log(1 + exp(x)), by max(x, 0) + log(1 + exp(-|x|)) where there is no operator."""
    if x.dtype == FLOAT32:
        return graph.op("Softplus", [x])
    small = graph.op("Exp", [graph.op("Neg", [graph.op("Abs", [x])])])
    return graph.add(graph.maximum(x, 0.0), graph.op("Log", [graph.add(small, 1.0)]))


def _gelu(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.approximate == "tanh":
        cubic = graph.mul(graph.mul(graph.mul(x, x), x), 0.044715)
        inner = graph.op("Tanh", [graph.mul(graph.add(cubic, x), math.sqrt(2 / math.pi))])
    else:
        scaled = graph.cast(graph.mul(x, math.sqrt(0.5)), FLOAT32)
        inner = graph.cast(graph.op("Erf", [scaled]), x.dtype)
    return graph.mul(graph.mul(graph.add(inner, 1.0), x), 0.5)


def _silu(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.mul(x, graph.op("Sigmoid", [x]))


def _mish(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.mul(x, graph.op("Tanh", [_log1p_exp(graph, x)]))


def _hardtanh(graph: Graph, layer: Any, x: Value) -> Value:
    if x.dtype == FLOAT32:
        return graph.op("Clip", [x, *(graph.constant(end, x.dtype) for end in (layer.min_val, layer.max_val))])
    return graph.minimum(graph.maximum(x, layer.min_val), layer.max_val)


def _batch_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.running_mean is None:
        return _batch_normalized(graph, layer, x)
    size = layer.num_features
    arrays = {
        "weight": np.ones(size, x.dtype) if layer.weight is None else layer.weight,
        "bias": np.zeros(size, x.dtype) if layer.bias is None else layer.bias,
        "running_mean": layer.running_mean,
        "running_var": layer.running_var,
    }
    if np.result_type(x.dtype, *arrays.values()) != FLOAT32:
        return _exactly_normalized(graph, layer, x)
    x, values = _promoted(graph, x, arrays)
    return graph.op("BatchNormalization", [x, *values.values()], epsilon=layer.eps)


def _exactly_normalized(graph: Graph, layer: Any, x: Value) -> Value:
    """With the running statistics and with eps in float64, which is float32 in the operator."""
    arrays = {name: _per_channel(getattr(layer, name), x) for name in ("running_mean", "running_var")}
    x, values = _promoted(graph, x, arrays)
    deviation = graph.op("Sqrt", [graph.add(values["running_var"], layer.eps)])
    return _scaled(graph, layer, graph.div(graph.sub(x, values["running_mean"]), deviation))


def _batch_normalized(graph: Graph, layer: Any, x: Value) -> Value:
    """With the mean and variance of the batch at hand."""
    centred = graph.sub(x, _channel_means(graph, x))
    variance = _channel_means(graph, graph.mul(centred, centred))
    return _scaled(graph, layer, graph.div(centred, graph.op("Sqrt", [graph.add(variance, layer.eps)])))


def _channel_means(graph: Graph, x: Value) -> Value:
    return _means(graph, x, [axis for axis in range(len(x.shape)) if axis != 1])


def _means(graph: Graph, x: Value, axes: list[int]) -> Value:
    """The means over some axes, which stay with size 1."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    if graph.opset >= AXES_ARE_INPUT:
        return graph.op("ReduceMean", [x, graph.constant(axes, np.int64)], x._replace(shape=shape))
    return graph.op("ReduceMean", [x], x._replace(shape=shape), axes=axes)


def _scaled(graph: Graph, layer: Any, x: Value) -> Value:
    """x w + b, one number of each a channel; there may be none."""
    arrays = {name: getattr(layer, name) for name in ("weight", "bias") if getattr(layer, name) is not None}
    x, values = _promoted(graph, x, {name: _per_channel(array, x) for name, array in arrays.items()})
    if "weight" in values:
        x = graph.mul(x, values["weight"])
    return graph.add(x, values["bias"]) if "bias" in values else x


def _per_channel(array: Array, x: Value) -> Array:
    """The vector in a shape that meets the axis of the channels, the second one."""
    return array.reshape(-1, *(1,) * (len(x.shape) - 2))


def summed(graph: Graph, values: list[Value]) -> Value:
    """The sum of values, in their common dtype."""
    dtype = np.result_type(*(value.dtype for value in values))
    first, *others = (graph.cast(value, dtype) for value in values)
    for other in others:
        first = graph.add(first, other)
    return first


def joined(graph: Graph, values: list[Value], dim: int) -> Value:
    """Values one behind the other along an axis, in their common dtype."""
    dtype = np.result_type(*(value.dtype for value in values))
    shape = values[0].shape
    axis = dim % len(shape)
    sizes = [value.shape[axis] for value in values]
    numbers = [size for size in sizes if size not in (None, -1)]
    size = sum(numbers) if len(numbers) == len(sizes) else sizes[0] if len(sizes) == 1 else -1
    like = values[0]._replace(shape=(*shape[:axis], size, *shape[axis + 1 :]), dtype=dtype)
    return graph.op("Concat", [graph.cast(value, dtype) for value in values], like, axis=axis)


# Containers are what to_onnx walks through, so they have no form of their own.
FORMS: dict[str, Callable[[Graph, Any, Value], Value]] = {
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "ChannelwiseScale": _scaled,
    "Dropout": _same,
    "ELU": _elu,
    "Flatten": _flatten,
    "GELU": _gelu,
    "Hardtanh": _hardtanh,
    "Identity": _same,
    "LeakyReLU": _leaky_relu,
    "Linear": _linear,
    "LogSoftmax": _plain("LogSoftmax"),
    "Mish": _mish,
    "ReLU": _plain("Relu"),
    "SELU": _selu,
    "SiLU": _silu,
    "Sigmoid": _plain("Sigmoid"),
    "Softmax": _plain("Softmax"),
    "Softplus": _softplus,
    "Tanh": _plain("Tanh"),
    "Unflatten": _unflatten,
}

"""Random models with random parameters and statistics, for tests of what takes whole models."""

from __future__ import annotations

import numpy as np
from cases import LAYERS, build
from hypothesis import strategies as st

from fastnn import nn

SHAPELESS = [row.call for row in LAYERS if (9,) in row.shapes]  # elementwise layers and softmaxes: any shape


def randomised(model, rng):
    """The model with other parameters and statistics than the initial ones, which would hide mistakes."""
    for name, array in (*model.named_parameters(), *model.named_buffers()):
        if array.dtype.kind == "f":
            spread = rng.random(array.shape) + 0.5 if name.endswith("var") else rng.standard_normal(array.shape)
            array[...] = spread / np.sqrt(array.shape[-1] if array.ndim == 2 else 1)
        else:
            array[...] = rng.integers(1, 9)
    return model


@st.composite
def branches(draw, width):
    """A container of branches with an input and outputs of `width` columns; twice as many come out of a `Concat`."""
    part = [nn.Linear(width, width), build(draw(st.sampled_from(SHAPELESS)), nn)]
    kind = draw(st.sampled_from(["Residual", "Concat", "Add"]))
    if kind == "Residual":
        return nn.Residual(*part, shortcut=draw(st.sampled_from([None, nn.Tanh(), nn.Linear(width, width)])))
    return getattr(nn, kind)(*draw(st.permutations([nn.Sequential(*part), nn.Identity()])))


@st.composite
def models(draw, exclude=(), dtypes=(np.float32, np.float64)):
    """A model, an input for it, and a generator: nested, of random layers that a Linear follows now and then."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng, width = np.random.default_rng(seed), draw(st.integers(1, 6))
    dtype, shape = draw(st.sampled_from(dtypes)), (width,)
    layers: list[nn.Module] = []
    if draw(st.booleans()):
        layers, shape = [nn.Flatten()], (width, draw(st.integers(1, 3)))
        width *= shape[1]
    for kind in draw(st.lists(st.sampled_from(["Linear", "BatchNorm1d", "ChannelwiseScale", "other"]), max_size=7)):
        if kind == "Linear":
            new = draw(st.integers(1, 6))
            layers.append(nn.Linear(width, new, bias=draw(st.booleans())))
            width = new
        elif kind == "BatchNorm1d":
            eps, affine = draw(st.sampled_from([1e-5, 0.1])), draw(st.booleans())
            momentum = draw(st.sampled_from([0.1, 0.7, None]))
            layers.append(nn.BatchNorm1d(width, eps, momentum, affine, draw(st.booleans())))
        elif kind == "ChannelwiseScale" and kind not in exclude:
            layers.append(nn.ChannelwiseScale(width, bias=draw(st.booleans())))
        else:
            call = draw(st.sampled_from([call for call in SHAPELESS if call.partition("(")[0] not in exclude]))
            layers.append(build(call, nn))
        if draw(st.integers(0, 3)) == 0:
            cut = draw(st.integers(0, len(layers)))
            layers[cut:] = [nn.Sequential(*layers[cut:])]
        if draw(st.integers(0, 4)) == 0:
            layers.append(draw(branches(width)))
            width = 2 * width if isinstance(layers[-1], nn.Concat) else width
    model = randomised(nn.Sequential(*layers).astype(dtype), rng)
    return model, rng.standard_normal((draw(st.integers(2, 5)), *shape)).astype(dtype), rng

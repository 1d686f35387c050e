"""The seminar's framework: camelCase, `Linear` without bias, W (out, in), gradients come as new arrays.

`forward` is what a layer of your own overrides. `from fastnn.compat.seminar import *` stands in for the file that
defines the framework.
"""

from typing import Any

import numpy as np

from . import activations, criterions, images, linear, module, normalization, optimizers
from .naming import CAMEL_CASE, Spelling

spell = Spelling(__name__, **CAMEL_CASE, evaluate="eval")

Module = spell(module.Module)
Sequential = spell(module.Sequential)


def dumb_forward(self: Any, input: Any) -> np.ndarray:
    """The output of `forward` by loops over samples, outputs and inputs, to see what they cost."""
    output = np.zeros((len(input), len(self.W)))
    for i, sample in enumerate(input):
        for j, weights in enumerate(self.W):
            for value, weight in zip(sample, weights, strict=True):
                output[i, j] += value * weight
    return output


Linear = spell(linear.Linear, _transposed=False, _biased=False, dumb_forward=dumb_forward)
SoftMax = spell(activations.SoftMax, _from_output=True)
LogSoftMax = spell(activations.LogSoftMax, _from_output=True)
BatchNormalization = spell(normalization.BatchNormalization, _exact_evaluation=True)
ChannelwiseScaling = spell(linear.Scaling, "ChannelwiseScaling", _row=False)
Dropout = spell(normalization.Dropout, _first_mask=None)
Conv2d = spell(images.Conv2d)
MaxPool2d = spell(images.MaxPool2d)
Flatten = spell(activations.Flatten)
ReLU = spell(activations.ReLU)
LeakyReLU = spell(activations.LeakyReLU)
ELU = spell(activations.ELU)
SoftPlus = spell(activations.SoftPlus)
Sigmoid = spell(activations.Sigmoid)
Tanh = spell(activations.Tanh)

Criterion = spell(criterions.Criterion)
MSECriterion = spell(criterions.MSECriterion)
ClassNLLCriterionUnstable = spell(criterions.NLLCriterionUnstable, "ClassNLLCriterionUnstable")
ClassNLLCriterion = spell(criterions.NLLCriterion, "ClassNLLCriterion")

sgd_momentum = spell(optimizers.sgd_momentum)
adam_optimizer = spell(optimizers.adam_optimizer)

__all__ = [
    "ELU",
    "BatchNormalization",
    "ChannelwiseScaling",
    "ClassNLLCriterion",
    "ClassNLLCriterionUnstable",
    "Conv2d",
    "Criterion",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogSoftMax",
    "MSECriterion",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SoftMax",
    "SoftPlus",
    "Tanh",
    "adam_optimizer",
    "np",
    "sgd_momentum",
]

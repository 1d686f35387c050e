"""The early edition of `torch7`: W (in, out), gradients come as new arrays, `ClassNLLCriterion` takes probabilities.

`from fastnn.compat.torch7_2017 import *` stands in for the file that defines the framework.
"""

import numpy as np

from . import activations, criterions, images, linear, module, normalization, optimizers
from .naming import CAMEL_CASE, Spelling

spell = Spelling(__name__, **CAMEL_CASE)

Module = spell(module.Module)
Sequential = spell(module.Sequential)

Linear = spell(linear.Linear)
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
ClassNLLCriterion = ClassNLLCriterionUnstable = spell(criterions.NLLCriterionUnstable, "ClassNLLCriterion")
LogClassNLLCriterion = spell(criterions.NLLCriterion, "LogClassNLLCriterion")

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
    "LogClassNLLCriterion",
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

"""The early edition of `torch7`: W (in, out), gradients come as new arrays, `ClassNLLCriterion` takes probabilities.

`from fastnn.compat.torch7_2017 import *` stands in for the file that defines the framework.
"""

import numpy as np

from . import criterions, layers, module, optimizers
from .naming import CAMEL_CASE, Spelling

spell = Spelling(__name__, **CAMEL_CASE)

Module = spell(module.Module)
Sequential = spell(module.Sequential)

Linear = spell(layers.Linear)
SoftMax = spell(layers.SoftMax, _from_output=True)
LogSoftMax = spell(layers.LogSoftMax, _from_output=True)
BatchNormalization = spell(layers.BatchNormalization, _exact_evaluation=True)
ChannelwiseScaling = spell(layers.Scaling, "ChannelwiseScaling", _row=False)
Dropout = spell(layers.Dropout, _first_mask=None)
Flatten = spell(layers.Flatten)
ReLU = spell(layers.ReLU)
LeakyReLU = spell(layers.LeakyReLU)
ELU = spell(layers.ELU)
SoftPlus = spell(layers.SoftPlus)
Sigmoid = spell(layers.Sigmoid)
Tanh = spell(layers.Tanh)

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
    "Criterion",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogClassNLLCriterion",
    "LogSoftMax",
    "MSECriterion",
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

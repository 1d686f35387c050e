"""The course framework in Torch7's spelling: `updateOutput`, `gradInput`, W (out, in), gradients of Linear accumulate.

`from fastnn.compat.torch7 import *` stands in for the file that defines the framework.
"""

import numpy as np

from . import criterions, layers, module, optimizers
from .naming import CAMEL_CASE, Spelling

spell = Spelling(__name__, **CAMEL_CASE)

Module = spell(module.Module)
Sequential = spell(module.Sequential)

Linear = spell(layers.Linear, _transposed=False, _accumulate=True)
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
    "Criterion",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
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

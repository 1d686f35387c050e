"""The course framework in snake_case: `update_output`, `grad_input`, W (in, out), gradients come as new arrays.

`from fastnn.compat.snake import *` stands in for the file that defines the framework.
"""

import numpy as np

from . import criterions, layers, module, optimizers
from .naming import Spelling

spell = Spelling(__name__)

Module = spell(module.Module, get_params=lambda self: self.get_parameters())
Sequential = spell(module.Sequential, _keep_lists=True)

Linear = spell(layers.Linear)
SoftMax = spell(layers.SoftMax)
LogSoftMax = spell(layers.LogSoftMax)
BatchNormalization = spell(layers.BatchNormalization)
Scaling = spell(layers.Scaling)
Dropout = spell(layers.Dropout)
Flatten = spell(layers.Flatten)
ReLU = spell(layers.ReLU)
LeakyReLU = spell(layers.LeakyReLU)
ELU = spell(layers.ELU)
SoftPlus = spell(layers.SoftPlus)
Sigmoid = spell(layers.Sigmoid)
Tanh = spell(layers.Tanh)

Criterion = spell(criterions.Criterion)
MSECriterion = spell(criterions.MSECriterion)
NLLCriterionUnstable = spell(criterions.NLLCriterionUnstable)
NLLCriterion = spell(criterions.NLLCriterion)

SGD = sgd_momentum = spell.also(sgd_momentum="SGD")(optimizers.sgd_momentum)
adam_optimizer = spell(optimizers.adam_optimizer)

__all__ = [
    "ELU",
    "SGD",
    "BatchNormalization",
    "Criterion",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogSoftMax",
    "MSECriterion",
    "Module",
    "NLLCriterion",
    "NLLCriterionUnstable",
    "ReLU",
    "Scaling",
    "Sequential",
    "Sigmoid",
    "SoftMax",
    "SoftPlus",
    "Tanh",
    "adam_optimizer",
    "np",
    "sgd_momentum",
]

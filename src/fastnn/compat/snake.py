"""The course framework in snake_case: `update_output`, `grad_input`, W (in, out), gradients come as new arrays.

`from fastnn.compat.snake import *` stands in for the file that defines the framework.
"""

import numpy as np

from . import activations, criterions, images, linear, module, normalization, optimizers
from .naming import Spelling

spell = Spelling(__name__)

Module = spell(module.Module, get_params=lambda self: self.get_parameters())
Sequential = spell(module.Sequential, _keep_lists=True)

Linear = spell(linear.Linear)
SoftMax = spell(activations.SoftMax)
LogSoftMax = spell(activations.LogSoftMax)
BatchNormalization = spell(normalization.BatchNormalization)
Scaling = spell(linear.Scaling)
Dropout = spell(normalization.Dropout)
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
NLLCriterionUnstable = spell(criterions.NLLCriterionUnstable)
NLLCriterion = spell(criterions.NLLCriterion)

SGD = sgd_momentum = spell.also(sgd_momentum="SGD")(optimizers.sgd_momentum)
adam_optimizer = spell(optimizers.adam_optimizer)

__all__ = [
    "ELU",
    "SGD",
    "BatchNormalization",
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

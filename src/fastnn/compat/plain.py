"""The course framework "with your own hands": `forward`, `backward`, `parameters`; W (out, in), new gradients always.

A layer of your own overrides `forward(input)` and `backward(input, grad_output)`, which store `output`.
`from fastnn.compat.plain import *` stands in for the file that defines the framework.
"""

from typing import Any

import numpy as np

from . import activations, criterions, images, linear, module, normalization, optimizers
from .naming import Spelling

MODULE = """Base class of the layers: `forward(input)`, then `backward(input, grad_output)`.

    A layer of your own overrides both, and with parameters `parameters` and `grad_parameters`. `forward` stores its
    result as `output`.

    Attributes
    ----------
    output
        What the last forward gave; None at first.
    _train : bool
        True at first and after `train()`, False after `eval()`.

    Examples
    --------
    >>> from fastnn.compat.plain import *
    >>> class Double(Module):
    ...     def forward(self, input):
    ...         self.output = 2 * input
    ...         return self.output
    ...     def backward(self, input, grad_output):
    ...         return 2 * grad_output
    >>> Double().forward(np.ones(2))
    array([2., 2.])
    """
CRITERION = """Base class of the losses: `forward(input, target)` is the loss, `backward(input, target)` its gradient.

    A criterion of your own overrides both.

    Attributes
    ----------
    output, grad_output
        What the last forward and backward gave; None at first.

    Examples
    --------
    >>> from fastnn.compat.plain import *
    >>> class Total(Criterion):
    ...     def forward(self, input, target):
    ...         return np.sum(input)
    >>> float(Total().forward(np.ones(3), None))
    3.0
    """

spell = Spelling(
    __name__,
    update_output="_update_output",
    update_grad_input="_update_grad_input",
    update_grad_params="_update_grad_params",
    zero_grad_params="zero_grad",
    get_parameters="parameters",
    get_grad_params="grad_parameters",
    evaluate="eval",
    training="_train",
    modules="layers",
    gradW="grad_W",
    gradb="grad_b",
    gradGamma="grad_gamma",
    gradBeta="grad_beta",
)


def missing(self: Any, *arguments: Any) -> Any:
    """Instead of a forward or backward that a class has not."""
    raise NotImplementedError(f"{type(self).__name__}: expected forward and backward in the class")


Module = spell(module.Module, __doc__=MODULE, _update_output=missing, _update_grad_input=missing)
Sequential = spell(module.Sequential, _collection=tuple, _flat=True)

Linear = spell.also(n_in="dim_in", n_out="dim_out")(linear.Linear, _transposed=False, __repr__=module.Module.__repr__)
SoftMax = spell(activations.SoftMax, _from_output=True)
LogSoftMax = spell(activations.LogSoftMax, _from_output=True)
BatchNormalization = spell(normalization.BatchNormalization, _exact_evaluation=True)
ChannelwiseScaling = spell(linear.Scaling, "ChannelwiseScaling", _row=False)
Dropout = spell(normalization.Dropout, _first_mask=None)
Conv2d = spell(images.Conv2d, __repr__=module.Module.__repr__)
MaxPool2d = spell(images.MaxPool2d, __repr__=module.Module.__repr__)
Flatten = spell(activations.Flatten)
ReLU = spell(activations.ReLU)
LeakyReLU = spell(activations.LeakyReLU)
ELU = spell(activations.ELU)
SoftPlus = spell(activations.SoftPlus)
Sigmoid = spell(activations.Sigmoid)
Tanh = spell(activations.Tanh)

# A criterion's result is called `grad_output` here: it is the gradient by the output of the network.
criterion = Spelling(
    __name__, update_output="_update_output", update_grad_input="_update_grad_input", grad_input="grad_output"
)
Criterion = criterion(criterions.Criterion, __doc__=CRITERION, _update_output=missing, _update_grad_input=missing)
MSE = criterion(criterions.MSECriterion, "MSE")
CrossEntropy = criterion(criterions.NLLCriterionUnstable, "CrossEntropy", EPS=1e-9, _backward_constant=1e-15)
NLL = criterion(criterions.NLLCriterion, "NLL")

SGD = spell(optimizers.gradient_descent, "SGD")
sgd_momentum = spell(optimizers.sgd_momentum)
adam_optimizer = spell(optimizers.adam_optimizer)

__all__ = [
    "ELU",
    "MSE",
    "NLL",
    "SGD",
    "BatchNormalization",
    "ChannelwiseScaling",
    "Conv2d",
    "Criterion",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogSoftMax",
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

"""Layers, containers and criterions."""

from . import utils
from .activations import (
    ELU,
    GELU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .containers import Sequential
from .criterions import (
    BCEWithLogitsLoss,
    Criterion,
    CrossEntropyLoss,
    HalfMSELoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
)
from .dropout import Dropout
from .linear import Flatten, Identity, Linear
from .module import Module, from_config
from .normalization import BatchNorm1d, ChannelwiseScale

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "ChannelwiseScale",
    "Criterion",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "HalfMSELoss",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "Module",
    "NLLLoss",
    "PoissonNLLLoss",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "from_config",
    "utils",
]

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
from .branches import Add, Concat, Parallel, Residual
from .containers import Sequential
from .convolution import Conv1d, Conv2d
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
from .dropout import Dropout, Dropout2d
from .embedding import Embedding
from .linear import Flatten, Identity, Linear, Unflatten
from .module import Module, from_config
from .normalization import BatchNorm1d, BatchNorm2d, ChannelwiseScale
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool1d, MaxPool2d
from .reshaping import Upsample, ZeroPad2d
from .samples import GroupNorm, LayerNorm, RMSNorm
from .transposed import ConvTranspose2d

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "ChannelwiseScale",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Criterion",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "HalfMSELoss",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "NLLLoss",
    "Parallel",
    "PoissonNLLLoss",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
    "from_config",
    "utils",
]

"""The early edition of torch7: gradients overwrite, W is (n_in, n_out), ClassNLLCriterion takes probabilities."""
# ruff: noqa: NPY002

import numpy as np

from . import torch7
from .torch7 import (
    ELU,
    BatchNormalization,
    ChannelwiseScaling,
    ClassNLLCriterionUnstable,
    Criterion,
    Dropout,
    Flatten,
    LeakyReLU,
    LogSoftMax,
    MaxPool2d,
    Module,
    MSECriterion,
    ReLU,
    Sequential,
    Sigmoid,
    SoftMax,
    SoftPlus,
    Tanh,
    adam_optimizer,
)

__all__ = [
    "ELU", "BatchNormalization", "ChannelwiseScaling", "ClassNLLCriterion", "ClassNLLCriterionUnstable", "Conv2d",
    "Criterion", "Dropout", "Flatten", "LeakyReLU", "Linear", "LogClassNLLCriterion", "LogSoftMax", "MSECriterion",
    "MaxPool2d", "Module", "ReLU", "Sequential", "Sigmoid", "SoftMax", "SoftPlus", "Tanh", "adam_optimizer", "np",
    "sgd_momentum",
]  # fmt: skip


class Linear(Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_in)
        self.W = np.random.uniform(-bound, bound, size=(n_in, n_out))
        self.b = np.random.uniform(-bound, bound, size=n_out)
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def updateOutput(self, input):
        self.output = np.dot(input, self.W) + self.b
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.dot(gradOutput, self.W.T)
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        self.gradW = np.dot(input.T, gradOutput)
        self.gradb = np.sum(gradOutput, axis=0)

    def zeroGradParameters(self):
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)

    def getParameters(self):
        return [self.W, self.b]

    def getGradParameters(self):
        return [self.gradW, self.gradb]

    def __repr__(self):
        n_in, n_out = self.W.shape
        return f"Linear {n_in} -> {n_out}"


class Conv2d(torch7.Conv2d):
    def accGradParameters(self, input, gradOutput):
        self.gradW = np.zeros(self.W.shape, np.result_type(input, gradOutput))
        self.gradb = np.zeros(self.b.shape, np.result_type(input, gradOutput))
        super().accGradParameters(input, gradOutput)

    def zeroGradParameters(self):
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)


ClassNLLCriterion = ClassNLLCriterionUnstable
LogClassNLLCriterion = torch7.ClassNLLCriterion
sgd_momentum = torch7.sgd_momentum

"""A seminar's text: camelCase, train() and eval(), Linear has no bias, its gradient overwrites, W is (n_out, n_in)."""
# ruff: noqa: NPY002

import numpy as np

from . import torch7
from .torch7 import (
    ClassNLLCriterion,
    ClassNLLCriterionUnstable,
    Criterion,
    MSECriterion,
    adam_optimizer,
    sgd_momentum,
)

__all__ = [
    "ELU", "BatchNormalization", "ChannelwiseScaling", "ClassNLLCriterion", "ClassNLLCriterionUnstable", "Conv2d",
    "Criterion", "Dropout", "Flatten", "LeakyReLU", "Linear", "LogSoftMax", "MSECriterion", "MaxPool2d", "Module",
    "ReLU", "Sequential", "Sigmoid", "SoftMax", "SoftPlus", "Tanh", "adam_optimizer", "np", "sgd_momentum",
]  # fmt: skip


class Module(torch7.Module):
    def eval(self):
        self.training = False


class Sequential(torch7.Sequential):
    def eval(self):
        self.training = False
        for module in self.modules:
            module.eval()


class Linear(Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        bound = 1.0 / np.sqrt(n_in)
        self.W = np.random.uniform(-bound, bound, size=(n_out, n_in))
        self.gradW = np.zeros_like(self.W)

    def updateOutput(self, input):
        self.output = np.dot(input, self.W.T)
        return self.output

    def dumb_forward(self, input):
        n_out, n_in = self.W.shape
        output = np.zeros((len(input), n_out))
        for row in range(len(input)):
            for j in range(n_out):
                for i in range(n_in):
                    output[row, j] += input[row][i] * self.W[j, i]
        return output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = np.dot(gradOutput, self.W)
        return self.gradInput

    def accGradParameters(self, input, gradOutput):
        self.gradW = np.dot(gradOutput.T, input)

    def zeroGradParameters(self):
        self.gradW = np.zeros_like(self.W)

    def getParameters(self):
        return [self.W]

    def getGradParameters(self):
        return [self.gradW]

    def __repr__(self):
        n_out, n_in = self.W.shape
        return f"Linear {n_in} -> {n_out}"


class SoftMax(torch7.SoftMax, Module):
    pass


class LogSoftMax(torch7.LogSoftMax, Module):
    pass


class BatchNormalization(torch7.BatchNormalization, Module):
    pass


class ChannelwiseScaling(torch7.ChannelwiseScaling, Module):
    pass


class Dropout(torch7.Dropout, Module):
    pass


class Conv2d(torch7.Conv2d, Module):
    def accGradParameters(self, input, gradOutput):
        self.gradW = np.zeros(self.W.shape, np.result_type(input, gradOutput))
        self.gradb = np.zeros(self.b.shape, np.result_type(input, gradOutput))
        super().accGradParameters(input, gradOutput)

    def zeroGradParameters(self):
        self.gradW = np.zeros_like(self.W)
        self.gradb = np.zeros_like(self.b)


class MaxPool2d(torch7.MaxPool2d, Module):
    pass


class Flatten(torch7.Flatten, Module):
    pass


class ReLU(torch7.ReLU, Module):
    pass


class LeakyReLU(torch7.LeakyReLU, Module):
    pass


class ELU(torch7.ELU, Module):
    pass


class SoftPlus(torch7.SoftPlus, Module):
    pass


class Sigmoid(torch7.Sigmoid, Module):
    pass


class Tanh(torch7.Tanh, Module):
    pass

"""Five course frameworks in plain NumPy: the oracles of `fastnn.compat` and its peer in the benchmarks.

Each module is written the way a student writes it from the course's text: the formula and nothing else. `VOICES` says
how each dialect spells things, so that one test can loop over all of them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field


def camel(name):
    return "grad" + name[:1].upper() + name[1:] if len(name) > 1 else "grad" + name


def snake(name):
    return "grad_" + name


@dataclass(frozen=True)
class Voice:
    """How one dialect spells things; `course` is its plain NumPy module, `compat` the one of fastnn."""

    name: str
    update_output: str = "updateOutput"
    update_grad_input: str = "updateGradInput"
    acc_grad_params: str | None = "accGradParameters"  # None: backward does both halves
    zero_grad_params: str = "zeroGradParameters"
    get_parameters: str = "getParameters"
    get_grad_params: str = "getGradParameters"
    grad_input: str = "gradInput"
    criterion_grad: str = "gradInput"
    evaluate: str = "evaluate"
    training: str = "training"
    modules: str = "modules"
    gradients: dict[str, str] = field(default_factory=lambda: {name: camel(name) for name in PARAMETERS})
    affine: str = "ChannelwiseScaling"
    mse: str = "MSECriterion"
    nll_on_probabilities: str = "ClassNLLCriterionUnstable"
    nll_on_log_probabilities: str = "ClassNLLCriterion"
    momentum: str = "sgd_momentum"
    adam: str = "adam_optimizer"
    size_names: tuple[str, str] = ("n_in", "n_out")
    has_bias: bool = True
    accumulates: bool = False  # Linear's gradients add up until they are zeroed
    out_by_in: bool = True  # the shape of W is (n_out, n_in)

    @property
    def course(self):
        return importlib.import_module(f"course.{self.name}")

    @property
    def compat(self):
        return importlib.import_module(f"fastnn.compat.{self.name}")

    @property
    def linear_parameters(self):
        return ("W", "b") if self.has_bias else ("W",)

    def sequential(self, module, *layers):
        """A container of the layers, in the dialect's way; `module` is `self.course` or `self.compat`."""
        if self.name == "plain":
            return module.Sequential(*layers)
        net = module.Sequential()
        for layer in layers:
            net.add(layer)
        return net


PARAMETERS = ("W", "b", "gamma", "beta")

VOICES = {
    voice.name: voice
    for voice in (
        Voice("torch7", accumulates=True),
        Voice(
            "torch7_2017",
            out_by_in=False,
            nll_on_probabilities="ClassNLLCriterion",
            nll_on_log_probabilities="LogClassNLLCriterion",
        ),
        Voice(
            "snake",
            update_output="update_output",
            update_grad_input="update_grad_input",
            acc_grad_params="update_grad_params",
            zero_grad_params="zero_grad_params",
            get_parameters="get_parameters",
            get_grad_params="get_grad_params",
            grad_input="grad_input",
            criterion_grad="grad_input",
            affine="Scaling",
            nll_on_probabilities="NLLCriterionUnstable",
            nll_on_log_probabilities="NLLCriterion",
            momentum="SGD",
            out_by_in=False,
        ),
        Voice(
            "plain",
            update_output="forward",
            update_grad_input="backward",
            acc_grad_params=None,
            zero_grad_params="zero_grad",
            get_parameters="parameters",
            get_grad_params="grad_parameters",
            grad_input="grad_input",
            criterion_grad="grad_output",
            evaluate="eval",
            training="_train",
            modules="layers",
            gradients={name: snake(name) for name in PARAMETERS},
            mse="MSE",
            nll_on_probabilities="CrossEntropy",
            nll_on_log_probabilities="NLL",
            size_names=("dim_in", "dim_out"),
        ),
        Voice("seminar", evaluate="eval", has_bias=False),
    )
}

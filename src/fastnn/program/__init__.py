"""`fastnn.compile`: a training step, an epoch or the inference of a model as one native call.

A model is written on a tape (tape.py, which records with recorder.py), the tape becomes a native program (build.py),
step.py and inference.py run it. explicit.py is the explicit loop, which serves wherever a program cannot.
"""

from __future__ import annotations

from typing import Any, overload

from ..arguments import flag
from ..nn import Criterion, Module
from ..optim import Optimizer
from .inference import Inference
from .step import Step

__all__ = ["Inference", "Step", "compile"]


@overload
def compile(model: Module, *, freeze: bool = False) -> Inference: ...
@overload
def compile(model: Module, criterion: Criterion, optimizer: Optimizer) -> Step: ...
def compile(model: Any, criterion: Any = None, optimizer: Any = None, *, freeze: bool = False) -> Inference | Step:
    """A model's training step, or its inference, as one native call.

    `compile(model, criterion, optimizer)` gives a `Step`: `step(x, y)` trains on a batch and returns its loss,
    `step.epoch(X, Y, batch_size)` on all rows. `compile(model)` gives an `Inference`: `f(x)` is the output in
    evaluation mode.

    Parameters
    ----------
    model : Module
        Containers of fastnn's own layers, or one such layer.
    criterion : Criterion, optional
        With the optimiser, for training.
    optimizer : Optimizer, optional
        Of the parameters of the model.
    freeze : bool
        For inference alone: take a snapshot of the parameters as they are now, with batch normalisation folded into the
        linear layer or convolution before it and the weights laid out for speed. What is assigned to the model later
        does not count.

    Returns
    -------
    Step or Inference
        To be called. It works on the model's own arrays and on the optimiser's own state, so it may take turns with
        explicit calls, and `state_dict()` is right at any time. The gradient arrays are not written.

    Raises
    ------
    TypeError
        A layer, the criterion or the optimiser has no compiled form: the line names it. A class of your own has none;
        train it with the explicit loop or with `Trainer`.
    ValueError
        One of criterion and optimiser is missing, or `freeze` comes with them.

    Notes
    -----
    The mathematics is that of the explicit loop, in another order of additions here and there. Parameters, modes,
    constants and hyper-parameters may be assigned between two calls, and a changed structure is noticed; a `forward`
    that is assigned to a layer later is not. Arrays that a program does not take (of another dtype than the model, not
    in native byte order, ...) go through the explicit loop, which writes the gradient arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.ReLU(), nn.Linear(8, 2, rng=1))
    >>> step = fastnn.compile(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.5))
    >>> X = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    >>> y = (X[:, 0] > X[:, 1]).astype(np.int64)
    >>> losses = [step.epoch(X, y, batch_size=32, rng=epoch).mean() for epoch in range(10)]
    >>> bool(losses[-1] < losses[0] / 2)
    True
    >>> predict = fastnn.compile(model)
    >>> bool((predict(X).argmax(axis=1) == y).mean() > 0.95)
    True
    """
    if criterion is None and optimizer is None:
        return Inference(model, flag("compile", "freeze", freeze))
    if criterion is None or optimizer is None:
        missing = "criterion" if criterion is None else "optimizer"
        raise ValueError(f"compile: expected a criterion and an optimizer to train, got no {missing}")
    if freeze:
        raise ValueError("compile: expected freeze for inference, got a criterion and an optimizer with it")
    return Step(model, criterion, optimizer)

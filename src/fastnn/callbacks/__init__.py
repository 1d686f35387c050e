"""Callbacks: what happens between the epochs of a training besides the training.

`Trainer.fit(..., callbacks=[...])` and the estimators of `fastnn.sklearn` take them.
"""

from .base import Callback, CallbackList, LambdaCallback
from .logs import CSVLogger, TensorBoard
from .monitors import EarlyStopping, TerminateOnNaN
from .rates import LRScheduler, ReduceLROnPlateau
from .saving import ModelCheckpoint

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "LRScheduler",
    "LambdaCallback",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]

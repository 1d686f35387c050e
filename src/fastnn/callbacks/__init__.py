"""Callbacks: what happens between the epochs of a training besides the training.

`Trainer.fit(..., callbacks=[...])` and the estimators of `fastnn.sklearn` take them.
"""

from .base import Callback, CallbackList, LambdaCallback

__all__ = ["Callback", "CallbackList", "LambdaCallback"]

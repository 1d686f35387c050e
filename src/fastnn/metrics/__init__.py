"""How good predictions are: shares of right answers, errors, the confusion matrix.

Every function takes the truth first and the predictions second, as those of scikit-learn do, whose numbers these are.
Classes may be given as labels (N,), as one-hot or probability rows (N, C), and predictions as scores (N, C): the
highest score of a row is its class. Regressions are (N,) or (N, outputs). Sums run in float64.
"""

from .classification import (
    PrecisionRecallF1,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    precision_recall_f1,
    top_k_accuracy,
)
from .plot import plot_confusion_matrix
from .regression import mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

__all__ = [
    "PrecisionRecallF1",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "mean_absolute_error",
    "mean_squared_error",
    "plot_confusion_matrix",
    "precision_recall_f1",
    "r2_score",
    "root_mean_squared_error",
    "top_k_accuracy",
]

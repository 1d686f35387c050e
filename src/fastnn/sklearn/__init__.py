"""Estimators of scikit-learn's interface: `MLPClassifier` and `MLPRegressor`, drop-in for those of scikit-learn.

Parameters, defaults, attributes, methods, random numbers and results are scikit-learn's; the training runs in compiled
steps. After scikit-learn's parameters come those that it has not: class weights, dropout, batch normalisation, an
activation for each layer, AdamW, callbacks. scikit-learn 1.6 or newer is needed, and imported by this package alone.
"""

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError(
        f"fastnn.sklearn: expected scikit-learn, got {error}: pip install 'fastnn[sklearn]' installs it"
    ) from None

from .classifier import MLPClassifier
from .regressor import MLPRegressor

del _sklearn

__all__ = ["MLPClassifier", "MLPRegressor"]

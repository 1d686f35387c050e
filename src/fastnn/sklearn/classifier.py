"""`MLPClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from .base import BaseMLP, has_partial_fit
from .documentation import documented

Array = np.ndarray


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = documented(
        """A multi-layer perceptron that classifies, with the interface and the results of scikit-learn's.

    Parameters
    ----------
    NETWORK
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, multiplied into the sample weights; 'balanced' is n / (n_classes * rows of the class).
    EXTRAS

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    ATTRIBUTES

    Raises
    ------
    ValueError
        In `fit`: a parameter is out of range or does not go with another one, data do not fit, or the weights became
        infinite.

    Notes
    -----
    With scikit-learn's parameters alone the initial weights are scikit-learn's to the last bit and the batches are the
    same; losses, weights and predictions are equal up to rounding. What differs: `loss_` is not cut off where a
    probability is 0 in floating point, float32 data give float32 `coefs_` with 'lbfgs' too, Ctrl-C keeps the last
    iteration of 'lbfgs' too, and `warm_start` with other `hidden_layer_sizes` is an error.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010; Kingma and Ba,
    "Adam: a method for stochastic optimization", 2015; Loshchilov and Hutter, "Decoupled weight decay regularization",
    2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from fastnn.sklearn import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> classifier = MLPClassifier(early_stopping=True, random_state=0).fit(X_train, y_train)
    >>> classifier.predict_proba(X_test).shape
    (450, 10)
    >>> bool(classifier.score(X_test, y_test) > 0.9)
    True
    """,
        "val_accuracy",
        "'softmax' for several classes, 'logistic' for two and for several labels a row",
    )

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's name and form)
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _score_name = "val_accuracy"
    loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.01,
        dtype: str | None = None,
        n_threads: int | None = None,
        callbacks: Any = None,
        progress: bool = False,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Train on rows and their classes.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
            Sparse data are never made dense as a whole.
        y : array-like, shape (n_samples,), or 0 and 1 of shape (n_samples, n_classes)
            One class a row, or any number of labels a row.
        sample_weight : array-like, shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        return self._fit(X, y, sample_weight)

    @available_if(has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Train for one more epoch, on these rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; y need not have all classes.
        classes : array-like, optional
            All classes that there will be; needed in the first call.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise ValueError("partial_fit: expected classes in the first call, got None")
        if classes is not None:
            labels = unique_labels(classes)
            if known is None:
                multilabel = type_of_target(y).startswith("multilabel")
                self._label_binarizer = LabelBinarizer().fit(y if multilabel else labels)
                self.classes_ = labels
            elif not np.array_equal(known, labels):
                raise ValueError(f"partial_fit: expected the classes of the first call, {known}, got {labels}")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """The classes of rows.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
            The class with the highest probability, or, of several labels a row, which of them are there.
        """
        output = self._output(X)
        if self.out_activation_ == "softmax":
            return self.classes_[output.argmax(axis=1)]
        return self._label_binarizer.inverse_transform(output.ravel() if self.n_outputs_ == 1 else output)

    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        output = self._output(X)
        return np.hstack([1 - output, output]) if self.n_outputs_ == 1 else output

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            log(predict_proba(X)).
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    # What the training asks for

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=self._input_dtypes(),
                             reset=reset)  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        classes = unique_labels(y)
        same = set(classes) == set(self.classes_)
        if not same and (self.warm_start or not set(classes) <= set(self.classes_)):
            expected = "the classes" if self.warm_start else "no other classes than those"
            raise ValueError(
                f"{type(self).__name__}: expected y with {expected} of the fit before, {self.classes_}, got {classes}"
            )
        return X, y

    def _targets(self, y: Any, dtype: Any) -> Array:
        """Labels from 0 of several classes; else 0.0 and 1.0, shape (n_samples, n_outputs)."""
        if self._out_activation() == "softmax":
            return np.searchsorted(self.classes_, y).astype(np.int64, copy=False)
        binary: Array = self._label_binarizer.transform(y)
        return binary.astype(dtype).reshape(len(binary), -1)

    def _count_outputs(self, y: Array) -> int:
        return len(self.classes_) if y.ndim == 1 else y.shape[1]

    def _class_weighted(self, weights: Array | None, y: Any, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return weights
        if incremental and self.class_weight == "balanced":
            raise ValueError("partial_fit: expected class_weight as a dict or None, got 'balanced'")
        of_classes = compute_sample_weight(self.class_weight, y)
        return of_classes if weights is None else of_classes * weights

    def _stratifies(self) -> bool:
        return self.n_outputs_ == 1

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _score(self, output: Array, y: Array, weights: Array | None) -> float:
        """The accuracy; of several labels a row, how often all are right."""
        right = output.argmax(axis=1) == y if y.ndim == 1 else ((output > 0.5) == (y > 0.5)).all(axis=1)
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

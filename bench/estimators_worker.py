"""The process of one library for `estimators.py`.

python bench/estimators_worker.py LIBRARY CPU,CPU: {"data": name, "hidden": sizes, "batch": rows, "dtype": name,
"epochs": number, "seed": number} -> {"seconds": s, "accuracy": share}.
"""

from __future__ import annotations

import functools
import gc
import sys
import time
import warnings

from peer_process import pin, serve

if __name__ == "__main__":
    pin()  # before any library counts the CPUs

ROWS, COLUMNS = 50_000, 100  # of the synthetic data


@functools.lru_cache(maxsize=2)
def split(name, dtype):
    """X_train, X_test, y_train, y_test; standardised."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    if name == "synthetic":
        X, y = datasets.make_classification(ROWS, COLUMNS, n_informative=20, class_sep=0.7, random_state=0)
    else:
        X, y = {"digits": datasets.load_digits, "breast cancer": datasets.load_breast_cancer}[name](return_X_y=True)
    X_train, X_test, *targets = train_test_split(X, y, test_size=0.2, random_state=0)
    scaler = StandardScaler().fit(X_train)
    return (*(scaler.transform(rows).astype(dtype) for rows in (X_train, X_test)), *targets)


class Estimators:
    """One library's MLPClassifier."""

    def __init__(self, name):
        import sklearn

        if name == "native":
            import fastnn
            from fastnn.sklearn import MLPClassifier

            self.version = f"{fastnn.__version__} ({fastnn.backend.backend()})"
        else:
            from sklearn.neural_network import MLPClassifier

            self.version = sklearn.__version__
        self.estimator = MLPClassifier

    def answer(self, request):
        X_train, X_test, y_train, y_test = split(request["data"], request["dtype"])
        epochs = request["epochs"]
        estimator = self.estimator(tuple(request["hidden"]), batch_size=request["batch"], random_state=request["seed"],
                                   max_iter=epochs, tol=0.0, n_iter_no_change=epochs)  # fmt: skip
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of no convergence
            start = time.perf_counter()
            estimator.fit(X_train, y_train)
            seconds = time.perf_counter() - start
        if estimator.n_iter_ != epochs:
            raise ValueError(f"expected {epochs} epochs, got {estimator.n_iter_}")
        return {"seconds": seconds, "accuracy": float(estimator.score(X_test, y_test))}


if __name__ == "__main__":
    serve(lambda: Estimators(sys.argv[1]))

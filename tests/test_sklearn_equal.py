"""The estimators give scikit-learn's results: the same weights, losses, scores and predictions for the same seed."""

import copy
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")  # the first whose MLPs take sample weights and the Poisson loss

from scipy import sparse
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered in log"),  # of probabilities
]

ROWS, FEATURES = 150, 8
RNG = np.random.RandomState(0)
X = RNG.randn(ROWS, FEATURES)
SCORES = np.tanh(X[:, :3] + 0.3 * RNG.randn(ROWS, 3))
WEIGHTS = RNG.uniform(0.1, 2.0, ROWS)
CLASSIFICATIONS = {
    "binary": np.array(["no", "yes"])[(SCORES[:, 0] > 0).astype(int)],
    "multiclass": 10 * SCORES.argmax(axis=1) + 5,
    "multilabel": (SCORES > 0.1).astype(int),
}
REGRESSIONS = {
    "regression": 2 * SCORES[:, 0] + SCORES[:, 1],
    "several outputs": SCORES @ [[1.0, 2.0], [0.0, 1.0], [-1.0, 0.5]],
    "poisson": np.floor(np.exp(1 + SCORES[:, 0])),
    "poisson, several": np.floor(np.exp(1 + SCORES)),
}
TASKS = {**CLASSIFICATIONS, **REGRESSIONS}
ACTIVATIONS = "identity", "logistic", "tanh", "relu"
OPTIONS = {
    "batches of 32": {"batch_size": 32},
    "in order": {"shuffle": False, "batch_size": 40},
    "early stopping": {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 2, "batch_size": 20},
    "early stopping in order": {"early_stopping": True, "shuffle": False, "batch_size": 20},
    "stops": {"tol": 0.1, "n_iter_no_change": 1, "max_iter": 40},
    "alpha": {"alpha": 3.0, "batch_size": 32},
    "two layers": {"hidden_layer_sizes": (9, 5), "learning_rate_init": 0.01},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "an array of sizes": {"hidden_layer_sizes": np.array([6])},
}
OF_SGD = {
    "invscaling": {"learning_rate": "invscaling", "power_t": 0.3, "batch_size": 32},
    "adaptive": {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1, "max_iter": 30, "batch_size": 32},
    "adaptive until it stops": {"learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1, "max_iter": 60},
    "adaptive, early stopping": {"learning_rate": "adaptive", "early_stopping": True, "n_iter_no_change": 1},
    "plain momentum": {"nesterovs_momentum": False, "batch_size": 32},
    "no momentum": {"momentum": 0.0, "batch_size": 32},
}
OF_ADAM = {"other constants": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3, "batch_size": 32}}
WAYS = [("sgd", name) for name in {**OPTIONS, **OF_SGD}] + [("adam", name) for name in {**OPTIONS, **OF_ADAM}]


def pair(task, **parameters):
    """fastnn's estimator and scikit-learn's."""
    parameters = {"random_state": 3, "max_iter": 12, "hidden_layer_sizes": (7,), **parameters}
    if parameters.get("solver") == "sgd":
        parameters.setdefault("learning_rate_init", 0.02)
    if "poisson" in task:
        parameters["loss"] = "poisson"
    name = "MLPClassifier" if task in CLASSIFICATIONS else "MLPRegressor"
    return globals()[name](**parameters), getattr(neural_network, name)(**parameters)


def assert_equal(ours, theirs, rows=X, rtol=1e-7, atol=1e-9):
    """All attributes that both have, and the predictions."""
    public = [name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")]
    assert {"coefs_", "intercepts_", "loss_", "n_iter_", "t_", "n_features_in_"} <= {*public}
    assert [name for name in vars(ours) if name.endswith("_") and not name.startswith("_")]
    for name in public:
        own, expected = getattr(ours, name), getattr(theirs, name)
        if name in ("coefs_", "intercepts_"):
            assert isinstance(own, list) and len(own) == len(expected)
            for one, other in zip(own, expected, strict=True):
                assert one.shape == other.shape and one.flags.c_contiguous
                np.testing.assert_allclose(one, other, rtol, atol, err_msg=name)
        elif isinstance(expected, str) or expected is None:
            assert own == expected, name
        elif name in ("classes_", "n_iter_", "t_"):
            np.testing.assert_array_equal(own, expected, err_msg=name)
        else:
            np.testing.assert_allclose(own, expected, rtol, atol, err_msg=name)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, method):
            own, expected = getattr(ours, method)(rows), getattr(theirs, method)(rows)
            assert type(own) is type(expected)
            own, expected = (value.toarray() if sparse.issparse(value) else value for value in (own, expected))
            assert own.dtype == expected.dtype and own.shape == expected.shape, method
            if own.dtype.kind == "f":
                np.testing.assert_allclose(own, expected, rtol, atol, err_msg=method)
            else:
                np.testing.assert_array_equal(own, expected, err_msg=method)


def fit_both(task, *arguments, rows=X, **parameters):
    ours, theirs = pair(task, **parameters)
    assert ours.fit(rows, TASKS[task], *arguments) is ours
    theirs.fit(rows, TASKS[task], *arguments)
    return ours, theirs


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", TASKS)
def test_initial_weights_are_the_same_bits(task, activation):
    """Steps of 1e-300 change nothing."""
    parameters = {"activation": activation, "learning_rate_init": 1e-300, "solver": "sgd", "max_iter": 1}
    ours, theirs = fit_both(task, hidden_layer_sizes=(9, 5), **parameters)
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert len(np.unique(one)) > 1 or one.size == 1
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_solvers_and_activations(solver, task, activation, weighted):
    arguments = [WEIGHTS] if weighted else []
    assert_equal(*fit_both(task, *arguments, solver=solver, activation=activation, batch_size=32))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("solver", "way"), WAYS)
def test_ways_to_train(solver, way, task):
    ours, theirs = fit_both(task, solver=solver, **{**OPTIONS, **OF_SGD, **OF_ADAM}[way])
    assert_equal(ours, theirs)
    if way in ("stops", "adaptive until it stops"):
        assert ours.n_iter_ < ours.max_iter


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "several outputs"])
def test_early_stopping_with_weights(task):
    assert_equal(*fit_both(task, WEIGHTS, early_stopping=True, max_iter=20, batch_size=16))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", TASKS)
def test_lbfgs(task, activation, weighted):
    arguments = [WEIGHTS] if weighted else []
    ours, theirs = fit_both(task, *arguments, solver="lbfgs", activation=activation, max_iter=10)
    assert_equal(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("least", "batch"), [(0.5, 32), (2.4, 32), (2.4, 110)])  # 62 or 2 % are not zero
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "several outputs"])
def test_sparse_rows(task, solver, form, least, batch):
    rows = form(X * (np.abs(X) > least))
    early = {"early_stopping": True} if form is sparse.csr_array and solver != "lbfgs" else {}
    ours, theirs = fit_both(task, WEIGHTS, rows=rows, solver=solver, batch_size=batch, **early)
    assert_equal(ours, theirs, rows, rtol=1e-6, atol=1e-7)


def test_sparse_labels():
    ours, theirs = pair("multilabel")
    labels = sparse.csr_matrix(TASKS["multilabel"])
    assert_equal(ours.fit(X, labels), theirs.fit(X, labels))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_warm_start(solver, task):
    ours, theirs = pair(task, solver=solver, warm_start=True, max_iter=4, batch_size=32)
    for estimator in (ours, theirs):
        estimator.fit(X, TASKS[task])
        estimator.set_params(learning_rate_init=0.003, max_iter=3, random_state=5).fit(X, TASKS[task])
    assert len(ours.loss_curve_) == 7 and ours.n_iter_ == 3
    assert_equal(ours, theirs)


def test_warm_start_with_early_stopping():
    ours, theirs = pair("binary", warm_start=True, early_stopping=True, max_iter=6)
    for estimator in (ours, theirs):
        for seed in (1, 2, 3):
            estimator.set_params(random_state=seed).fit(X, TASKS["binary"])
    assert_equal(ours, theirs)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit(solver, task):
    """Also of an estimator that was pickled or copied in between."""
    ours, theirs = pair(task, solver=solver, learning_rate="invscaling", batch_size=16, random_state=4)
    y = TASKS[task]
    classes = {"classes": np.arange(3) if task == "multilabel" else np.unique(y)} if task in CLASSIFICATIONS else {}
    for turn, start in enumerate(range(0, ROWS, 50)):
        part = slice(start, start + 50)
        ours.partial_fit(X[part], y[part], WEIGHTS[part] if turn == 1 else None, **classes)
        theirs.partial_fit(X[part], y[part], WEIGHTS[part] if turn == 1 else None, **classes)
        ours = (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), ours)[turn]
        classes = {}
    assert len(ours.loss_curve_) == 3
    assert_equal(ours, theirs)


def test_partial_fit_with_a_class_that_is_not_there_yet():
    ours, theirs = pair("multiclass")
    y = TASKS["multiclass"]
    some = y != 25
    for estimator in (ours, theirs):
        estimator.partial_fit(X[some], y[some], classes=[5, 15, 25]).partial_fit(X, y)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_float32_stays(solver, task):
    rows = X.astype(np.float32)
    ours, theirs = fit_both(task, rows=rows, solver=solver, batch_size=32)
    assert {array.dtype for array in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert_equal(ours, theirs, rows, rtol=2e-3, atol=2e-4)
    assert_equal(ours, theirs, X, rtol=2e-3, atol=2e-4)  # float64 rows of a float32 network


def test_a_sequence_of_fits_from_one_random_state():
    state = [np.random.RandomState(7), np.random.RandomState(7)]
    for _ in range(2):
        ours, theirs = pair("multiclass")
        ours.set_params(random_state=state[0]).fit(X, TASKS["multiclass"])
        theirs.set_params(random_state=state[1]).fit(X, TASKS["multiclass"])
        assert_equal(ours, theirs)
    assert state[0].randint(2**31) == state[1].randint(2**31)


def test_one_class_and_one_row():
    for rows, y in ((X, np.zeros(ROWS)), (X[:1], np.zeros(1)), (X[:2], np.arange(2))):
        ours, theirs = pair("binary", batch_size="auto")
        assert_equal(ours.fit(rows, y), theirs.fit(rows, y))


def test_parameters_defaults_and_signatures_are_the_same():
    for own, name in ((MLPClassifier, "MLPClassifier"), (MLPRegressor, "MLPRegressor")):
        theirs = getattr(neural_network, name)
        expected = theirs().get_params()
        assert expected.items() <= own().get_params().items()
        assert (
            list(own.__init__.__annotations__)[: len(expected)]
            == list(theirs.__init__.__code__.co_varnames)[1 : len(expected) + 1]
        )
        public = {name for name in dir(theirs()) if not name.startswith("_")}
        assert public <= {*dir(own())}
        assert own().loss == theirs().loss  # the classifiers have it too, not as a parameter


def test_warnings_are_of_the_same_kind():
    for estimator in pair("binary", max_iter=2):
        with pytest.warns(ConvergenceWarning):
            estimator.fit(X, TASKS["binary"])
    for estimator in pair("binary", max_iter=2, solver="lbfgs"):
        with pytest.warns(ConvergenceWarning):
            estimator.fit(X, TASKS["binary"])
    for estimator in pair("binary", batch_size=ROWS + 1):
        with pytest.warns(UserWarning, match="batch_size"):
            estimator.fit(X, TASKS["binary"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair("binary", tol=10.0, n_iter_no_change=1)[0].fit(X, TASKS["binary"])

"""What the estimators have beyond scikit-learn's, and how they go with the rest of scikit-learn and with joblib."""

import copy
import itertools
import pickle
import signal
import threading
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn import callbacks, nn, optim
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.sklearn.network import ACTIVATIONS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(1)
X = RNG.randn(161, 6)
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int) + (X[:, 2] > 1)
T = X[:, 0] - X[:, 1] * X[:, 2]
SHORT = {"max_iter": 5, "hidden_layer_sizes": (8,), "random_state": 0, "batch_size": 32}


def same(one, other):
    """Whether two fits have the same weights, bit for bit."""
    pairs = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def logits(estimator, rows=X):
    """The network by hand, for one hidden ReLU layer."""
    hidden = np.maximum(rows @ estimator.coefs_[0] + estimator.intercepts_[0], 0)
    return hidden @ estimator.coefs_[1] + estimator.intercepts_[1]


# Parameters beyond scikit-learn's


def test_class_weights_are_sample_weights():
    weights = {0: 0.5, 1: 2.0, 2: 3.0}
    by_class = MLPClassifier(**SHORT, class_weight=weights).fit(X, Y)
    by_row = MLPClassifier(**SHORT).fit(X, Y, sample_weight=np.array([0.5, 2.0, 3.0])[Y])
    assert same(by_class, by_row)
    assert not same(by_class, MLPClassifier(**SHORT).fit(X, Y))
    both = MLPClassifier(**SHORT, class_weight=weights).fit(X, Y, np.arange(1, 162))
    assert same(both, MLPClassifier(**SHORT).fit(X, Y, np.array([0.5, 2.0, 3.0])[Y] * np.arange(1, 162)))
    balanced = MLPClassifier(**SHORT, class_weight="balanced").fit(X, Y)
    counts = np.bincount(Y)
    assert same(balanced, MLPClassifier(**SHORT).fit(X, Y, (len(Y) / (3 * counts))[Y]))
    dictionary = MLPClassifier(**SHORT, class_weight=weights).partial_fit(X, Y, classes=[0, 1, 2])
    assert dictionary.n_iter_ == 1
    with pytest.raises(ValueError, match="expected class_weight as a dict or None, got 'balanced'"):
        MLPClassifier(**SHORT, class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    estimator = MLPRegressor(**{**SHORT, "max_iter": 30}, activation=activation, learning_rate_init=0.01).fit(X, T)
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]
    hidden = ACTIVATIONS[activation]().forward(X @ estimator.coefs_[0] + estimator.intercepts_[0])
    expected = hidden @ estimator.coefs_[1] + estimator.intercepts_[1]
    np.testing.assert_allclose(estimator.predict(X), expected.ravel(), rtol=1e-12, atol=1e-12)


def test_an_activation_for_each_layer():
    sizes = {**SHORT, "hidden_layer_sizes": (8, 5)}
    one, other = (MLPRegressor(**sizes, activation=activation).fit(X, T) for activation in (["tanh"] * 2, "tanh"))
    assert same(one, other)
    estimator = MLPRegressor(**sizes, activation=("logistic", "elu")).fit(X, T)
    assert [type(layer) for layer in estimator.model] == [nn.Linear, nn.Sigmoid, nn.Linear, nn.ELU, nn.Linear]
    bounds = [np.sqrt(2 / 14), np.sqrt(6 / 13), np.sqrt(6 / 6)]
    fresh = estimator.set_params(max_iter=1, solver="sgd", learning_rate_init=1e-300)
    for coef, bound in zip(fresh.fit(X, T).coefs_, bounds, strict=True):
        assert 0.8 * bound < np.abs(coef).max() < bound


@pytest.mark.parametrize("p", [0.5, [0.5]])
def test_dropout(p):
    without = MLPClassifier(**SHORT).fit(X, Y)
    one, other = (MLPClassifier(**SHORT, dropout=p).fit(X, Y) for _ in range(2))
    assert same(one, other) and not same(one, without)
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    np.testing.assert_array_equal(one.predict(X), logits(one).argmax(axis=1))  # nothing is dropped
    assert same(MLPClassifier(**SHORT, dropout=0.0).fit(X, Y), without)


def test_dropout_of_some_layers():
    estimator = MLPRegressor(**{**SHORT, "hidden_layer_sizes": (8, 5)}, dropout=[0.0, 0.25]).fit(X, T)
    layers = [type(layer).__name__ for layer in estimator.model]
    assert layers == ["Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"]


def test_batch_normalisation():
    """161 rows in batches of 32 leave one, which has no variance."""
    parameters = {**SHORT, "max_iter": 60, "n_iter_no_change": 60, "learning_rate_init": 0.01}
    estimator = MLPRegressor(**parameters, batch_norm=True).fit(X, T)
    norm = estimator.batch_norms_[0]
    assert int(norm.num_batches_tracked) == 60 * 5
    centred = X @ estimator.coefs_[0] + estimator.intercepts_[0] - norm.running_mean
    hidden = np.maximum(centred / np.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias, 0)
    expected = (hidden @ estimator.coefs_[1] + estimator.intercepts_[1]).ravel()
    np.testing.assert_allclose(estimator.predict(X), expected, rtol=1e-10, atol=1e-12)
    assert estimator.score(X, T) > 0.5
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).predict(X), estimator.predict(X))
    with pytest.raises(ValueError, match="expected 2 rows or more with batch_norm, got n_samples = 1"):
        estimator.partial_fit(X[:1], T[:1])


def test_early_stopping_keeps_the_statistics_of_the_best_epoch():
    seen = {}

    def keep(record):
        seen[record["val_r2"]] = float(estimator.batch_norms_[0].running_mean[0])

    estimator = MLPRegressor(**{**SHORT, "max_iter": 15}, batch_norm=True, early_stopping=True, learning_rate_init=0.3)
    estimator.set_params(callbacks=[keep]).fit(X, T)
    assert len(set(seen.values())) > 3
    assert estimator.best_validation_score_ != estimator.validation_scores_[-1]
    assert float(estimator.batch_norms_[0].running_mean[0]) == seen[estimator.best_validation_score_]


def test_adamw_is_the_optimiser_of_that_name():
    """In PyTorch's form, in the order that scikit-learn draws."""
    parameters = {**SHORT, "max_iter": 3, "alpha": 0.0, "beta_1": 0.8, "epsilon": 1e-4, "learning_rate_init": 0.01}
    estimator = MLPRegressor(**parameters, solver="adamw", weight_decay=0.3).fit(X, T)
    rng = np.random.RandomState(0)
    model = nn.Sequential(nn.Linear(6, 8, dtype=np.float64), nn.ReLU(), nn.Linear(8, 1, dtype=np.float64))
    for layer in (model[0], model[2]):
        bound = np.sqrt(6 / sum(layer.weight.shape))
        layer.weight[...] = rng.uniform(-bound, bound, layer.weight.shape[::-1]).T
        layer.bias[...] = rng.uniform(-bound, bound, layer.bias.shape)
    optimizer, criterion = optim.AdamW(model, 0.01, (0.8, 0.999), 1e-4, 0.3), nn.HalfMSELoss("batchmean")
    order = np.arange(161)
    for _ in range(3):
        picked = np.arange(161)
        rng.shuffle(picked)
        order = order[picked]
        for start in range(0, 161, 32):
            rows = order[start : start + 32]
            model.zero_grad()
            output = model.forward(X[rows])
            model.backward(X[rows], criterion.backward(output, T[rows, None]))
            optimizer.step()
    np.testing.assert_allclose(estimator.coefs_[0], model[0].weight.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(estimator.intercepts_[1], model[2].bias, rtol=1e-10, atol=1e-12)
    assert not same(estimator, MLPRegressor(**parameters, solver="adamw", weight_decay=0.0).fit(X, T))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("dtype", "given"), [("float32", np.float64), ("float64", np.float32)])
def test_dtype(dtype, given, solver):
    estimator = MLPClassifier(**SHORT, solver=solver, dtype=dtype).fit(X.astype(given), Y)
    assert {array.dtype for array in estimator.coefs_ + estimator.intercepts_} == {np.dtype(dtype)}
    assert estimator.predict_proba(X).dtype == dtype
    reference = MLPClassifier(**SHORT, solver=solver).fit(X, Y)
    np.testing.assert_allclose(estimator.predict_proba(X), reference.predict_proba(X), atol=1e-3)


def test_threads_are_limited_in_training_and_prediction_alone(monkeypatch):
    before = fastnn.get_num_threads()
    asked = []
    monkeypatch.setattr(fastnn.backend, "set_num_threads", asked.append)
    estimator = MLPClassifier(**SHORT, n_threads=1).fit(X, Y)
    estimator.predict(X)
    assert asked == [1, before, 1, before]
    MLPClassifier(**SHORT).fit(X, Y).predict(X)
    assert len(asked) == 4


# Callbacks


class Recorder(callbacks.Callback):
    def __init__(self):
        self.calls, self.records = [], []

    def on_train_begin(self, estimator):
        self.calls.append("begin")
        assert isinstance(estimator.model, nn.Sequential)

    def on_epoch_end(self, estimator, record):
        self.calls.append(record["epoch"])
        self.records.append(record)
        assert estimator.n_iter_ == record["epoch"]

    def on_train_end(self, estimator):
        self.calls.append("end")


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw", "lbfgs"])
def test_callbacks(solver):
    recorder, records = Recorder(), []
    estimator = MLPClassifier(**SHORT, solver=solver, callbacks=[recorder, records.append]).fit(X, Y)
    assert recorder.calls == ["begin", 1, 2, 3, 4, 5, "end"]
    assert recorder.records == records
    assert records[-1]["loss"] == estimator.loss_ and records[-1]["seconds"] > 0
    if solver != "lbfgs":
        assert [record["loss"] for record in records] == estimator.loss_curve_
        assert {record["lr"] for record in records} == {0.001}
        assert isinstance(estimator.optimizer, optim.Optimizer)
    assert same(estimator, MLPClassifier(**SHORT, solver=solver).fit(X, Y))


@pytest.mark.parametrize(("estimator", "name"), [(MLPClassifier, "val_accuracy"), (MLPRegressor, "val_r2")])
def test_records_have_the_validation_score(estimator, name):
    records = []
    fitted = estimator(**SHORT, early_stopping=True, callbacks=[records.append]).fit(X, Y)
    assert [record[name] for record in records] == fitted.validation_scores_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_end_the_training(solver, recwarn):
    class Stop(callbacks.Callback):
        def on_epoch_end(self, estimator, record):
            estimator.stop_training = record["epoch"] == 3

    estimator = MLPClassifier(**SHORT, solver=solver, callbacks=[Stop()]).fit(X, Y)
    assert estimator.n_iter_ == 3 and not recwarn
    assert same(estimator, MLPClassifier(**{**SHORT, "max_iter": 3}, solver=solver).fit(X, Y))
    assert "stop_training" not in vars(estimator)
    assert estimator.set_params(callbacks=None).fit(X, Y).n_iter_ == 5


def test_callbacks_of_the_package():
    stopping = callbacks.EarlyStopping("loss", patience=2)
    estimator = MLPRegressor(**{**SHORT, "max_iter": 300}, solver="sgd", learning_rate_init=0.6, callbacks=[stopping])
    estimator.fit(X, T)
    assert estimator.n_iter_ == stopping.best_epoch + 2 < 300
    halving = callbacks.LRScheduler(lambda epoch: 0.1 / 2**epoch)
    records = []
    MLPRegressor(**SHORT, solver="sgd", callbacks=[halving, records.append]).fit(X, T)
    assert [record["lr"] for record in records] == pytest.approx([0.1 / 2**epoch for epoch in range(1, 6)])


def test_what_is_no_callback_is_said():
    with pytest.raises(TypeError, match="MLPClassifier: expected callbacks"):
        MLPClassifier(**SHORT, callbacks=[3]).fit(X, Y)
    with pytest.raises(ValueError, match="callbacks"):
        MLPClassifier(**SHORT, callbacks=print).fit(X, Y)
    stepping = callbacks.LambdaCallback(on_batch_end=print)
    for solver in ("adam", "lbfgs"):
        with pytest.raises(TypeError, match="MLPClassifier: expected callbacks without on_batch_end"):
            MLPClassifier(**{**SHORT, "solver": solver}, callbacks=[stepping]).fit(X, Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_progress_and_verbose(solver, capsys):
    MLPClassifier(**SHORT, solver=solver, progress=True, verbose=True, early_stopping=solver == "adam").fit(X, Y)
    shown = capsys.readouterr()
    assert shown.err.count("loss") == 5
    assert shown.out.count("Iteration ") == 5 and shown.out.count("Validation score") == (5 if solver == "adam" else 0)
    MLPClassifier(**SHORT, solver=solver).fit(X, Y)
    assert capsys.readouterr() == ("", "")


# Ctrl-C


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_in_a_callback_keeps_what_there_is(solver):
    def interrupt(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    estimator = MLPClassifier(**SHORT, solver=solver, callbacks=[interrupt])
    with pytest.warns(UserWarning, match="interrupted"):
        estimator.fit(X, Y)
    assert same(estimator, MLPClassifier(**{**SHORT, "max_iter": 3}, solver=solver).fit(X, Y))


def test_ctrl_c_between_steps():
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    estimator = MLPRegressor(hidden_layer_sizes=(64,), max_iter=10**6, tol=0, n_iter_no_change=np.inf, random_state=0)
    timer.start()
    with pytest.warns(UserWarning, match="interrupted"):
        estimator.fit(np.tile(X, (40, 1)), np.tile(T, 40))
    assert 0 < estimator.n_iter_ < 10**6
    assert np.isfinite(estimator.predict(X)).all()


# coefs_ and intercepts_ are the network's own


def test_weights_are_read_and_written_in_place():
    estimator = MLPClassifier(**SHORT).fit(X, Y)
    arrays = [*estimator.coefs_, *estimator.intercepts_]
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    before = estimator.predict_proba(X)
    estimator.intercepts_[1][0] += 2.0
    estimator.coefs_[0] *= 0.5
    assert not np.allclose(estimator.predict_proba(X), before)
    np.testing.assert_allclose(np.log(estimator.predict_proba(X)).T - np.log(estimator.predict_proba(X))[:, 0],
                               logits(estimator).T - logits(estimator)[:, 0], rtol=1e-9, atol=1e-9)  # fmt: skip
    assert np.shares_memory(estimator.model.parameters()[0], estimator.coefs_[0])


def test_weights_may_be_replaced():
    estimator = MLPRegressor(**SHORT).fit(X, T)
    expected = 3 * estimator.predict(X)
    estimator.coefs_[1] = 3 * estimator.coefs_[1]
    estimator.intercepts_[1] = 3 * estimator.intercepts_[1]
    np.testing.assert_allclose(estimator.predict(X), expected)
    estimator.coefs_ = [np.asfortranarray(coef) for coef in estimator.coefs_]
    np.testing.assert_allclose(estimator.predict(X), expected)
    estimator.partial_fit(X, T)
    np.testing.assert_allclose(estimator.predict(X), logits(estimator).ravel())


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_parameters_may_change_between_two_calls(solver):
    estimator = MLPRegressor(**SHORT, solver=solver).partial_fit(X, T)
    estimator.set_params(activation="tanh").partial_fit(X, T).set_params(dropout=0.5).partial_fit(X, T)
    assert [type(layer) for layer in estimator.model] == [nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    steps = {state["step"] for state in estimator.optimizer.state.values()}
    assert steps == {18}  # 6 a call: the moments go on
    hidden = np.tanh(X @ estimator.coefs_[0] + estimator.intercepts_[0])
    np.testing.assert_allclose(estimator.predict(X), (hidden @ estimator.coefs_[1] + estimator.intercepts_[1]).ravel())
    with pytest.raises(ValueError, match="expected batch_norm as in the fit before, got True"):
        estimator.set_params(batch_norm=True).partial_fit(X, T)


def test_another_optimiser_begins_anew_in_a_copy():
    estimator = copy.deepcopy(MLPRegressor(**SHORT).partial_fit(X, T)).set_params(solver="sgd").partial_fit(X, T)
    assert isinstance(estimator.optimizer, optim.SGD)


def test_warm_starts_go_on_from_what_was_written():
    estimator = MLPRegressor(**SHORT, warm_start=True).fit(X, T)
    for array in (*estimator.coefs_, *estimator.intercepts_):
        array[...] = 0
    estimator.set_params(max_iter=1, learning_rate_init=1e-300, solver="sgd").fit(X, T)
    assert not any(coef.any() for coef in estimator.coefs_)


# Pickles


@pytest.mark.parametrize("extras", [{}, {"batch_norm": True, "dropout": 0.25, "solver": "adamw"}])
def test_pickles_and_copies(extras):
    estimator = MLPClassifier(**SHORT, **extras).fit(X, Y)
    for other in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert same(estimator, other)
        np.testing.assert_array_equal(other.predict_proba(X), estimator.predict_proba(X))
        assert not np.shares_memory(other.coefs_[0], estimator.coefs_[0])
        other.coefs_[0][...] = 0
        assert not np.array_equal(other.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("extras", [{}, {"batch_norm": True, "dropout": 0.25}])
def test_joblib_with_memory_maps(tmp_path, extras):
    estimator = MLPClassifier(**{**SHORT, "hidden_layer_sizes": (50,)}, **extras).fit(X, Y)
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    mapped = joblib.load(tmp_path / "estimator.joblib", mmap_mode="r")
    assert isinstance(mapped.coefs_[0], np.memmap) and not mapped.coefs_[0].flags.writeable
    np.testing.assert_array_equal(mapped.predict_proba(X), estimator.predict_proba(X))
    mapped.partial_fit(X, Y)
    assert same(mapped, estimator.partial_fit(X, Y))
    np.testing.assert_array_equal(mapped.predict_proba(X), estimator.predict_proba(X))


def test_a_pickle_has_the_weights_once():
    estimator = MLPRegressor(hidden_layer_sizes=(1000,), max_iter=1, solver="sgd", momentum=0.0).fit(X, T)
    assert len(pickle.dumps(estimator)) < 1.5 * sum(array.nbytes for array in estimator.coefs_ + estimator.intercepts_)


# scikit-learn's tools


def test_a_pipeline_in_a_grid_search_with_processes():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SHORT))
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__dropout": [0.0, 0.5]}
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=2, error_score="raise").fit(X, Y)
    alone = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_calibration_and_cross_validation():
    calibrated = CalibratedClassifierCV(MLPClassifier(**SHORT), cv=2).fit(X, Y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    scores = cross_val_score(MLPRegressor(**{**SHORT, "max_iter": 200}, learning_rate_init=0.01), X, T, cv=3)
    assert scores.shape == (3,) and scores.mean() > 0.3


def test_clone_and_parameters():
    extras = {"dropout": [0.1], "activation": ["mish"], "class_weight": {0: 2.0}, "callbacks": [Recorder()]}
    estimator = MLPClassifier(**SHORT, **extras)
    fresh = clone(estimator.fit(X, Y))
    assert not hasattr(fresh, "coefs_")
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    assert fresh.get_params()["activation"] == ["mish"]
    assert fresh.set_params(solver="lbfgs", dropout=0.0).get_params()["solver"] == "lbfgs"
    assert "MLPClassifier(" in repr(fresh)


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    estimator = MLPClassifier(**SHORT, early_stopping=True).fit(frame, Y)
    assert list(estimator.feature_names_in_) == list("abcdef")
    estimator.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[list("fedcba")])


# Rows that are sparse, and speed


def test_sparse_rows_are_never_dense_as_a_whole():
    rows = sparse.random(8_000, 3_000, density=1e-3, format="csr", random_state=0)  # 192 MB when dense
    y = rows[:, :10].sum(axis=1)
    estimator = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0, batch_size=64)
    tracemalloc.start()
    try:
        estimator.fit(rows, np.asarray(y).ravel()).predict(rows)
        estimator.set_params(solver="lbfgs").fit(rows, np.asarray(y).ravel())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_rows_of_few_elements_stay_sparse(solver, monkeypatch):
    def dense(*arguments):
        raise AssertionError("dense rows")

    for module in ("rows", "network", "lbfgs"):
        monkeypatch.setattr(f"fastnn.sklearn.{module}.dense", dense)
    rows = sparse.random(400, 100, density=0.02, format="csc", random_state=0)
    estimator = MLPClassifier((8,), solver=solver, max_iter=2).fit(rows, np.arange(400) % 3)
    assert estimator.predict(rows).shape == (400,)
    with pytest.raises(AssertionError, match="dense rows"):
        estimator.predict(sparse.csr_matrix(rows.toarray() + 1))


@pytest.mark.parametrize("task", ["labels", "two classes", "numbers"])
@pytest.mark.parametrize("weighted", [False, True])
def test_epochs_are_native_calls(task, weighted, core, monkeypatch):
    """Nothing falls back on the explicit loop, which would be right and slow."""
    if fastnn.backend.backend() != "native":
        pytest.skip("the reference back end runs")

    def loop(*arguments):
        raise AssertionError("the explicit loop")

    monkeypatch.setattr("fastnn.program.step.train_epoch", loop)
    monkeypatch.setattr("fastnn.program.inference.evaluating", loop)
    weights = np.arange(1.0, 162) if weighted else None
    cls, y = {
        "labels": (MLPClassifier, Y),
        "two classes": (MLPClassifier, Y > 0),
        "numbers": (MLPRegressor, T),
    }[task]
    all_extras = {}, {"batch_norm": True, "dropout": 0.1}, {"early_stopping": True, "learning_rate": "invscaling"}
    for solver, dtype, extras in itertools.product(("sgd", "adam", "adamw"), (np.float32, np.float64), all_extras):
        estimator = cls(**SHORT, solver=solver, **extras).fit(np.asfortranarray(X, dtype), y, weights)
        estimator.predict(X.astype(dtype))


# Errors


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"hidden_layer_sizes": (8, 0)}, r"expected hidden_layer_sizes > 0, got \[8, 0\]"),
        ({"hidden_layer_sizes": (8, 5), "activation": ["tanh"]}, "expected activation for 2 hidden layers, got 1"),
        ({"activation": ["sine"]}, "expected activation among identity, logistic, .*, got 'sine'"),
        ({"activation": "sine"}, "activation"),
        ({"dropout": [0.1, 0.2]}, "expected dropout for 1 hidden layers, got 2"),
        ({"dropout": [1.0]}, "expected dropout >= 0 and < 1, got 1.0"),
        ({"dropout": 1.0}, "dropout"),
        ({"solver": "lbfgs", "dropout": 0.1}, "expected solver sgd, adam, adamw with dropout or batch_norm, got lbfgs"),
        ({"solver": "lbfgs", "batch_norm": True}, "expected solver .* with dropout or batch_norm, got lbfgs"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "expected a validation_fraction of at least 2 rows"),
        ({"dtype": "float16"}, "dtype"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_parameters_that_do_not_fit(parameters, text):
    estimator = MLPRegressor(**{**SHORT, **parameters})
    with pytest.raises(ValueError, match=text):
        estimator.fit(X, T)
    assert not hasattr(estimator, "loss_")


def test_calls_that_do_not_fit():
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = MLPClassifier(solver="lbfgs").partial_fit
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="expected early_stopping=False with partial_fit"):
        MLPRegressor(early_stopping=True).partial_fit(X, T)
    with pytest.raises(ValueError, match="expected classes in the first call, got None"):
        MLPClassifier().partial_fit(X, Y)
    estimator = MLPClassifier(**SHORT).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="expected the classes of the first call"):
        estimator.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="expected y with no other classes than those of the fit before"):
        estimator.partial_fit(X, Y + 1)
    warm = MLPClassifier(**SHORT, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="expected y with the classes of the fit before"):
        warm.fit(X, Y > 0)
    with pytest.raises(ValueError, match=r"expected the layers of the fit before, \[6, 8, 3\], got \[6, 9, 3\]"):
        warm.set_params(hidden_layer_sizes=(9,)).fit(X, Y)
    with pytest.raises(ValueError, match="expected y >= 0 with loss='poisson', got -"):
        MLPRegressor("poisson").fit(X, T)


def test_a_batch_without_weight_is_an_error():
    weights = np.ones(161)
    weights[:64] = 0
    for rows in (X, sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match="expected a weight above 0 in each batch"):
            MLPRegressor(**SHORT, shuffle=False).fit(rows, T, weights)
        MLPRegressor(**{**SHORT, "batch_size": 161}).fit(rows, T, weights)


def test_weights_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match="expected finite coefs_"), np.errstate(all="ignore"):
        MLPRegressor(**SHORT, solver="sgd", learning_rate_init=1e200).fit(X, T)

"""The metrics: against scikit-learn's, on small cases by hand, and what they refuse."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn import metrics

SIZES = st.integers(1, 30)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def sk():
    found = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@st.composite
def labelled(draw):
    """Truth, predictions and weights (or None) of some rows, the labels in one of the forms that are accepted."""
    rng = np.random.default_rng(draw(SEEDS))
    size, count = draw(SIZES), draw(st.integers(2, 5))
    truth, predicted = rng.integers(0, count, size), rng.integers(0, count, size)
    kind = draw(st.sampled_from([np.int64, np.int8, np.uint16, np.float32, bool, np.str_, object, list]))
    if kind is object:
        truth, predicted = (np.array([f"class {v}" for v in labels], object) for labels in (truth, predicted))
    elif kind is list:
        truth, predicted = (truth - 3).tolist(), (predicted - 3).tolist()
    else:
        truth, predicted = truth.astype(kind), predicted.astype(kind)
    weight = draw(st.sampled_from([None, rng.integers(1, 5, size), rng.random(size) + 0.01]))
    return truth, predicted, weight


# ---------------------------------------------------------------------------------------------------------------
# Classification
# ---------------------------------------------------------------------------------------------------------------


@given(labelled())
def test_metrics_of_labels_are_those_of_scikit_learn(sk, case):
    truth, predicted, weight = case
    options = {"sample_weight": weight}
    close(metrics.accuracy(truth, predicted, weight), sk.accuracy_score(truth, predicted, **options))
    close(metrics.balanced_accuracy(truth, predicted, weight), sk.balanced_accuracy_score(truth, predicted, **options))
    for normalize in (None, "true", "pred", "all"):
        got = metrics.confusion_matrix(truth, predicted, normalize=normalize, **options)
        expected = sk.confusion_matrix(truth, predicted, normalize=normalize, **options)
        close(got, expected)
        assert got.dtype == (np.int64 if weight is None and normalize is None else np.float64)
    for average in (None, "macro", "micro", "weighted"):
        got = metrics.precision_recall_f1(truth, predicted, average, **options)
        expected = sk.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0, **options)
        for a, b in zip(got, expected[:3], strict=True):
            close(a, b)


@given(labelled(), SEEDS)
def test_chosen_labels_are_those_of_scikit_learn(sk, case, seed):
    truth, predicted, weight = case
    names = np.unique(np.concatenate([truth, predicted]))
    names = np.random.default_rng(seed).permutation(names)[: max(1, len(names) - 1)]
    names = np.append(names, ["none"] if names.dtype.kind in "UO" else [77])
    options = {"labels": names, "sample_weight": weight}
    if np.isin(truth, names).any():
        close(metrics.confusion_matrix(truth, predicted, **options), sk.confusion_matrix(truth, predicted, **options))
    for average in (None, "macro", "micro", "weighted"):
        got = metrics.precision_recall_f1(truth, predicted, average, **options)
        expected = sk.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0, **options)
        for a, b in zip(got, expected[:3], strict=True):
            close(a, b)


@given(SEEDS, SIZES)
def test_binary_precision_and_recall_are_those_of_scikit_learn(sk, seed, size):
    rng = np.random.default_rng(seed)
    truth, predicted, weight = rng.integers(0, 2, size), rng.integers(0, 2, size), rng.random(size) + 0.1
    got = metrics.precision_recall_f1(truth, predicted, "binary", sample_weight=weight)
    expected = sk.precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=0, sample_weight=weight
    )
    close(got, expected[:3])


@given(SEEDS, SIZES, st.integers(3, 6), st.booleans())
def test_scores_and_class_rows_mean_their_labels(sk, seed, size, count, weighted):
    rng = np.random.default_rng(seed)
    scores, truth = rng.standard_normal((size, count)).astype(np.float32), rng.integers(0, count, size)
    predicted, weight = scores.argmax(axis=1), rng.random(size) + 0.1 if weighted else None
    names = np.arange(count)
    expected = sk.confusion_matrix(truth, predicted, labels=names, sample_weight=weight)
    probabilities = 0.8 * np.eye(count)[truth] + 0.2 / count
    for target in (truth, np.eye(count)[truth], np.eye(count, dtype=bool)[truth], probabilities, truth[:, None]):
        for guess in (scores, predicted, scores.tolist()):
            close(metrics.accuracy(target, guess, weight), sk.accuracy_score(truth, predicted, sample_weight=weight))
            if guess is scores or np.shape(target) == np.shape(scores):
                close(metrics.confusion_matrix(target, guess, sample_weight=weight), expected)
        for k in range(1, count + 2):
            got = metrics.top_k_accuracy(target, scores, k, weight)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                close(got, sk.top_k_accuracy_score(truth, scores, k=k, labels=names, sample_weight=weight))


def test_of_equal_scores_the_first_is_the_higher_and_nan_is_never():
    scores = [[1, 1, 0], [1, 1, 0], [np.nan, 1, 0], [np.nan, 1, 0]]
    assert metrics.top_k_accuracy([0, 0, 1, 1], scores, 1) == 1.0
    assert metrics.top_k_accuracy([1, 1, 0, 2], scores, 1) == 0.0
    assert metrics.top_k_accuracy([1, 1, 0, 2], scores, 3) == 0.75
    truth, flat = np.arange(4), np.zeros((4, 5))
    assert metrics.top_k_accuracy(truth, flat, 1) == metrics.accuracy(truth, flat) == 0.25


def test_columns_of_tables():
    """Strings and numbers as objects, NumPy's own strings, and a column of single scores with a threshold."""
    for kind in (object, np.dtypes.StringDType(), np.str_):
        truth = np.array(["a", "b", "b"], kind)
        assert metrics.accuracy(truth, ["a", "b", "a"]) == metrics.accuracy(["a", "b", "a"], truth) == 2 / 3
    assert metrics.accuracy(np.array([0, 1, 1], object), [0, 1, 0]) == 2 / 3
    for mixed in (["a", 1], [None, 1], [{}, 1]):
        with pytest.raises(TypeError, match=r"^accuracy: expected y_true of numbers or strings, got dtype object$"):
            metrics.accuracy(np.array(mixed, object), [0, 1])
    assert metrics.accuracy([0, 1, 1], np.array([[-0.5], [2.0], [-1.0]]) > 0) == 2 / 3


def test_accuracy_is_that_of_the_trainer():
    X, y = fastnn.data.load_digits()
    model = fastnn.nn.Sequential(fastnn.nn.Linear(64, 10, rng=0))
    trainer = fastnn.Trainer(model, fastnn.nn.CrossEntropyLoss(), fastnn.optim.SGD(model, lr=0.001))
    trainer.fit(X, y, epochs=1, rng=0, progress=False)
    assert metrics.accuracy(y, trainer.predict(X)) == pytest.approx(trainer.evaluate(X, y)["accuracy"], abs=1e-12)


# ---------------------------------------------------------------------------------------------------------------
# Regression
# ---------------------------------------------------------------------------------------------------------------

REGRESSION = {
    "mean_squared_error": ("uniform_average", "raw_values"),
    "root_mean_squared_error": ("uniform_average", "raw_values"),
    "mean_absolute_error": ("uniform_average", "raw_values"),
    "r2_score": ("uniform_average", "raw_values", "variance_weighted"),
}


@given(SEEDS, st.integers(2, 30), st.integers(1, 4), st.booleans(), st.sampled_from([0, 1e6]))
@pytest.mark.parametrize("name", REGRESSION)
def test_metrics_of_regressions_are_those_of_scikit_learn(sk, name, seed, size, count, weighted, mean):
    rng = np.random.default_rng(seed)
    truth, predicted = mean + rng.standard_normal((size, count)), mean + rng.standard_normal((size, count))
    truth[:, 0] = 3 if seed % 3 == 0 and not weighted else truth[:, 0]  # a constant output
    predicted[:, 0] = truth[:, 0] if seed % 2 else predicted[:, 0]
    weight = rng.random(size) + 0.1 if weighted else None
    mine, theirs = getattr(metrics, name), getattr(sk, name)
    for kind in (*REGRESSION[name], *([rng.random(count) + 0.1] if count > 1 else [])):
        got = mine(truth, predicted, weight, multioutput=kind)
        expected = theirs(truth, predicted, sample_weight=weight, multioutput=kind)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    column = mine(truth[:, 0], predicted[:, :1], weight)
    np.testing.assert_allclose(column, theirs(truth[:, 0], predicted[:, 0], sample_weight=weight), rtol=1e-9)
    assert type(column) is float


def test_float32_is_summed_in_float64():
    truth = np.full(100_000, 1e4, np.float32)
    assert metrics.mean_squared_error(truth, truth + np.float32(0.0078125)) == 0.0078125**2


def test_r2_of_a_constant_is_exact_with_weights_too():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        constant, weight = np.full(7, 0.1), rng.random(7)
        assert metrics.r2_score(constant, constant, weight) == 1.0
        assert metrics.r2_score(constant, constant + 0.1, weight) == 0.0
        assert metrics.r2_score(constant, constant + 1e-9, weight, multioutput="variance_weighted") == 0.0


def test_what_is_not_finite_propagates():
    for name in REGRESSION:
        assert np.isnan(getattr(metrics, name)([1.0, np.nan, 2.0], [1.0, 2.0, 2.0]))
    assert metrics.mean_squared_error([1.0, np.inf], [1.0, 2.0]) == np.inf
    assert np.isnan(metrics.r2_score([1.0], [1.0]))


# ---------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------

EYE = np.eye(3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda m: m.accuracy([0, 1], [0]),
            ValueError,
            "accuracy: expected y_true and y_pred of one length, got 2 and 1",
        ),
        (lambda m: m.accuracy([], []), ValueError, "accuracy: expected y_true of at least one row, got none"),
        (
            lambda m: m.accuracy([0.5], [0]),
            ValueError,
            "accuracy: expected y_true of whole labels or of rows (N, C), got 0.5 at row 0",
        ),
        (
            lambda m: m.accuracy([0, 1], [0.0, np.nan]),
            ValueError,
            "accuracy: expected y_pred of whole labels or of rows (N, C), got nan at row 1",
        ),
        (
            lambda m: m.accuracy(3, 3),
            ValueError,
            "accuracy: expected y_true of labels (N,) or of rows (N, C), got shape ()",
        ),
        (
            lambda m: m.accuracy([0], [[0.7]]),
            ValueError,
            "accuracy: expected y_pred of labels (N,) or of rows (N, C), got shape (1, 1); "
            "compare single scores with a threshold first",
        ),
        (
            lambda m: m.accuracy([None], [0]),
            TypeError,
            "accuracy: expected y_true of numbers or strings, got dtype object",
        ),
        (
            lambda m: m.accuracy(["a"], [0]),
            TypeError,
            "accuracy: expected labels of one kind, got dtypes <U1 and int64",
        ),
        (
            lambda m: m.accuracy(["a"], EYE[:1]),
            TypeError,
            "accuracy: expected labels of one kind, got dtypes <U1 and int64",
        ),
        (
            lambda m: m.accuracy([0, 3], EYE[:2]),
            IndexError,
            "accuracy: expected y_true of labels in [0, 3), got 3 at row 1",
        ),
        (
            lambda m: m.accuracy(EYE[:1], [-1]),
            IndexError,
            "accuracy: expected y_pred of labels in [0, 3), got -1 at row 0",
        ),
        (
            lambda m: m.accuracy(EYE[:1], np.ones((1, 2))),
            ValueError,
            "accuracy: expected rows of as many classes, got 3 in y_true and 2 in y_pred",
        ),
        (
            lambda m: m.confusion_matrix([[2.5, -1.0]], [0]),
            ValueError,
            "confusion_matrix: expected y_true of labels, one-hot or probability rows, got other numbers in row 0",
        ),
        (
            lambda m: m.confusion_matrix([0], [0], labels=[]),
            ValueError,
            "confusion_matrix: expected labels of at least one row, got none",
        ),
        (
            lambda m: m.confusion_matrix([0], [0], labels=[1, 1]),
            ValueError,
            "confusion_matrix: expected labels as a list of different classes, got [1, 1]",
        ),
        (
            lambda m: m.confusion_matrix([0], [0], labels=[1]),
            ValueError,
            "confusion_matrix: expected labels of which one occurs in y_true at least, got [1]",
        ),
        (
            lambda m: m.confusion_matrix([0], [0], labels=["a"]),
            TypeError,
            "confusion_matrix: expected labels like those of y_true (int64), got <U1",
        ),
        (
            lambda m: m.confusion_matrix([0], [0], normalize="rows"),
            ValueError,
            "confusion_matrix: expected normalize 'true' or 'pred' or 'all', got 'rows'",
        ),
        (
            lambda m: m.accuracy([0, 1], [0, 1], [1]),
            ValueError,
            "accuracy: expected sample_weight of shape (2,), got (1,)",
        ),
        (
            lambda m: m.accuracy([0, 1], [0, 1], [1, -1]),
            ValueError,
            "accuracy: expected finite sample_weight from 0 with a sum above 0, got others",
        ),
        (
            lambda m: m.r2_score([0, 1], [0, 1], [0, 0]),
            ValueError,
            "r2_score: expected finite sample_weight from 0 with a sum above 0, got others",
        ),
        (
            lambda m: m.precision_recall_f1([0, 2], [0, 1], "binary"),
            ValueError,
            "precision_recall_f1: expected the classes 0 and 1 with average 'binary', got 2",
        ),
        (
            lambda m: m.precision_recall_f1([0, 1], EYE[:2], "binary"),
            ValueError,
            "precision_recall_f1: expected the classes 0 and 1 with average 'binary', got rows of 3",
        ),
        (
            lambda m: m.precision_recall_f1([0], [0], "mean"),
            ValueError,
            "precision_recall_f1: expected average 'macro' or 'micro' or 'weighted' or 'binary', got 'mean'",
        ),
        (lambda m: m.top_k_accuracy([0], EYE[:1], 0), ValueError, "top_k_accuracy: expected k >= 1, got 0"),
        (
            lambda m: m.top_k_accuracy([0], [0]),
            ValueError,
            "top_k_accuracy: expected y_score of shape (N, C) with 2 classes or more, got (1,)",
        ),
        (
            lambda m: m.mean_squared_error([1, 2], [[1, 2]]),
            ValueError,
            "mean_squared_error: expected y_true and y_pred of one shape, got (2,) and (1, 2)",
        ),
        (
            lambda m: m.mean_absolute_error([], []),
            ValueError,
            "mean_absolute_error: expected y_true of at least one row, got none",
        ),
        (lambda m: m.r2_score(["a"], [1]), TypeError, "r2_score: expected y_true of real numbers, got dtype <U1"),
        (
            lambda m: m.r2_score([1, 2], [1, 2], multioutput="a"),
            ValueError,
            "r2_score: expected multioutput 'uniform_average', 'raw_values', 'variance_weighted' or weights, got 'a'",
        ),
        (
            lambda m: m.mean_squared_error([1, 2], [1, 2], multioutput=[1, 2]),
            ValueError,
            "mean_squared_error: expected multioutput as weights of shape (1,), got (2,)",
        ),
        (
            lambda m: m.plot_confusion_matrix(np.ones((2, 3))),
            ValueError,
            "plot_confusion_matrix: expected matrix of shape (K, K), got (2, 3)",
        ),
        (
            lambda m: m.plot_confusion_matrix(-EYE),
            ValueError,
            "plot_confusion_matrix: expected finite numbers from 0 in matrix, got others",
        ),
        (lambda m: m.plot_confusion_matrix(EYE, ["a"]), ValueError, "plot_confusion_matrix: expected 3 labels, got 1"),
    ],
)
def test_one_line_says_what_is_wrong(call, error, text):
    with pytest.raises(error) as caught:
        call(metrics)
    assert str(caught.value) == text


# ---------------------------------------------------------------------------------------------------------------
# The picture
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 10, 26])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_picture_shows_every_number(tmp_path, count, normalize):
    pytest.importorskip("matplotlib")
    matrix = np.random.default_rng(0).integers(0, 9, (count, count)) + 90 * np.eye(count, dtype=int)
    matrix[-1] = 0  # a class that does not occur
    names = [f"class {number}" for number in range(count)]
    figure = metrics.plot_confusion_matrix(matrix, names, tmp_path / "c.png", normalize)
    assert (tmp_path / "c.png").stat().st_size > 4000
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    texts = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    if count > 25:
        assert not texts
        return
    for place, value in np.ndenumerate(matrix):
        share = 100 * value / max(matrix[place[0]].sum(), 1)
        assert texts[place] == (f"{share:.1f}" if normalize else str(value))


def test_weighted_and_empty_matrices_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    figure = metrics.plot_confusion_matrix([[0.25, 0.0], [0.0, 1.5]], path=tmp_path / "c.svg")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.25", "0", "0", "1.5"]
    metrics.plot_confusion_matrix(np.zeros((2, 2)), path=tmp_path / "c.svg", normalize=True)


def test_without_a_path_the_figure_is_pyplots():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = metrics.plot_confusion_matrix([[3, 1], [0, 2]])
    assert pyplot.gcf() is figure
    pyplot.close(figure)


def test_without_matplotlib_the_picture_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^plot_confusion_matrix: expected matplotlib, got .*fastnn\[plot\]"):
        metrics.plot_confusion_matrix(EYE)

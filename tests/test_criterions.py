"""Every criterion of the registry: formulas, derivatives, dtypes, targets, printing and pickling."""

import inspect
import math
import pickle

import numpy as np
import pytest
from cases import CRITERIONS, build
from support import DTYPES, assert_slopes, outcome

from fastnn import nn

criterions = pytest.mark.parametrize("row", CRITERIONS, ids=lambda row: row.id)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def test_every_criterion_has_a_row():
    public = {name for name, value in vars(nn).items() if inspect.isclass(value) and issubclass(value, nn.Criterion)}
    assert public - {"Criterion"} == {row.name for row in CRITERIONS}


# ---------------------------------------------------------------------------------------------------------------
# Values and derivatives
# ---------------------------------------------------------------------------------------------------------------

ELEMENTS = {  # loss of one element, in Python floats
    "MSELoss": lambda x, t, c: (x - t) ** 2,
    "HalfMSELoss": lambda x, t, c: (x - t) ** 2 / 2,
    "PoissonNLLLoss": lambda x, t, c: math.exp(x) - t * x,
    "L1Loss": lambda x, t, c: abs(x - t),
    "HuberLoss": lambda x, t, c: (x - t) ** 2 / 2 if abs(x - t) <= c.delta else c.delta * (abs(x - t) - c.delta / 2),
    "BCEWithLogitsLoss": lambda x, t, c: t * math.log1p(math.exp(-x)) + (1 - t) * math.log1p(math.exp(x)),
}


def by_hand(criterion, x, target):
    """The sum of the losses, and what the mean divides it by, from the formulas of the classes."""
    element = ELEMENTS.get(type(criterion).__name__)
    if element:
        pairs = zip(x.ravel().tolist(), target.ravel().tolist(), strict=True)
        return sum(element(a, t, criterion) for a, t in pairs), x.size
    total, divisor = 0.0, 0.0
    weight = np.ones(x.shape[1]) if criterion.weight is None else criterion.weight
    smoothing = getattr(criterion, "label_smoothing", 0)
    for row, wanted in zip(x, target, strict=True):
        if target.ndim == 1 and wanted == criterion.ignore_index:
            continue
        one_hot = np.eye(len(row))[wanted] if target.ndim == 1 else wanted
        smooth = (1 - smoothing) * one_hot + smoothing / len(row)
        log_p = row if isinstance(criterion, nn.NLLLoss) else row - math.log(sum(math.exp(v) for v in row))
        total -= float((weight * smooth * log_p).sum())
        divisor += weight[wanted] if target.ndim == 1 else 1
    return total, divisor


@criterions
def test_losses_follow_their_formulas(row):
    criterion, x, target = row.criterion(), row.input(), row.targets()
    total, divisor = by_hand(criterion, x, target)
    expected = {"sum": total, "mean": total / divisor, "batchmean": total / len(x)}[criterion.reduction]
    assert criterion.forward(x, target) == pytest.approx(expected, rel=1e-12)
    assert criterion(x, target) == criterion.output


@criterions
def test_gradients_of_criterions_are_the_derivatives(row):
    criterion, x, target = row.criterion(), row.input(), row.targets()
    if row.name in ("L1Loss", "HuberLoss"):  # away from the kinks
        x = np.where(np.abs(np.abs(x - target) - getattr(criterion, "delta", 0)) < 1e-3, x + 0.01, x)
    grad = criterion.backward(x, target)
    assert isinstance(criterion.forward(x, target), float) and grad.shape == x.shape
    assert_slopes(grad, lambda: criterion.forward(x, target), x)


@dtypes
@criterions
def test_criterions_keep_the_dtype_of_the_input(row, dtype):
    criterion, x, target = row.criterion(), row.input(dtype), row.targets(dtype)
    exact = row.criterion()
    loss, grad = criterion.forward(x, target), criterion.backward(x, target)
    assert grad.dtype == dtype
    wide = target.astype(float) if target.dtype.kind == "f" else target
    np.testing.assert_allclose(loss, exact.forward(x.astype(float), wide), rtol=1e-5)
    np.testing.assert_allclose(grad, exact.backward(x.astype(float), wide), rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------
# Targets
# ---------------------------------------------------------------------------------------------------------------

LABELS = [2, 0, 1, 4, 4, 3]


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_labels_of_any_integer_dtype_and_one_hot_rows_are_the_same(name):
    criterion, x = getattr(nn, name)(), np.random.default_rng(0).standard_normal((6, 5))
    expected = criterion.forward(x, np.array(LABELS)), criterion.backward(x, np.array(LABELS))
    targets = [LABELS, tuple(LABELS), np.repeat(LABELS, 2)[::2]]
    targets += [np.array(LABELS, dtype) for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "u8", ">i4", ">i8")]
    targets += [np.eye(5, dtype=dtype)[LABELS] for dtype in (bool, "i1", "i8", "f2", "f4", "f8", "g")]
    targets += [np.asfortranarray(np.eye(5)[LABELS]), np.eye(5)[LABELS].tolist()]
    for target in targets:
        assert criterion.forward(x, target) == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_allclose(criterion.backward(x, target), expected[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
@pytest.mark.parametrize("target,kind,text", [
    ([2, 0, 1, 4, 5, 3], IndexError, "expected class labels in [0, 5), got 5 at row 4"),
    ([2, 0, 1, -1, 4, 3], IndexError, "expected class labels in [0, 5), got -1 at row 3"),
    ([2, 0, 1], ValueError, "expected target of shape (6,), got (3,)"),
    ([1.0] * 6, TypeError, "expected target of integer class labels or of one-hot rows, got float64"),
    (["a"] * 6, TypeError, "expected target of integer class labels or of one-hot rows, got <U1"),
    (None, TypeError, "expected target of integer class labels or of one-hot rows, got object"),
    (np.zeros((6, 4)), ValueError, "expected target of shape (6, 5), got (6, 4)"),
    (np.zeros((6, 5), complex), TypeError, "expected target rows of a real dtype, got complex128"),
])  # fmt: skip
def test_targets_are_checked_in_both_directions(name, target, kind, text):
    criterion, x = getattr(nn, name)(), np.zeros((6, 5), np.float32)
    for function in (criterion.forward, criterion.backward):
        assert outcome(function, x, target) == ("raised", kind, f"{name}: {text}")


def test_ignored_rows_alone_give_nan_and_a_gradient_of_zero():
    x, target = np.ones((3, 4)), np.full(3, 7)
    for name in ("NLLLoss", "CrossEntropyLoss"):
        criterion = getattr(nn, name)(ignore_index=7)
        assert math.isnan(criterion.forward(x, target)) and not criterion.backward(x, target).any()
        assert getattr(nn, name)(ignore_index=7, reduction="sum").forward(x, target) == 0


@criterions
def test_criterions_take_an_empty_batch(row):
    criterion, x, target = row.criterion(), row.input()[:0], row.targets()[:0]
    assert criterion.forward(x, target) == 0.0
    assert criterion.backward(x, target).shape == (0, row.C)


# ---------------------------------------------------------------------------------------------------------------
# Copies and printing
# ---------------------------------------------------------------------------------------------------------------


@criterions
def test_the_repr_of_a_criterion_builds_its_twin(row):
    criterion = row.criterion()
    twin = build(repr(criterion), nn, array=np.array, float64=np.float64)
    x, target = row.input(), row.targets()
    assert type(twin) is type(criterion) and twin.forward(x, target) == criterion.forward(x, target)
    copied = pickle.loads(pickle.dumps(criterion))
    assert repr(copied) == repr(criterion) and copied.forward(x, target) == criterion.forward(x, target)

"""Every class of every dialect gives the numbers, dtypes and shapes of the plain NumPy framework it stands in for."""
# ruff: noqa: NPY002

import numpy as np
import pytest
from course import VOICES
from course.twins import (
    LAYERS,
    elementwise,
    layers,
    narrowed,
    same,
    same_results,
    step,
    stream,
    twins,
    voices,
)
from makers import away_from, normal
from support import LAYOUTS

F32, F64 = np.float32, np.float64


def data(row, dtype=F64, rows=None, seed=5):
    rng = np.random.default_rng(seed)
    shape = row.shape if rows is None else (rows, *row.shape[1:])
    return away_from(row.kinks, rng, dtype, *shape) if shape[0] else np.zeros(shape, dtype)


def slopes(voice, row, rows=None, dtype=F64, seed=6):
    """A gradient by the output of the layer, (rows, ...)."""
    shape = (row.shape[0] if rows is None else rows, *(row.out or row.shape[1:]))
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------------------
# One step of a layer
# ---------------------------------------------------------------------------------------------------------------


@voices
@layers
def test_a_step(voice, row):
    ours, oracle = twins(voice, row.make)
    x, dy = data(row), slopes(voice, row)
    given, slope = x.copy(), dy.copy()
    results = step(voice, ours, x, dy)
    same_results(results, step(voice, oracle, x, dy))
    same(ours.output, oracle.output, what="stored output")
    same(getattr(ours, voice.grad_input), results["input's gradient"], what="stored gradient")
    np.testing.assert_array_equal(x, given)
    np.testing.assert_array_equal(dy, slope)
    for got, expected in zip(
        getattr(ours, voice.get_parameters)(), getattr(oracle, voice.get_parameters)(), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@voices
@layers
def test_batches_of_changing_size(voice, row):
    ours, oracle = twins(voice, row.make)
    for rows in (7, 3, 64, 2, 7):
        x, dy = data(row, rows=rows), slopes(voice, row, rows=rows)
        same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))


@voices
@layers
def test_gradients_over_two_steps(voice, row):
    """Linear and Conv2d of torch7 add up, everything else overwrites."""
    ours, oracle = twins(voice, row.make)
    for seed in (1, 2):
        x, dy = data(row, seed=seed), slopes(voice, row, seed=seed + 10)
        same_results(step(voice, ours, x, dy, zero=False), step(voice, oracle, x, dy, zero=False))
    getattr(ours, voice.zero_grad_params)()
    assert not any(gradient.any() for gradient in getattr(ours, voice.get_grad_params)())


@voices
@layers
def test_the_halves_of_backward(voice, row):
    if voice.acc_grad_params is None:
        pytest.skip("backward is one method here")
    ours, oracle = twins(voice, row.make)
    x, dy = data(row), slopes(voice, row)
    for layer in (ours, oracle):
        np.random.seed(3)
        getattr(layer, voice.update_output)(x)
    same(getattr(ours, voice.update_grad_input)(x, dy), getattr(oracle, voice.update_grad_input)(x, dy))
    for gradient in getattr(ours, voice.get_grad_params)():
        assert not gradient.any()
    for _ in range(2):  # twice: some programs call backward and then this again
        getattr(ours, voice.acc_grad_params)(x, dy)
        getattr(oracle, voice.acc_grad_params)(x, dy)
        for got, expected in zip(
            getattr(ours, voice.get_grad_params)(), getattr(oracle, voice.get_grad_params)(), strict=True
        ):
            same(got, expected)


@voices
@layers
def test_evaluation(voice, row):
    ours, oracle = twins(voice, row.make)
    for layer in (ours, oracle):
        step(voice, layer, data(row, seed=1), slopes(voice, row))  # BatchNormalization needs its statistics
        getattr(layer, voice.evaluate)()
        assert getattr(layer, voice.training) is False
    x, dy = data(row, seed=2), slopes(voice, row)
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))
    for layer in (ours, oracle):
        layer.train()
        assert getattr(layer, voice.training) is True
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))


@voices
@pytest.mark.parametrize("row", [row for row in LAYERS if "Batch" not in row.id], ids=lambda row: row.id)
def test_empty_batches(voice, row):
    ours, oracle = twins(voice, row.make)
    x, dy = data(row, rows=0), slopes(voice, row, rows=0)
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))


# ---------------------------------------------------------------------------------------------------------------
# Dtypes, integers, lists, layouts
# ---------------------------------------------------------------------------------------------------------------


@voices
@layers
@pytest.mark.parametrize("params,of_x,of_dy", [
    (F64, F32, F64), (F64, F32, F32), (F64, F64, F32), (F32, F32, F32), (F32, F64, F64), (F32, F32, F64)],
    ids=lambda dtype: dtype.__name__)  # fmt: skip
def test_dtypes_are_promoted(voice, row, params, of_x, of_dy):
    if params is F32 and not row.has_parameters:
        pytest.skip("no parameters")
    ours, oracle = twins(voice, row.make)
    x, dy = data(row, of_x), slopes(voice, row, dtype=of_dy)
    narrowed(ours, params)
    ours.keep_float32 = False  # of Dropout: as the text's product with integers
    expected = step(voice, narrowed(oracle, params), x, dy)
    results = step(voice, ours, x, dy)
    for name, value in expected.items():
        # where only the gradient is float32, whether the input has a say depends on how the formula is written
        either = of_x is F64 and of_dy is F32 and row.id != "Flatten"
        dtype = F64 if either else value.dtype
        assert results[name].dtype == dtype, f"{name}: {results[name].dtype}, expected {value.dtype}"
    wide = step(voice, narrowed(oracle, F64), x.astype(F64), dy.astype(F64))
    exact = "Dropout" in row.id or (row.has_parameters and params is F64 and of_dy is F64)
    same_results(results, wide, 1e-12 if exact else row.narrow, dtype=False)


@voices
@layers
@pytest.mark.parametrize("form", ["uint8", "int64", "int32", "bool", "list", "list of int"])
def test_integers_and_lists(voice, row, form):
    if row.id == "Flatten":
        pytest.skip("a view of what it is given")
    ours, oracle = twins(voice, row.make)
    rng = np.random.default_rng(4)
    x = {"uint8": lambda: rng.integers(0, 256, row.shape).astype(np.uint8),
         "int64": lambda: rng.integers(-9, 10, row.shape),
         "int32": lambda: rng.integers(-9, 10, row.shape).astype(np.int32),
         "bool": lambda: rng.random(row.shape) < 0.5,
         "list": lambda: rng.standard_normal(row.shape).tolist(),
         "list of int": lambda: rng.integers(-9, 10, row.shape).tolist()}[form]()  # fmt: skip
    dy = slopes(voice, row)
    results = step(voice, ours, x, dy.tolist() if form == "list" else dy)
    same_results(results, step(voice, oracle, np.array(x, F64), dy))


@voices
@pytest.mark.parametrize("form", [list, np.array, lambda x: tuple(x)], ids=["list", "array", "tuple"])
def test_linear_takes_one_row(voice, form):
    ours, oracle = twins(voice, lambda voice, module: module.Linear(3, 2))
    x, dy = [0.5, -1.0, 2.0], np.array([1.0, -3.0])
    results = step(voice, ours, form(x), dy)
    expected = step(voice, oracle, np.array([x]), dy[None])
    expected["output"], expected["input's gradient"] = expected["output"][0], expected["input's gradient"][0]
    same_results(results, expected)


@voices
@elementwise
def test_activations_take_lists_and_any_number_of_dimensions(voice, row):
    ours, oracle = twins(voice, row.make)
    x = [0.5, -1.0, 2.0, 0.0]
    same(ours.forward(x), oracle.forward(np.array(x)))
    same(ours.backward(x, [1.0, 2.0, -1.0, 0.5]), oracle.backward(np.array(x), np.array([1.0, 2.0, -1.0, 0.5])))
    for shape in ((3, 2, 4), (2, 3, 2, 2)):
        x, dy = normal(np.random.default_rng(0), F64, *shape), normal(np.random.default_rng(1), F64, *shape)
        same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))


@voices
@layers
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(voice, row, layout):
    ours, oracle = twins(voice, row.make)
    x, dy = data(row), slopes(voice, row)
    same_results(step(voice, ours, LAYOUTS[layout](x), LAYOUTS[layout](dy)), step(voice, oracle, x, dy))


@voices
@layers
def test_transposes_and_split_pieces(voice, row):
    ours, oracle = twins(voice, row.make)
    x, dy = data(row), slopes(voice, row)
    transposed = np.ascontiguousarray(np.swapaxes(x, 0, 1)).swapaxes(0, 1)
    same_results(step(voice, ours, transposed, np.ascontiguousarray(dy.T).T), step(voice, oracle, x, dy))
    wide = np.concatenate([x, x + 1], axis=-1)
    for piece in np.split(wide, 2, axis=-1):
        same_results(step(voice, ours, piece, dy), step(voice, oracle, piece, dy))


@voices
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [F32, F64, np.int64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("row", [row for row in LAYERS if row.has_parameters], ids=lambda row: row.id)
def test_assigned_parameters(voice, row, layout, dtype):
    ours, oracle = twins(voice, row.make)
    rng = np.random.default_rng(8)
    for name in ("W", "b", "gamma", "beta"):
        if hasattr(oracle, name):
            value = rng.integers(-5, 6, getattr(oracle, name).shape).astype(dtype)
            setattr(oracle, name, value)
            setattr(ours, name, LAYOUTS[layout](value))
            assert getattr(ours, name).dtype == dtype
    x, dy = data(row), slopes(voice, row)
    same_results(step(voice, ours, x, dy), step(voice, oracle, x, dy))
    assert getattr(ours, voice.get_parameters)()[0] is getattr(ours, "gamma" if row.id == "affine" else "W")


# ---------------------------------------------------------------------------------------------------------------
# Random numbers
# ---------------------------------------------------------------------------------------------------------------


@voices
@pytest.mark.parametrize("sizes", [(4, 3), (784, 10), (1, 1), (2, 100)])
def test_the_same_seed_gives_the_same_linear(voice, sizes):
    made, states = [], []
    for module in (voice.compat, voice.course):
        np.random.seed(17)
        made.append(module.Linear(**dict(zip(voice.size_names, sizes, strict=True))))
        states.append(stream())
    ours, oracle = made
    for name in voice.linear_parameters:
        assert getattr(ours, name).dtype == F64
        np.testing.assert_array_equal(getattr(ours, name), getattr(oracle, name))
    assert states[0] == states[1]


@voices
@pytest.mark.parametrize("size", [1, 6, 257])
def test_the_same_seed_gives_the_same_affine_layer(voice, size):
    made, states = [], []
    for module in (voice.compat, voice.course):
        np.random.seed(17)
        made.append(getattr(module, voice.affine)(size))
        states.append(stream())
    for name in ("gamma", "beta"):
        assert (getattr(made[0], name).dtype == F64 and np.ptp(getattr(made[0], name)) > 0) or size == 1
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))
        assert getattr(made[0], name).shape == ((1, size) if voice.name == "snake" else (size,))
    assert states[0] == states[1]


def test_the_value_that_the_requirement_gives():
    np.random.seed(0)
    weights = VOICES["seminar"].compat.Linear(4, 3).W
    np.testing.assert_allclose(weights[0], [0.0488135, 0.21518937, 0.10276338, 0.04488318], rtol=0, atol=5e-9)


@voices
def test_dropout_goes_back_through_a_mask_that_the_program_drew(voice):
    layer, x = voice.compat.Dropout(p=0.5), normal(np.random.default_rng(0), F64, 6, 4)
    layer.forward(x)
    for mask in (np.linspace(0, 1, 24).reshape(6, 4), x > 0, (x > 0).astype(np.int8), (x > 0).tolist()):
        layer.mask = mask
        same(layer.backward(x, x), x * np.array(mask) / 0.5)


@voices
def test_dropout_keeps_float32_unless_it_is_told_otherwise(voice):
    ours, oracle = twins(voice, lambda voice, module: module.Dropout(p=0.3))
    x = normal(np.random.default_rng(0), F32, 33, 17)
    results = []
    for layer in (ours, oracle):
        np.random.seed(5)
        results.append((layer.forward(x), layer.backward(x, x)))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == F32 and expected.dtype == F64
        np.testing.assert_allclose(got, expected, rtol=2e-7)


@voices
@pytest.mark.parametrize("p", [0, 0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("dtype", [F32, F64], ids=lambda dtype: dtype.__name__)
def test_dropout_draws_the_same_masks(voice, p, dtype):
    ours, oracle = twins(voice, lambda voice, module: module.Dropout(p=p))
    ours.keep_float32 = False
    rng = np.random.default_rng(0)
    x, dy = normal(rng, dtype, 33, 17), normal(rng, dtype, 33, 17)
    seen = []
    for layer in (ours, oracle):
        np.random.seed(5)
        seen.append([])
        for rows in (33, 5):
            seen[-1] += [layer.forward(x[:rows]), np.array(layer.mask), stream()]
            seen[-1] += [layer.backward(x[:rows], dy[:rows]), stream()]
        getattr(layer, voice.evaluate)()
        assert layer.forward(x) is x
        seen[-1] += [layer.backward(x, dy), stream()]
    for got, expected in zip(*seen, strict=True):
        if isinstance(expected, tuple):
            assert got == expected
        elif expected.dtype.kind == "i":
            np.testing.assert_array_equal(got, expected)
        else:
            same(got, expected)

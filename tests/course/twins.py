"""The same object twice, from `fastnn.compat` and from the course framework, and how their results are compared."""
# ruff: noqa: NPY002

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from . import PARAMETERS, VOICES

voices = pytest.mark.parametrize("voice", VOICES.values(), ids=list(VOICES))


@dataclass(frozen=True)
class Row:
    """A layer: how it is made in a dialect, and the shape of one of its inputs."""

    id: str
    make: Any  # (voice, module) -> layer
    shape: tuple[int, ...] = (7, 5)
    elementwise: bool = False
    kinks: tuple[float, ...] = ()
    narrow: float = 1e-6  # tolerance where everything is float32
    out: tuple[int, ...] | None = None  # the shape of a row of the output, if it is another one

    @property
    def has_parameters(self):
        return self.id in ("Linear", "affine", "Conv2d")


def row(call, *args, **options):
    name = f"{call}({', '.join(map(str, args))})" if args else call
    return Row(name, lambda voice, module: getattr(module, call)(*args), **options)


LAYERS = (
    Row("Linear", lambda voice, module: module.Linear(5, 4), out=(4,)),
    Row("affine", lambda voice, module: getattr(module, voice.affine)(5)),
    row("SoftMax"),
    row("LogSoftMax"),
    row("BatchNormalization", narrow=1e-5),
    row("BatchNormalization", 0.9, narrow=1e-5),
    row("Dropout"),
    row("Dropout", 0.3),
    row("Flatten", shape=(6, 3, 2), out=(6,)),
    Row("Conv2d", lambda voice, module: module.Conv2d(2, 3, 3), (4, 2, 5, 6), narrow=1e-5, out=(3, 5, 6)),
    Row("MaxPool2d", lambda voice, module: module.MaxPool2d(2), (4, 3, 4, 6), out=(3, 2, 3)),
    row("ReLU", elementwise=True, kinks=(0,)),
    row("LeakyReLU", elementwise=True, kinks=(0,)),
    row("LeakyReLU", 0.2, elementwise=True, kinks=(0,)),
    row("ELU", elementwise=True, kinks=(0,)),
    row("ELU", 0.7, elementwise=True, kinks=(0,)),
    row("SoftPlus", elementwise=True),
    row("Sigmoid", elementwise=True),
    row("Tanh", elementwise=True),
)

layers = pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
elementwise = pytest.mark.parametrize("row", [row for row in LAYERS if row.elementwise], ids=lambda row: row.id)


def twins(voice, make, seed=0):
    """The object of fastnn and the oracle, made from the same random numbers."""
    made = []
    for module in (voice.compat, voice.course):
        np.random.seed(seed)
        made.append(make(voice, module))
    return made


def narrowed(layer, dtype):
    """The layer with parameters of another dtype, assigned as a program would."""
    for name in PARAMETERS:
        if hasattr(layer, name):
            setattr(layer, name, getattr(layer, name).astype(dtype))
    return layer


def step(voice, layer, x, dy, seed=1, zero=True):
    """What one forward and one backward give: {name: array}."""
    np.random.seed(seed)
    if zero:
        getattr(layer, voice.zero_grad_params)()
    with np.errstate(over="ignore"):  # the formulas of the oracle overflow where np.where drops the value
        results = {"output": layer.forward(x)}
        results["input's gradient"] = layer.backward(x, dy)
    gradients = flat(getattr(layer, voice.get_grad_params)())
    return results | {f"gradient {index}": gradient for index, gradient in enumerate(gradients)}


def flat(nested):
    """The arrays of a nested list, in order."""
    return [array for item in nested for array in (flat(item) if isinstance(item, list) else [item])]


def same(got, expected, tolerance=1e-12, what="", dtype=True):
    """Equal to the tolerance, relative to the largest number; the shape and the dtype as well."""
    assert np.shape(got) == np.shape(expected), what
    if dtype:
        assert isinstance(got, np.ndarray | np.generic), what
        assert got.dtype == np.asarray(expected).dtype, f"{what}: {got.dtype}, expected {np.asarray(expected).dtype}"
    size = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * size, err_msg=what)


def same_results(got, expected, tolerance=1e-12, dtype=True):
    assert list(got) == list(expected)
    for name in expected:
        same(got[name], expected[name], tolerance, name, dtype)


def stream():
    """Where the global generator stands."""
    _, key, *rest = np.random.get_state()
    return key.tobytes(), *rest


def one_hot(rng, rows, cols, dtype=np.float64):
    return np.eye(cols)[rng.permutation(np.arange(rows) % cols)].astype(dtype)

"""Makers of test arrays. Each asserts that its sample is not constant: a constant one would pass almost anything."""

from __future__ import annotations

import numpy as np


def varied(array):
    """The array, of which not all elements are equal."""
    assert array.size < 2 or (array != array.flat[0]).any(), "a constant sample tests nothing"
    return array


def normal(rng, dtype, *shape, scale=1.0, mean=0.0):
    return varied((rng.standard_normal(shape) * scale + mean).astype(dtype))


def positive(rng, dtype, *shape):
    """Uniform in [0.5, 1.5)."""
    return varied((0.5 + rng.random(shape)).astype(dtype))


def unit(rng, dtype, *shape):
    """Uniform in [0, 1)."""
    return varied(rng.random(shape).astype(dtype))


def away_from(kinks, rng, dtype, *shape, scale=2.0, margin=0.01):
    """Normal numbers, none nearer than `margin` to one of the kinks."""
    array = rng.standard_normal(shape) * scale
    for kink in kinks:
        array = np.where(np.abs(array - kink) < margin, kink + 3 * margin, array)
    return varied(array.astype(dtype))


def labels(rng, rows, cols):
    """Class labels (rows,), as different as `rows` and `cols` allow."""
    made = rng.permutation(np.arange(rows) % max(cols, 1)).astype(np.int64)
    assert min(rows, cols) < 2 or len(set(made)) > 1, "constant labels test nothing"
    return made


def labels_with_ignored(rng, rows, cols):
    """Class labels, a third of which are the default `ignore_index`."""
    made = labels(rng, rows, cols)
    made[1::3] = -100
    return made


def target_rows(rng, dtype, rows, cols):
    """Probability rows, with zeros in some places."""
    t = rng.random((rows, cols)) * (rng.random((rows, cols)) < 0.7) + 2.0**-10 * (np.arange(cols) == 0)
    return varied((t / t.sum(axis=1, keepdims=True)).astype(dtype)) if cols > 1 else np.ones((rows, cols), dtype)


TARGETS = {
    "labels": lambda rng, dtype, rows, cols: labels(rng, rows, cols),
    "ignored": lambda rng, dtype, rows, cols: labels_with_ignored(rng, rows, cols),
    "rows": target_rows,
    "float": normal,
    "unit": unit,
}

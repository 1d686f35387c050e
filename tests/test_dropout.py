"""Dropout's random numbers: Random123's known answers, the same bits everywhere, and the statistics of the masks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DTYPES, LAYOUTS, needs_native

import fastnn
from fastnn import backend, nn, reference

KNOWN_ANSWERS = [  # kat_vectors of Random123, "philox4x32 10": counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter,key,result", KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter, key, result):
    assert reference.philox4x32(words(counter), words(key)).ravel().tolist() == words(result)


def test_philox_takes_many_counters_at_once():
    counters = np.array([words(counter) for counter, _, _ in KNOWN_ANSWERS[:2]]).T
    columns = reference.philox4x32(counters, (0, 0)).T
    assert columns[0].tolist() == words(KNOWN_ANSWERS[0][2])
    assert columns[1].tolist() == reference.philox4x32(counters[:, 1], (0, 0)).ravel().tolist()


def test_bits_are_laid_out_as_documented(core, isa):
    """Element e of chunk c reads half-word e // 128 of block 128 c + e % 128, counter (block, offset), key seed."""
    seed, offset = 0x299F31D0A4093822, 0x0370734413198A2E
    for back_end in (reference, core):
        bits = back_end.dropout_bits(2100, seed, offset)
        assert bits.dtype == np.uint16 and bits.shape == (2100,)
        for element in (0, 1, 127, 128, 1023, 1024, 1500, 2099):
            chunk, inside = divmod(element, 1024)
            half, block = divmod(inside, 128)
            counter = [chunk * 128 + block, 0, offset & 0xFFFFFFFF, offset >> 32]
            word = int(reference.philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))[half // 2, 0])
            assert bits[element] == (word >> 16 * (half % 2)) & 0xFFFF, element


@needs_native
@settings(max_examples=150)
@given(size=st.integers(0, 5000), seed=st.integers(0, 2**64 - 1), offset=st.integers(0, 2**64 - 1))
def test_native_bits_equal_the_reference_for_any_seed_offset_and_size(size, seed, offset):
    expected = reference.dropout_bits(size, seed, offset)
    for isa in backend.available_isas():
        with backend.use_isa(isa):
            np.testing.assert_array_equal(backend._core.dropout_bits(size, seed, offset), expected, err_msg=isa)


def test_one_and_two_threads_draw_the_same_bits(core, isa):
    drawn = []
    for count in (1, 2, 3):
        with backend.threads(count):
            drawn.append(core.dropout_bits(300_001, 5, 9))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] == drawn[2]).all()


@pytest.mark.parametrize("p", [0.0, 1 / 3, 0.5, 0.999, 1 - 2**-20])
def test_the_mask_is_the_same_for_both_dtypes_every_layout_and_the_reference(core, isa, p):
    x = np.arange(1, 51 * 97 + 1).reshape(51, 97)
    masks = [reference.dropout(x.astype(float), p, 3, 4) != 0]
    for dtype in DTYPES:
        for layout in LAYOUTS.values():
            y = core.dropout(layout(x.astype(dtype)), p, 3, 4)
            masks.append(y != 0)
            np.testing.assert_allclose(y[y != 0], x[y != 0] / (1 - p), rtol=3 * np.finfo(dtype).eps)
    assert all((mask == masks[0]).all() for mask in masks)


def test_a_number_equal_to_the_threshold_is_kept(core, isa):
    bits = reference.dropout_bits(4000, 7, 8).astype(int)
    for element in (0, 1, 1023, 1024, 3999):
        for back_end in (reference, core):
            for above in (-1, 0, 1):
                p = (bits[element] + above) / 65536
                kept = back_end.dropout(np.ones(4000), p, 7, 8) != 0
                assert (kept == (bits >= bits[element] + above)).all()


@pytest.mark.parametrize("p", [0.0, 1 / 64, 0.1, 0.25, 0.5, 0.9])
def test_the_rate_of_kept_elements_is_one_minus_p(p):
    """Within 5 standard deviations, over the whole, and in each column and row: there is no pattern."""
    rows, cols = 2000, 512
    kept = fastnn.backend.ops.dropout(np.ones((rows, cols), np.float32), p, 11, 12) != 0
    for count, size in (
        (kept.sum(), rows * cols),
        *((c, rows) for c in kept.sum(axis=0)),
        *((r, cols) for r in kept.sum(axis=1)),
    ):
        assert abs(count - size * (1 - p)) <= 5 * math.sqrt(size * p * (1 - p)) + 2 * size / 65536, (count, size)


def test_bits_are_uniform_and_independent_from_seed_to_seed_and_step_to_step():
    draws = [
        backend.ops.dropout_bits(65536, seed, offset).astype(float) for seed in (0, 1, 2**40) for offset in (0, 1, 2)
    ]
    for bits in draws:
        assert abs(bits.mean() - 32767.5) < 5 * 65536 / math.sqrt(12 * 65536)
        counts = np.bincount((bits // 4096).astype(int), minlength=16)
        assert ((counts - 4096) ** 2 / 4096).sum() < 50  # chi-squared of 15 degrees of freedom: 1 in 10^5 is above 47
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / math.sqrt(65536)


def test_dropped_infinities_and_nan_become_nan(core):
    for back_end in (core, reference):
        y = back_end.dropout(np.full(64, np.inf), 0.5, 1, 2)
        assert np.isnan(y).any() and np.isinf(y).any() and (np.isnan(y) | np.isinf(y)).all()
        assert np.isnan(back_end.dropout(np.full(64, np.nan), 0.5, 1, 2)).all()


# ---------------------------------------------------------------------------------------------------------------
# The layer
# ---------------------------------------------------------------------------------------------------------------


def test_backward_repeats_the_mask_of_the_last_forward():
    layer, x = nn.Dropout(0.4, rng=0), np.ones((30, 40), np.float32)
    for _ in range(3):
        y = layer.forward(x)
        np.testing.assert_array_equal(layer.backward(x, x), y)


def test_each_forward_draws_a_new_mask_and_the_seed_repeats_them():
    x = np.ones((30, 40))
    first, second = (
        [nn_layer.forward(x) for _ in range(3)] for nn_layer in (nn.Dropout(0.4, rng=5), nn.Dropout(0.4, rng=5))
    )
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert not (first[0] == first[1]).all() and not (first[0] == nn.Dropout(0.4, rng=6).forward(x)).all()


def test_layers_of_one_generator_have_masks_of_their_own():
    rng = np.random.default_rng(0)
    x = np.ones(1000)
    assert not (nn.Dropout(0.5, rng=rng).forward(x) == nn.Dropout(0.5, rng=rng).forward(x)).all()


def test_evaluation_leaves_the_stream_of_masks_alone():
    x = np.ones((30, 40))
    one, other = nn.Dropout(0.4, rng=5), nn.Dropout(0.4, rng=5)
    one.forward(x), other.forward(x)
    assert other.eval().forward(x) is x
    np.testing.assert_array_equal(one.forward(x), other.train().forward(x))


def test_the_manual_seed_fixes_the_masks_of_layers_without_a_generator():
    x, drawn = np.ones(1000), []
    for _ in range(2):
        fastnn.manual_seed(3)
        drawn.append(nn.Dropout(0.5).forward(x))
    np.testing.assert_array_equal(*drawn)

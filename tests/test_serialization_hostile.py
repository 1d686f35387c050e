"""Files whose architecture was damaged or made up: a model comes out, or one short line, and nothing large is built."""

import copy
import json
import tracemalloc

import numpy as np
import pytest
from cases import LAYERS
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import nn, serialization
from fastnn.serialization import ARCHITECTURE

HELD = 1 << 24  # bytes that loading any of these small files may take; parameters that are not there may be a million


def model():
    return nn.Sequential(
        nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3), nn.LeakyReLU(0.3), nn.Sequential(nn.Dropout(0.25), nn.Flatten())
    )


MODEL = model()
STATE, CONFIG = MODEL.state_dict(), MODEL.config()

NUMBERS = st.one_of(
    st.integers(-3, 9),
    st.sampled_from([1 << 31, 1 << 63, 1 << 70, -(1 << 70), 10**400, 1e308, 1e-320, float("nan"), float("inf"), -0.0]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=4))
NAMES = st.sampled_from(["type", "modules", "in_features", "out_features", "num_features", "bias", "dtype", "p", "eps"])
VALUES = st.one_of(
    SCALARS,
    st.sampled_from(["float16", "float64", ">f4", "f4,f4", "(2,)f4", "(", "V8", "Linear", "Sequential", "Module"]),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=2), inner, max_size=3),
        max_leaves=6,
    ),
)


def places(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value, path, by):
    """A copy of the JSON value with another value at the path."""
    if not path:
        return by
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by
    return value


def load(text, tensors=STATE):
    """The model of a file with this architecture, or None after an error, which has to be one short line."""
    tracemalloc.start()
    try:
        return serialization.build(tensors, {ARCHITECTURE: text}, "file")
    except ValueError as error:
        line = str(error)
        assert line.startswith("file: expected ") and line.isprintable() and len(line) < 700
        return None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < HELD


@settings(max_examples=1000)
@given(path=st.sampled_from(list(places(CONFIG))), by=VALUES)
def test_any_value_in_the_place_of_any_other(path, by):
    loaded = load(json.dumps(replaced(CONFIG, path, by)))
    if loaded is not None:
        assert list(loaded.state_dict()) == list(STATE)


@settings(max_examples=500)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from(sorted({row.name for row in LAYERS})))
def test_any_arguments_of_any_layer(arguments, name):
    load(json.dumps({**arguments, "type": name}), {})
    load(json.dumps({"type": "Sequential", "modules": [{**arguments, "type": name}]}), {})


def test_every_changed_letter_of_the_architecture():
    text, kept = json.dumps(CONFIG), 0
    for place in range(len(text)):
        for letter in {"", "0", "9", '"', "}", "]", ",", "\0", "é"} - {text[place]}:
            kept += load(text[:place] + letter + text[place + 1 :]) is not None
    assert kept > 0  # another slope or another p is a model too


@pytest.mark.parametrize("depth", [10, 100, 300, 900, 5000, 100_000])
def test_nesting_of_every_depth(depth):
    text = '{"type":"Sequential","modules":[' * depth + '{"type":"ReLU"}' + "]}" * depth
    loaded = load(text, {})
    assert loaded is not None if depth <= 100 else True
    load('{"type":"Sequential","modules":[],"bias":' + "[" * depth + "]" * depth + "}", {})


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "Linear", "in_features": 1 << 40, "out_features": 1 << 40},
        {"type": "Linear", "in_features": 10**300, "out_features": 1},
        {"type": "BatchNorm1d", "num_features": 1 << 40, "affine": False},
        {"type": "ChannelwiseScale", "num_features": 1 << 62},
        {"type": "Linear", "in_features": 1000, "out_features": 1000, "modules": []},
        {"type": "LeakyReLU", "negative_slope": 10**400},
        {"type": "Linear", "in_features": 1, "out_features": 1, "dtype": "("},
        {"type": "Conv2d", "in_channels": 1 << 20, "out_channels": 1 << 20, "kernel_size": [1, 1]},
        {"type": "Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": [1 << 20, 1 << 20]},
        {"type": "Conv1d", "in_channels": 1 << 40, "out_channels": 1 << 40, "kernel_size": [3], "groups": 1 << 30},
        {"type": "Embedding", "num_embeddings": 1 << 30, "embedding_dim": 1 << 30},
        {"type": "LayerNorm", "normalized_shape": [1 << 30, 1 << 30]},
        {"type": "GroupNorm", "num_groups": 1, "num_channels": 1 << 40},
    ],
)
def test_sizes_and_values_that_no_layer_has(layer):
    assert load(json.dumps({"type": "Sequential", "modules": [layer, layer]}), {}) is None


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "x" * 10_000, "0.weight\u2028"])
def test_names_of_tensors_do_not_break_the_line(name):
    assert load(json.dumps(CONFIG), {**STATE, name: np.ones(1)}) is None
    assert load(json.dumps({"type": name}), {}) is None


def test_a_module_saves_itself(tmp_path):
    MODEL.save(tmp_path / "a", {"classes": "x y"})
    serialization.save(MODEL, tmp_path / "b", {"classes": "x y"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = fastnn.load(tmp_path / "a")
    assert repr(loaded) == repr(MODEL)
    nn.ReLU().save(str(tmp_path / "a"))
    assert repr(fastnn.load(tmp_path / "a")) == "ReLU()"


def test_a_layer_in_two_places_is_loaded_as_two_with_equal_parameters(tmp_path):
    layer = nn.Linear(3, 3, rng=0)
    nn.Sequential(layer, nn.Tanh(), layer).save(tmp_path / "m")
    loaded = fastnn.load(tmp_path / "m")
    assert loaded[0] is not loaded[2]
    for twin in (loaded[0], loaded[2]):
        np.testing.assert_array_equal(twin.weight, layer.weight)

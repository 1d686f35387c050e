"""`fastnn predict`: models and data that do not fit, probabilities, JSON, the standard input."""

import json

import pytest
from cli_support import SMALL, flowers, write

from fastnn import nn, serialization
from fastnn.cli.preparation import METADATA


@pytest.fixture
def model(works):
    works("train", flowers("f.csv"), *SMALL, "--out", "m")
    return "m"


def test_predict_refuses_data_of_another_kind(refused, model):
    with open("g.csv", "w") as file:
        file.write("width,height,kind\n1,2,rose\n")
    assert refused(1, "predict", model, "g.csv") == "g.csv: expected the columns width, length, got width, height"
    assert refused(1, "predict", model, "digits") == "digits: expected 2 features as in training, got 64"
    assert refused(1, "predict", model, "none.csv") == "none.csv: No such file or directory"
    assert refused(1, "predict", model, "f.csv", "--target", "length") == (
        "f.csv: expected the columns width, length, got width, kind"
    )
    assert refused(2, "predict", model, "f.csv", "--out", "f.csv").startswith("expected different files")
    assert refused(2, "predict", model, "f.csv", "--out", model).startswith("expected different files")
    assert refused(1, "predict", model, "f.csv", "--out", "none/p.csv") == "none/p.csv: No such file or directory"


def test_predict_refuses_files_that_hold_no_model_of_its_own(refused):
    with open("text", "w") as file:
        file.write("no model")
    assert refused(1, "predict", "none", "digits") == "none: No such file or directory"
    assert refused(1, "predict", "text", "digits").startswith("text: expected a safetensors file with a header")
    serialization.save(nn.Linear(64, 10), "bare")
    assert refused(1, "predict", "bare", "digits").startswith("bare: expected a model that `fastnn train` saved")


PREPARATION = {
    "task": "classification", "n_features": 64, "mean": [0.0], "std": [16.0], "classes": list(range(10)),
    "target_mean": 0.0, "target_std": 1.0, "features": None, "target": -1,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"task": "magic"},
        {"n_features": 0},
        {"n_features": "64"},
        {"mean": 0},
        {"mean": [0.0] * 3},
        {"mean": [float("nan")]},
        {"std": [0.0]},
        {"std": []},
        {"std": [True]},
        {"classes": []},
        {"classes": [1, 1]},
        {"classes": [1, "a"]},
        {"classes": [[1], [2]]},
        {"classes": "ab"},
        {"target_std": 0},
        {"features": ["a"]},
        {"features": 5},
        {"target": None},
        {"more": 1},
    ],
)
def test_predict_refuses_damaged_metadata(refused, change):
    text = json.dumps({**PREPARATION, **change})
    serialization.save(nn.Linear(64, 10), "m", {METADATA: text})
    assert refused(1, "predict", "m", "digits").startswith(f"m: expected a sound {METADATA!r}, got a damaged one (")


def test_predict_refuses_metadata_that_do_not_fit_the_network(refused, works):
    text = json.dumps(PREPARATION)
    for broken in ("", "{", "[]", "null", "[" * 100_000):
        serialization.save(nn.Linear(64, 10), "m", {METADATA: broken})
        assert refused(1, "predict", "m", "digits").startswith(f"m: expected a sound {METADATA!r}")
    serialization.save(nn.Linear(64, 9), "m", {METADATA: text})
    assert refused(1, "predict", "m", "digits") == "m: expected a model with output (1797, 10), got (1797, 9)"
    serialization.save(nn.Linear(63, 10), "m", {METADATA: text})
    assert "Linear" in refused(1, "predict", "m", "digits")
    serialization.save(nn.Linear(64, 10), "m", {METADATA: text})
    works("predict", "m", "digits")


def test_a_class_may_have_any_name(works):
    write("f.csv", "a,y\n" + "".join(f"{i},{('prediction', 'rows')[i % 2]}\n" for i in range(20)))
    works("train", "f.csv", *SMALL, "--quiet", "--out", "m")
    lines = works("predict", "m", "f.csv", "--probabilities").splitlines()
    assert lines[0] == "prediction,prediction,rows"
    assert all(line.partition(",")[0] in ("prediction", "rows") for line in lines)

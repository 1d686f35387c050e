"""`fastnn evaluate`, and what `predict` and `port` give to programs."""

import json
import os

import numpy as np
import pytest
from cli_support import SMALL, flowers, images, percentage, write
from compat_texts import PROGRAM, TORCH7

from fastnn import metrics, nn, serialization
from fastnn.cli.preparation import METADATA, Preparation
from fastnn.cli.report import count, listed, plain, table
from fastnn.cli.saved import load, outputs


@pytest.fixture
def model(works):
    works("train", flowers("f.csv", 90), "--epochs", 8, "--quiet", "--out", "m")
    return "m"


def test_a_classification(works, model):
    flowers("g.csv", 40, seed=1)
    out = works("evaluate", model, "g.csv")
    found = json.loads(works("evaluate", model, "g.csv", "--json"))
    truth = [line.split(",", 2)[2].strip() for line in open("g.csv")][1:]  # noqa: SIM115
    truth = [text.strip('"').replace('""', '"') for text in truth]
    predicted = [line.strip().strip('"').replace('""', '"') for line in works("predict", model, "g.csv").splitlines()]
    assert found["rows"] == 40 and found["accuracy"] == np.mean(np.array(truth) == np.array(predicted))
    assert percentage(out) == round(100 * found["accuracy"], 2)
    assert found["labels"] == ["lily", "rose", 'the "old" one, red']
    matrix = metrics.confusion_matrix(truth, predicted, labels=found["labels"])
    assert found["confusion_matrix"] == matrix.tolist() and sum(map(sum, found["confusion_matrix"])) == 40
    shares = metrics.precision_recall_f1(truth, predicted, average=None, labels=found["labels"])
    for place, label in enumerate(found["labels"]):
        assert found["classes"][label]["rows"] == truth.count(label)
        assert found["classes"][label]["f1"] == pytest.approx(shares.f1[place])
        assert f"{shares.precision[place]:.4f}" in out
    assert found["averages"]["macro average"]["recall"] == pytest.approx(shares.recall.mean())
    assert "true \\ predicted" in out and "weighted average" in out
    saved = load(model)
    X = np.array([line.split(",")[:2] for line in open("g.csv")][1:], np.float32)  # noqa: SIM115
    targets = [found["labels"].index(label) for label in truth]
    loss = nn.CrossEntropyLoss().forward(outputs(model, saved, X), targets)
    assert found["loss"] == pytest.approx(loss) and f"loss: {loss:.6g} (cross entropy)" in out


def test_a_regression(works):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = 100 + 30 * X[:, 0] + rng.normal(size=200)
    np.savez("f.npz", X=X, y=y)
    works("train", "f.npz", "--epochs", 10, "--quiet", "--out", "m")
    found = json.loads(works("evaluate", "m", "f.npz", "--json"))
    predicted = np.array(works("predict", "m", "f.npz").split(), float)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - y) ** 2)))
    assert found["mae"] == pytest.approx(np.abs(predicted - y).mean())
    assert found["r2"] == pytest.approx(1 - np.mean((predicted - y) ** 2) / y.var()) and found["r2"] > 0.8
    out = works("evaluate", "m", "f.npz")
    assert out.splitlines()[1:] == [
        f"RMSE: {found['rmse']:.6g}", f"MAE: {found['mae']:.6g}", f"R2: {found['r2']:.4f}"
    ]  # fmt: skip


def test_pictures(works, refused, model):
    pytest.importorskip("matplotlib")
    assert refused(2, "evaluate", model, "f.csv", "--plot", "c.docx").startswith("argument --plot: expected a name")
    assert works("evaluate", model, "f.csv", "--plot", "c.png").endswith("picture: c.png\n")
    np.savez("f.npz", X=np.eye(30), y=np.arange(30) / 7)
    works("train", "f.npz", *SMALL, "--quiet", "--out", "r")
    works("evaluate", "r", "f.npz", "--plot", "r.svg")
    assert os.path.getsize("c.png") > 1000 and os.path.getsize("r.svg") > 1000


def test_classes_that_the_model_does_not_know(run, works, model):
    write("g.csv", "width,length,kind\n5,0,rose\n0,5,tulip\n0,5,tulip\n")
    status, out, err = run("evaluate", model, "g.csv", "--json")
    assert status == 0 and "note: 2 rows of classes that the model does not know (tulip), which the loss" in err
    found = json.loads(out)
    assert found["labels"][-1] == "tulip" and found["classes"]["tulip"]["rows"] == 2 and found["loss"] is not None
    write("g.csv", "width,length,kind\n5,0,tulip\n")
    status, out, _ = run("evaluate", model, "g.csv", "--json")
    assert status == 0 and json.loads(out)["loss"] is None and json.loads(out)["accuracy"] == 0


def test_many_classes(run, works):
    np.savez("f.npz", X=np.eye(50), y=np.arange(50) // 2)
    works("train", "f.npz", *SMALL, "--quiet", "--test-size", 0, "--out", "m")
    out = works("evaluate", "m", "f.npz")
    assert "the confusion matrix of 25 classes is in --json and --plot" in out and "true \\ predicted" not in out


def test_refusals(refused, works, model):
    write("g.csv", "width,length\n1,2\n")
    assert refused(1, "evaluate", model, "g.csv") == "g.csv: expected targets to compare with, got none"
    assert refused(1, "evaluate", "none", "f.csv") == "none: No such file or directory"
    assert refused(2, "evaluate", model, "f.csv", "--plot", "f.csv").startswith("expected different files")
    assert refused(1, "evaluate", model, "digits") == "digits: expected 2 features as in training, got 64"
    write("g.csv", "a,y\n1,2.5\n2,3.5\n3,4.5\n4,1.5\n5,2.5\n")
    works("train", "g.csv", *SMALL, "--quiet", "--out", "r")
    write("h.csv", "a,y\n1,high\n")
    assert refused(1, "evaluate", "r", "h.csv").startswith("h.csv: expected numbers in the target column, got text")
    assert refused(1, "predict", "r", "g.csv", "--probabilities").startswith("r: expected a classification for")


def test_images_have_test_files(works):
    images("folder", "train", 60)
    images("folder", "t10k", 20, seed=1)
    works("train", "folder", *SMALL, "--quiet", "--out", "m")
    assert "data: folder: 20 rows" in works("evaluate", "m", "folder")


# predict and port for programs


def test_predict_as_json(works, model):
    found = json.loads(works("predict", model, "f.csv", "--json", "--probabilities"))
    assert found["rows"] == 90 == len(found["predictions"]) and found["score"]["accuracy"] > 0.8
    shares = np.array([found["probabilities"][label] for label in ("lily", "rose", 'the "old" one, red')])
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-5)
    labels = np.array(list(found["probabilities"]))[shares.argmax(axis=0)]
    assert labels.tolist() == found["predictions"]
    found = json.loads(works("predict", model, "f.csv", "--json", "--out", "p.csv"))
    assert "predictions" not in found and found["out"] == "p.csv" and os.path.getsize("p.csv") > 100


def test_probabilities_in_columns(works, model):
    lines = works("predict", model, "f.csv", "--probabilities").splitlines()
    assert lines[0] == 'prediction,lily,rose,"the ""old"" one, red"' and len(lines) == 91
    works("predict", model, "f.csv", "--probabilities", "--out", "p.csv")
    assert open("p.csv").read().splitlines() == lines  # noqa: SIM115


def test_port_as_json(works):
    write("modules.py", TORCH7)
    write("train.py", PROGRAM)
    found = json.loads(works("port", "train.py", "--json"))
    assert found["report"]["dialect"] == "torch7" and found["written"] is False and found["verification"] is None
    assert "+from fastnn.compat.torch7 import" in found["diff"] and "text" not in found
    found = json.loads(works("port", "train.py", "--json", "--verify", "--write"))
    assert found["written"] is True and found["verification"]["different"] == []
    assert "Linear" in found["verification"]["same"]


# What all of them print with


def test_words():
    assert count(1, "row") == "1 row" and count(1234, "row") == "1,234 rows"
    assert count(2, "class", "classes") == "2 classes" and count(1, "class", "classes") == "1 class"
    assert listed([1, 2], 2) == "1, 2" and listed([1, 2, 3], 2) == "1, 2, ..."
    assert table([["a", "b"], ["long", "1"]]) == "a     b\nlong  1"
    assert plain({"a": [np.float32(1), float("nan"), np.arange(2)], 2: None}) == {"a": [1, None, [0, 1]], "2": None}


def test_one_of_a_kind_is_singular(works):
    write("f.csv", "a,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(10)))
    out = works("train", "f.csv", "--hidden", "none", "--epochs", 1, "--quiet", "--out", "m")
    assert "10 rows (8 to train on, 2 to test on), 1 feature, 2 classes (a, b)" in out
    write("g.csv", "a,y\n1,a\n")
    assert "data: g.csv: 1 row\n" in works("evaluate", "m", "g.csv")
    assert "1 of 1 epoch," in works("info", "m")
    assert Preparation.loads("m", serialization.load_tensors("m")[1]).n_features == 1
    assert METADATA == "fastnn.preparation"

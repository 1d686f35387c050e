"""`fastnn train` on every kind of data, and the predictions of what it saves."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from cli_support import SMALL, flowers, images, percentage

import fastnn
from fastnn import data, nn, optim, serialization
from fastnn.cli import architectures, fitting, network, sources
from fastnn.cli.preparation import Preparation


def test_digits_from_training_to_prediction(run, works):
    pytest.importorskip("matplotlib")
    status, out, err = run(
        "train", "digits", "--hidden", 64, "--epochs", 5, "--out", "m.safetensors", "--plot", "curve.png"
    )
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == (
        "data: digits: 1,797 rows (1,437 to train on, 360 to test on), 64 features, "
        "10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
    )
    assert lines[1] == (
        "network: 64-64-10, relu, batch normalisation, dropout 0.2, 4,874 parameters, adam, learning rate 0.002"
    )
    assert re.fullmatch(r"training time: \d+\.\d\d s", lines[2])
    assert percentage(lines[3]) > 90
    assert lines[4:] == ["model: m.safetensors", "curve: curve.png"]
    assert len(err.splitlines()) == 5 and err.startswith("epoch 1/5  loss ")
    assert os.path.getsize("curve.png") > 1000

    status, out, err = run("predict", "m.safetensors", "digits")
    labels = [int(line) for line in out.splitlines()]
    _, y = data.load_digits()
    right = sum(np.array(labels) == y)
    assert status == 0 and len(labels) == 1797
    assert err == f"accuracy: {100 * right / 1797:.2f} % ({right} of 1797)\n" and percentage(err) > 90

    out = works("predict", "m.safetensors", "digits", "--out", "p.csv")
    assert out == err + "predictions: p.csv\n"
    with open("p.csv") as file:
        assert file.read().splitlines() == ["prediction", *map(str, labels)]

    model = serialization.load("m.safetensors").eval()
    X, _ = data.load_digits()
    assert model.forward(X / 16).argmax(axis=1).tolist() == labels


def test_the_same_seed_gives_the_same_model(works):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        works("train", flowers("f.csv"), *SMALL, "--seed", seed, "--out", name)
    contents = [Path(name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_table_with_class_names(run, works):
    out = works("train", flowers("f.csv"), "--epochs", 15, "--out", "m", "--target", "kind")
    assert '2 features, 3 classes (lily, rose, the "old" one, red)' in out and percentage(out) > 90
    status, out, err = run("predict", "m", flowers("g.csv", 9, seed=1))
    assert status == 0 and percentage(err) > 80
    assert len(out.splitlines()) == 9 and {"rose", "lily", '"the ""old"" one, red"'} >= set(out.splitlines())
    expected = out
    assert run("predict", "m", flowers("h.csv", 9, "width,length\n", 1, target=False)) == (0, expected, "")
    with open("g.csv") as file, open("swapped.csv", "w") as swapped:
        for line in file:
            a, b, rest = line.split(",", 2)
            swapped.write(f"{b},{a},{rest}")
    assert run("predict", "m", "swapped.csv") == (0, expected, err)


def test_table_without_header(run, works):
    works("train", flowers("f.csv", header=""), *SMALL, "--out", "m")
    status, out, err = run("predict", "m", flowers("g.csv", 9, "", seed=1))
    assert status == 0 and err.startswith("accuracy: ")
    assert run("predict", "m", flowers("h.csv", 9, "", 1, target=False)) == (0, out, "")


@pytest.mark.parametrize("task", ["auto", "regression"])
def test_regression(run, works, task):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 3))
    y = 1000 + 50 * (X @ [1, -2, 0.5]) + rng.normal(size=300)
    y = y.round(3) if task == "auto" else y.round()
    np.savetxt("f.tsv", np.c_[y, X], delimiter="\t", header="price\ta\tb\tc", comments="", fmt="%g")
    out = works(
        "train",
        "f.tsv",
        "--target",
        "price",
        "--delimiter",
        "tab",
        "--task",
        task,
        "--hidden",
        32,
        "--epochs",
        30,
        "--out",
        "m",
    )
    assert "3 features, a number to predict" in out and "network: 3-32-1, relu, 161 parameters" in out
    error, explained = map(
        float, re.search(r"test error: (\S+) \(root mean square\), \S+ \(mean\), R2: (\S+)", out).groups()
    )
    assert error < 10 and explained > 0.95
    status, out, err = run("predict", "m", "f.tsv", "--delimiter", "tab")
    predicted = np.array(out.split(), float)
    assert status == 0 and np.sqrt(np.mean((predicted - y) ** 2)) < 10
    assert re.match(r"error: \S+ \(root mean square\), \S+ \(mean\), R2: 0\.9", err)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([3, 7, 9])[np.arange(60) % 3], "3 classes (3, 7, 9)"),
        (np.array(["x", "y", "z"])[np.arange(60) % 3], "3 classes (x, y, z)"),
        (np.arange(60)[:, None] % 2 == 0, "2 classes (0, 1)"),
        ((np.arange(60) % 12).astype(np.uint8), "12 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)"),
    ],
)
def test_arrays(run, works, y, classes):
    X = np.random.default_rng(0).normal(size=(60, 2, 2)) + np.arange(60)[:, None, None] % 3
    np.savez("f.npz", X=X, y=y)
    out = works("train", "f.npz", *SMALL, "--out", "m")
    assert "4 features, " + classes in out
    status, out, _ = run("predict", "m", "f.npz")
    assert status == 0 and set(out.split()) <= set(map(str, np.asarray(y, int if y.dtype == bool else None).ravel()))
    np.savez("g.npz", x=X[:5])
    assert run("predict", "m", "g.npz") == (0, "".join(out.splitlines(keepends=True)[:5]), "")


def test_arrays_of_floats_as_classes(works):
    np.savez("f.npz", X=np.arange(60.0)[:, None], y=np.arange(60.0) % 2)
    assert "a number to predict" in works("train", "f.npz", *SMALL)
    assert "2 classes (0, 1)" in works("train", "f.npz", *SMALL, "--task", "classification")


def test_images_with_one_pair_of_files_test_on_the_last_rows(works):
    X, labels = images("folder", "t10k", 103, flipped=21)
    out = works("train", "folder", "--epochs", 10, "--out", "m", "--batch-size", 16)
    assert "103 rows (82 to train on, 21 to test on), 8 features, 2 classes (0, 1)" in out
    tensors, metadata = serialization.load_tensors("m")
    preparation = Preparation.loads("m", metadata)
    assert preparation.mean == [0] and preparation.std == [255]
    model = serialization.build(tensors, metadata, "m").eval()
    got = model.forward(X.reshape(103, 8).astype(np.float32) / 255).argmax(axis=1)
    assert percentage(out) == round(100 * (got == labels)[82:].mean(), 2) < 20
    assert "103 rows (51 to train on, 52 to test on)" in works("train", "folder", *SMALL, "--test-size", 0.5)


def test_images_with_both_pairs_of_files(run, works, refused):
    images("folder", "train", 80)
    _, labels = images("folder", "t10k", 20, seed=1)
    out = works("train", "folder", "--epochs", 10, "--out", "m")
    assert "100 rows (80 to train on, 20 to test on)" in out and percentage(out) > 90
    status, out, err = run("predict", "m", "folder")
    assert status == 0 and len(out.split()) == len(labels) and "of 20)" in err
    assert refused(1, "train", "folder", "--test-size", 0.3).startswith("folder: expected no --test-size")


def test_every_option_of_the_network(works):
    flowers("f.csv")
    for activation in architectures.ACTIVATIONS:
        out = works("train", "f.csv", *SMALL, "--activation", activation, "--no-batch-norm", "--dropout", 0)
        assert f"network: 2-16-3, {activation}, 99 parameters, adam" in out
    for optimizer, (_, rate) in network.OPTIMIZERS.items():
        out = works("train", "f.csv", *SMALL, "--optimizer", optimizer)
        assert f"{optimizer}, learning rate {rate:g}" in out
    out = works("train", "f.csv", "--hidden", "none", "--epochs", 1, "--lr", 0.5, "--test-size", 0)
    assert "network: 2-3, 9 parameters, adam, learning rate 0.5" in out
    assert "test" not in out.splitlines()[-1] and "(60 to train on, 0 to test on)" in out
    assert out.endswith("model: not saved (--out model.safetensors saves it)\n")


@pytest.mark.parametrize("rows", [33, 65])
def test_a_last_batch_of_one_row_is_left_out(works, rows):
    assert "training time" in works("train", flowers("f.csv", rows), *SMALL, "--test-size", 0)


def test_classes_are_split_in_proportion(works, monkeypatch):
    seen = []
    split = fitting.train_test_split
    monkeypatch.setattr(fitting, "train_test_split", lambda *a, **k: seen.append(split(*a, **k)) or seen[-1])
    np.savez("f.npz", X=np.arange(100.0)[:, None], y=np.arange(100) < 10)
    works("train", "f.npz", *SMALL)
    assert np.bincount(seen[0][3]).tolist() == [18, 2]


def test_threads_hold_for_the_command_alone(works, monkeypatch):
    seen = []
    monkeypatch.setattr(
        sources, "load_digits", lambda load=data.load_digits: seen.append(fastnn.get_num_threads()) or load()
    )
    before = fastnn.get_num_threads()
    if before == 1:
        pytest.skip("more than 1 thread is needed to see that 1 is asked for")
    works("train", "digits", "--hidden", 4, "--epochs", 1, "--threads", 1)
    assert seen == [1] and fastnn.get_num_threads() == before


@pytest.fixture
def made(monkeypatch):
    """What the trainings of a test are made of: trainers and schedules, in turn."""
    found = []
    for name in ("trainer", "schedule"):
        make = getattr(network, name)
        monkeypatch.setattr(network, name, lambda *a, make=make: found.append(make(*a)) or found[-1])
    return found


def test_losses_weights_and_schedules(works, made):
    np.savez("f.npz", X=np.random.default_rng(0).normal(size=(100, 2)), y=np.arange(100) < 20)
    works("train", "f.npz", *SMALL, "--class-weight", "balanced", "--weight-decay", 0.25, "--schedule", "constant")
    trainer, schedule = made
    np.testing.assert_allclose(trainer.criterion.weight, [80 / (2 * 64), 80 / (2 * 16)])
    assert trainer.optimizer.weight_decay == 0.25 and schedule is None
    made.clear()
    works("train", "f.npz", *SMALL, "--optimizer", "adamw", "--schedule", "plateau")
    assert made[0].criterion.weight is None and made[0].optimizer.weight_decay == 0.01
    assert isinstance(made[1], optim.lr_scheduler.ReduceLROnPlateau)
    for loss, kind in (("l1", nn.L1Loss), ("huber", nn.HuberLoss), ("mse", nn.MSELoss)):
        made.clear()
        works("train", "f.npz", *SMALL, "--task", "regression", "--loss", loss)
        assert type(made[0].criterion) is kind and made[0].optimizer.weight_decay == 0
        assert isinstance(made[1], optim.lr_scheduler.CosineAnnealingLR)


def test_options_of_the_other_task_are_refused(refused):
    np.savez("f.npz", X=np.eye(40), y=np.arange(40) % 2)
    text = "f.npz: expected a regression for --loss, got classes (--task regression makes them numbers)"
    assert refused(1, "train", "f.npz", "--loss", "l1") == text
    np.savez("f.npz", X=np.eye(40), y=np.arange(40) / 3)
    text = "f.npz: expected a classification for --class-weight, got numbers to predict"
    assert refused(1, "train", "f.npz", "--class-weight", "balanced") == text

"""The command `fastnn`: what it prints, saves and refuses. Nearly all runs are calls of `main` in this process."""

import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import data, nn, serialization
from fastnn.cli import main, sources, train
from fastnn.cli.preparation import METADATA, Preparation

SMALL = ["--hidden", "16", "--epochs", "2"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command: status, standard output, standard error."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def works(run):
    """Run a command that has to work: its output."""

    def call(*arguments):
        status, out, err = run(*arguments)
        assert status == 0, err
        return out

    return call


@pytest.fixture
def refused(run):
    """Run a command that has to refuse: its message, which must be the only line."""

    def call(status, *arguments):
        got, out, err = run(*arguments)
        assert got == status and out == "" and err.count("\n") == 1 and err.endswith("\n")
        start = f"fastnn {arguments[0]}: error: "
        assert err.startswith(start)
        return err.removeprefix(start).rstrip("\n")

    return call


def flowers(path, rows=60, header="width,length,kind\n", seed=0, target=True):
    """A table of three kinds that lie apart."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, rows)
    X = 5 * np.array([[0, 0], [1, 0], [0, 1]])[kinds] + rng.normal(size=(rows, 2))
    names = ["rose", "lily", 'the "old" one, red']
    with open(path, "w") as file:
        file.write(header)
        for (a, b), kind in zip(X, kinds, strict=True):
            quoted = '"' + names[kind].replace('"', '""') + '"'
            file.write(f"{a:.4f},{b:.4f}" + (f",{quoted}\n" if target else "\n"))
    return path


def images(folder, prefix, rows, seed=0, flipped=0):
    """A pair of IDX files: bright on the left half or on the right one; the last labels may be wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(np.uint8)
    X = rng.integers(0, 100, (rows, 2, 4)).astype(np.uint8)
    X[labels == 1, :, :2] += 150
    X[labels == 0, :, 2:] += 150
    labels[rows - flipped :] ^= 1
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{prefix}-images-idx3-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", *X.shape) + X.tobytes())
    with open(os.path.join(folder, f"{prefix}-labels-idx1-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 1]) + struct.pack(">I", rows) + labels.tobytes())
    return X, labels


def percentage(text):
    return float(re.search(r"accuracy: ([\d.]+) %", text)[1])


# ---------------------------------------------------------------------------------------------------------------
# train and predict on every kind of data
# ---------------------------------------------------------------------------------------------------------------


def test_digits_from_training_to_prediction(run, works):
    status, out, err = run(
        "train", "digits", "--hidden", 64, "--epochs", 5, "--out", "m.safetensors", "--plot", "curve.png"
    )
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == (
        "data: digits: 1797 rows (1437 to train on, 360 to test on), 64 features, "
        "10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
    )
    assert lines[1] == (
        "network: 64-64-10, relu, batch normalisation, dropout 0.2, 4874 parameters, adam, learning rate 0.002"
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
    error, explained = map(float, re.search(r"test error: (\S+) \(root mean square\), R2: (\S+)", out).groups())
    assert error < 10 and explained > 0.95
    status, out, err = run("predict", "m", "f.tsv", "--delimiter", "tab")
    predicted = np.array(out.split(), float)
    assert status == 0 and np.sqrt(np.mean((predicted - y) ** 2)) < 10
    assert re.match(r"error: \S+ \(root mean square\), R2: 0\.9", err)


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
    for activation in train.ACTIVATIONS:
        out = works("train", "f.csv", *SMALL, "--activation", activation, "--no-batch-norm", "--dropout", 0)
        assert f"network: 2-16-3, {activation}, 99 parameters, adam" in out
    for optimizer, (_, rate) in train.OPTIMIZERS.items():
        out = works("train", "f.csv", *SMALL, "--optimizer", optimizer)
        assert f"{optimizer}, learning rate {rate:g}" in out
    out = works("train", "f.csv", "--hidden", "none", "--epochs", 1, "--lr", 0.5, "--test-size", 0)
    assert "network: 2-3, relu, batch normalisation, dropout 0.2, 9 parameters, adam, learning rate 0.5" in out
    assert "test" not in out.splitlines()[-1] and "(60 to train on, 0 to test on)" in out
    assert out.endswith("model: not saved (--out model.safetensors saves it)\n")


@pytest.mark.parametrize("rows", [33, 65])
def test_a_last_batch_of_one_row_is_left_out(works, rows):
    assert "training time" in works("train", flowers("f.csv", rows), *SMALL, "--test-size", 0)


def test_classes_are_split_in_proportion(works, monkeypatch):
    seen = []
    split = train.train_test_split
    monkeypatch.setattr(train, "train_test_split", lambda *a, **k: seen.append(split(*a, **k)) or seen[-1])
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


# ---------------------------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--epochs", "0"], "argument --epochs: expected a whole number from 1 to 2147483648, got '0'"),
        (["--batch-size", "x"], "argument --batch-size: expected a whole number from 1"),
        (["--threads", "5000"], "argument --threads: expected a whole number from 1 to 4096, got '5000'"),
        (["--seed", "-1"], "argument --seed: expected a whole number from 0"),
        (["--hidden", "3,,4"], "argument --hidden: expected a whole number from 1"),
        (["--dropout", "1"], "argument --dropout: expected a number from 0 and below 1, got '1'"),
        (["--dropout", "nan"], "argument --dropout: expected a number from 0 and below 1, got 'nan'"),
        (["--test-size", "1.5"], "argument --test-size: expected a number from 0 and below 1, got '1.5'"),
        (["--lr", "0"], "argument --lr: expected a number above 0, got '0'"),
        (["--lr", "inf"], "argument --lr: expected a number above 0, got 'inf'"),
        (["--optimizer", "magic"], "argument --optimizer: invalid choice: 'magic'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--delimiter", "ab"], "argument --delimiter: expected one character, got 'ab'"),
        (["--plot", "curve.docx"], "argument --plot: expected a name that ends in "),
        (["--out", "a.png", "--plot", "a.png"], "expected different files to read and to write, got a.png twice"),
    ],
)
def test_bad_options(refused, arguments, text):
    assert text in refused(2, "train", "digits", *arguments)
    assert os.listdir() == []


def test_no_command(run):
    status, out, err = run()
    assert status == 2 and out == "" and err.startswith("fastnn: error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none", "none: expected 'digits', a folder of IDX files, a .npz or a .csv file, found nothing"),
        ("none.csv", "none.csv: No such file or directory"),
        ("none.npz", "none.npz: No such file or directory"),
        (
            "other.txt.zip",
            "other.txt.zip: expected 'digits', a folder of IDX files, a .npz or a .csv file, got another",
        ),
        ("empty", "empty: expected IDX files such as train-images-idx3-ubyte"),
        ("bad.csv", "bad.csv: row 3, column 'a': expected a number, got 'x'"),
        ("one.csv", "one.csv: expected at least two classes to tell apart, got 'k' in every row"),
        ("short.csv", "short.csv: train_test_split: expected rows in both parts, got 1 of 1 rows to test on"),
        ("numbers.csv", "numbers.csv: expected labels or numbers, got a target with 30 values in 30 rows"),
        ("bad.npz", "bad.npz: expected an .npz file of plain arrays"),
        ("no_y.npz", "no_y.npz: expected targets y to train on, got none"),
        ("rows_y.npz", "rows_y.npz: expected y of numbers or text, of shape (N,), got float64 (2, 2)"),
        ("text_x.npz", "text_x.npz: expected X of numbers, got <U1"),
        ("empty_x.npz", "empty_x.npz: expected at least one row and one column, got shape (0, 2)"),
        ("nan_x.npz", "nan_x.npz: expected finite float32 numbers in X, got nan in row 1, column 0"),
        ("huge_x.npz", "huge_x.npz: expected finite float32 numbers in X, got inf in row 0, column 1"),
        ("nan_y.npz", "nan_y.npz: expected finite numbers in y, got nan"),
    ],
)
def test_bad_data(refused, name, text):
    os.mkdir("empty")
    for file, content in {
        "other.txt.zip": "1,2\n",
        "bad.csv": "a,y\n1,k\nx,l\n",
        "one.csv": "a,y\n1,k\n2,k\n",
        "short.csv": "a,y\n1.5,2.5\n",
        "numbers.csv": "a,y\n" + "".join(f"{i},{i}\n" for i in range(30)),
        "bad.npz": "no zip",
    }.items():
        with open(file, "w") as opened:
            opened.write(content)
    np.savez("no_y.npz", X=np.eye(2))
    np.savez("rows_y.npz", X=np.eye(2), y=np.eye(2))
    np.savez("text_x.npz", X=[["a"], ["b"]], y=[0, 1])
    np.savez("empty_x.npz", X=np.empty((0, 2)), y=[])
    np.savez("nan_x.npz", X=[[1.0], [np.nan]], y=[0, 1])
    np.savez("huge_x.npz", X=[[1.0, 1e300]], y=[0])
    np.savez("nan_y.npz", X=[[1.0], [2.0]], y=[0, np.nan])
    assert refused(1, "train", name).startswith(text)


def test_bad_tasks(refused):
    flowers("f.csv")
    assert refused(1, "train", "f.csv", "--task", "regression").startswith(
        "f.csv: expected numbers as targets of a regression, got text such as "
    )
    np.savez("f.npz", X=np.eye(4), y=[0.0, 1.0, 0.5, 1.0])
    assert refused(1, "train", "f.npz", "--task", "classification") == (
        "f.npz: expected whole numbers or text as class labels, got 0.5"
    )
    assert refused(1, "train", "f.csv", "--target", "colour") == (
        "f.csv: expected one column named 'colour', got the columns width, length, kind"
    )
    images("folder", "t10k", 20)
    assert refused(1, "train", "folder", "--test-size", 0.999) == (
        "folder: --test-size: expected rows in both parts, got 20 of 20 rows to test on"
    )
    images("folder", "train", 20)
    with open("folder/t10k-images-idx3-ubyte", "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", 20, 1, 1) + bytes(20))
    assert refused(1, "train", "folder").startswith("folder: expected test images like the uint8 training images")


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_outputs_are_checked_before_anything_is_read(refused, monkeypatch, option):
    monkeypatch.setattr(train, "read", lambda *_: pytest.fail("read before the outputs were checked"))
    os.mkdir("folder.png")
    assert refused(1, "train", "digits", option, "none/a.png") == "none/a.png: No such file or directory"
    assert refused(1, "train", "digits", option, "folder.png") == "folder.png: expected a file to write, got a folder"
    assert refused(1, "train", "digits", option, os.devnull) == f"{os.devnull}: expected a file that can be written"
    with open("a.csv", "w"):
        pass
    assert refused(2, "train", "a.csv", option, "./a.csv").startswith("expected different files")
    assert os.listdir("folder.png") == []


@pytest.mark.filterwarnings("error")
def test_a_failed_training_leaves_the_old_model(refused, run):
    flowers("f.csv")
    with open("m", "w") as file:
        file.write("old")
    status, _, err = run("train", "f.csv", "--out", "m", "--lr", "1e38", "--optimizer", "sgd", "--no-batch-norm")
    assert status == 1
    assert re.search(r"^fastnn train: error: the training diverged: .* try a smaller --lr than 1e\+38$", err, re.M)
    assert Path("m").read_text() == "old" and sorted(os.listdir()) == ["f.csv", "m"]


def test_plot_without_matplotlib(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = refused(1, "train", "digits", "--plot", "a.png")
    assert text.startswith("--plot: expected matplotlib, got ") and "pip install 'fastnn[plot]'" in text


@pytest.mark.parametrize("where", ["read", "save"])
def test_interrupt(run, monkeypatch, where):
    def interrupt(*_):
        raise KeyboardInterrupt

    if where == "read":
        monkeypatch.setattr(train, "read", interrupt)
    else:
        monkeypatch.setattr(os, "replace", interrupt)
    status, _, err = run("train", flowers("f.csv"), *SMALL, "--out", "m")
    assert status == 130 and err.splitlines()[-1] == "fastnn train: interrupted"
    assert os.listdir() == ["f.csv"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "expected more memory than there is"),
        (OSError(errno.ENOSPC, "No space left on device", "m"), "m: No space left on device"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (ValueError("two\nlines"), "two lines"),
    ],
)
def test_every_error_is_one_line(refused, monkeypatch, error, text):
    def fail(*_):
        raise error

    monkeypatch.setattr(train, "read", fail)
    assert refused(1, "train", "digits") == text


# ---------------------------------------------------------------------------------------------------------------
# predict: models and data that do not fit
# ---------------------------------------------------------------------------------------------------------------


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
    assert refused(1, "predict", model, "f.csv", "--target", "length").startswith(
        "f.csv: row 2, column 'kind': expected"
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
    text = fastnn.cli.preparation.json.dumps({**PREPARATION, **change})
    serialization.save(nn.Linear(64, 10), "m", {METADATA: text})
    assert refused(1, "predict", "m", "digits").startswith(f"m: expected a sound {METADATA!r}, got a damaged one (")


def test_predict_refuses_metadata_that_do_not_fit_the_network(refused, works):
    text = fastnn.cli.preparation.json.dumps(PREPARATION)
    for broken in ("", "{", "[]", "null", "[" * 100_000):
        serialization.save(nn.Linear(64, 10), "m", {METADATA: broken})
        assert refused(1, "predict", "m", "digits").startswith(f"m: expected a sound {METADATA!r}")
    serialization.save(nn.Linear(64, 9), "m", {METADATA: text})
    assert refused(1, "predict", "m", "digits") == "m: expected a model with output (1797, 10), got (1797, 9)"
    serialization.save(nn.Linear(63, 10), "m", {METADATA: text})
    assert "Linear" in refused(1, "predict", "m", "digits")
    serialization.save(nn.Linear(64, 10), "m", {METADATA: text})
    works("predict", "m", "digits")


# ---------------------------------------------------------------------------------------------------------------
# info, help, the program itself
# ---------------------------------------------------------------------------------------------------------------


def test_info_help_and_version(works):
    assert "backend" in works("info") and "threads" in works("info")
    assert works("--version") == f"fastnn {fastnn.__version__}\n"
    assert "example: fastnn train digits" in works("--help")
    for command in ("train", "predict"):
        out = works(command, "--help")
        assert f"fastnn {command} " in out and "examples:" in out and "FILE.csv" in out


def test_as_a_program_whose_reader_stops_early():
    """In a process of its own; `head` closes the pipe long before the 1,797 lines are written."""
    flowers("f.csv")
    flowers("g.csv", 15_000, target=False, header="width,length\n")  # 150 kB of predictions, more than a pipe holds
    program = [sys.executable, "-m", "fastnn"]
    trained = subprocess.run(
        [*program, "train", "f.csv", *SMALL, "--out", "m"], capture_output=True, text=True, timeout=60
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr.count("epoch ") == 2 and "test accuracy: " in trained.stdout
    process = subprocess.Popen(
        [*program, "predict", "m", "g.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)

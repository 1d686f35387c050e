"""What `fastnn train` refuses, in one line and before anything is trained or written."""

import errno
import os
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_support import SMALL, flowers, images

from fastnn.cli import train


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
        (["--delimiter", ";"], "argument --delimiter: expected a .csv file as DATA, got digits"),
        (["--ignore", "a"], "argument --ignore: expected a .csv file as DATA, got digits"),
        (["--categorical", "a"], "argument --categorical: expected a .csv file as DATA, got digits"),
        (["--categorical", "a,,b"], "argument --categorical: expected names or places of columns with commas between"),
        (["--header", "no"], "argument --header: expected a .csv file as DATA, got digits"),
        (["--target", "a"], "argument --target: expected a .csv file as DATA, got digits"),
        (["--missing", "mean"], "argument --missing: expected a .csv or an .npz file as DATA, got digits"),
        (["--missing", "magic"], "argument --missing: invalid choice: 'magic'"),
        (["--out", ""], "expected the name of a file to write, got ''"),
        (["--decimal", "comma"], "argument --decimal: expected a .csv file as DATA, got digits"),
        (["--resume"], "argument --resume: expected --checkpoint FILE to go on from, got none"),
        (["--task", "classification", "--loss", "l1"], "argument --loss: expected a regression"),
        (["--task", "regression", "--class-weight", "balanced"], "argument --class-weight: expected a classification"),
        (["--hidden", "none", "--activation", "tanh"], "argument --activation: expected hidden layers for it"),
        (["--hidden", "none", "--dropout", "0.5"], "argument --dropout: expected hidden layers for it"),
        (["--hidden", "none", "--batch-norm"], "argument --batch-norm: expected hidden layers for it"),
        (["--hid", "3"], "unrecognized arguments: --hid 3"),
        (["--plot", "curve.docx"], "argument --plot: expected a name that ends in "),
        (["--out", "a.png", "--plot", "a.png"], "expected different files to read and to write, got a.png twice"),
    ],
)
def test_bad_options(refused, arguments, text):
    if "--plot" in arguments and "--out" not in arguments:
        pytest.importorskip("matplotlib")
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
        (
            "nan_x.npz",
            "nan_x.npz: expected a value in every cell, got 1 cell without one in 1 of 2 rows: 1 in column 0 "
            "(the first in row 1); --missing tells how to go on",
        ),
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

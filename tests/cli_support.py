"""What the tests of the command line share: fixtures that run a command, and data for it."""

import os
import re
import struct

import numpy as np
import pytest

from fastnn.cli import main

SMALL = ["--hidden", "16", "--epochs", "2"]


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """A folder of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys, empty_folder):
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


def images(folder, prefix, rows, seed=0, flipped=0, size=(2, 4)):
    """A pair of IDX files: bright on the left half or on the right one; the last labels may be wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(np.uint8)
    X, half = rng.integers(0, 100, (rows, *size)).astype(np.uint8), size[1] // 2
    X[labels == 1, :, :half] += 150
    X[labels == 0, :, half:] += 150
    labels[rows - flipped :] ^= 1
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{prefix}-images-idx3-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", *X.shape) + X.tobytes())
    with open(os.path.join(folder, f"{prefix}-labels-idx1-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 1]) + struct.pack(">I", rows) + labels.tobytes())
    return X, labels


def percentage(text):
    return float(re.search(r"accuracy: ([\d.]+) %", text)[1])


def write(path, text):
    """A file of text; its name."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path

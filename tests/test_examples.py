"""The programs of examples/ run, and what they train has learnt."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="examples/ is not beside the tests")


def accuracy(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return float(re.search(r"test accuracy: ([\d.]+) %", done.stdout)[1])


def bars(folder, prefix, rows, seed):
    """A pair of IDX files of 28x28 images: the label says where a bright bar is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, rows).astype(np.uint8)
    X = rng.integers(0, 80, (rows, 28, 28)).astype(np.uint8)
    for image, label in zip(X, labels, strict=True):
        image[:, 4 + 2 * label : 6 + 2 * label] += 150
    for kind, array in (("images-idx3", X), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{prefix}-{kind}-ubyte").write_bytes(head + array.tobytes())


@pytest.mark.parametrize("prefixes", [("t10k",), ("train", "t10k")])
def test_lenet(tmp_path, prefixes):
    for seed, prefix in enumerate(prefixes):
        bars(tmp_path, prefix, 500, seed)
    assert accuracy(EXAMPLES / "lenet_mnist.py", tmp_path, "--epochs", 8) > 80


def test_residual():
    assert accuracy(EXAMPLES / "residual.py", "--epochs", 2) > 90


def test_every_example_is_tested_and_named_in_the_readme():
    text, readme = Path(__file__).read_text(), (EXAMPLES.parent / "README.md").read_text()
    names = [name for name in os.listdir(EXAMPLES) if name.endswith(".py")]
    assert names and all(f'"{name}"' in text and f"(examples/{name})" in readme for name in names)

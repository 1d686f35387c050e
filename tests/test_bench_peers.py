"""The benchmark of the peers runs: a few short rounds of one row, in whatever is installed; a wrong result is found."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import needs_native

BENCH = Path(__file__).parents[1] / "bench"
NUMBER, SHARE, RATIO = r"\d+\.?\d*", r"\d+\.\d\d", r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]"

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="bench/ is not beside the tests")


def row(label, only, *options):
    """The numbers in the row of a quick run, and all that was printed."""
    command = [sys.executable, BENCH / "peers.py", "--quick", "--only", only, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "other results" not in done.stdout
    found = re.search(rf"^\| {re.escape(label)} \| ({NUMBER}) \| ({SHARE}) \| (.*) \|$", done.stdout, re.M)
    assert found, done.stdout
    return float(found[1]), float(found[2]), found[3].split(" | "), done.stdout


@needs_native
def test_an_operation():
    label = "ReLU forward (128, 256)"
    peers = "reference,numpy,torch,jax,sklearn"  # not the slow start of torch.compile
    time, share, ratios, printed = row(label, "relu forward (128, 256), float32", "--peers", peers)
    assert time > 0 and share > 0
    assert all(re.fullmatch(RATIO, ratio) for ratio in ratios)
    heads = re.search(r"^\| layers, float32 \| fastnn us \| of a copy \| (.*) \|$", printed, re.M)[1].split(" | ")
    assert len(heads) == len(ratios)
    assert heads[0] == "reference / fastnn"
    for name, peer in (("PyTorch", "torch"), ("JAX jit", "jax")):
        assert f"{name} / fastnn" in heads or f"Missing: {name}: " in printed, peer


@needs_native
def test_a_training_step_and_the_picture(tmp_path):
    picture = tmp_path / "peers.png"
    label, options = "64-32-32-10, batch 32", ("--peers", "reference,numpy", "--plot", picture)
    time, share, ratios, printed = row(label, f"training steps: {label}, float64", *options)
    assert time > 0 and 0 < share < 1.1
    assert len(ratios) == 2 and all(re.fullmatch(RATIO, ratio) for ratio in ratios)
    assert (
        "| training steps, float64 | fastnn us | of the roof | reference / fastnn | NumPy by hand / fastnn |" in printed
    )
    assert picture.stat().st_size > 1000


@pytest.mark.slow
@needs_native
def test_compiled():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    *_, ratios, printed = row(
        "Sigmoid backward (128, 256)", "sigmoid backward (128, 256), float32", "--peers", "compiled"
    )
    assert re.fullmatch(RATIO, ratios[0]) or "Missing: torch.compile: " in printed


def test_a_wrong_result_is_found(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from peer_worker import projections
    from peers import same

    array = np.random.default_rng(0).standard_normal((30, 20))
    expected = [[projections(array)]] * 3
    assert same(expected, expected, 1e-9)
    assert same([[projections(array + 1e-12)]] * 3, expected, 1e-9)
    for wrong in (array + 1e-6, -array, array[::-1], array.T, array * np.nan):
        assert not same([[projections(wrong)]] * 3, expected, 1e-9)
    assert not same([], expected, 1e-9)
    assert not same(expected * 2, expected, 1e-9)


def test_unknown_names():
    command = [sys.executable, BENCH / "peers.py"]
    for options, message in ((["--only", "nothing"], "no row contains"), (["--peers", "numpy,cuda"], "got cuda")):
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and message in done.stderr

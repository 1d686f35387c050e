"""`fastnn info FILE` and `fastnn bench`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cli_support import SMALL, flowers

from fastnn import nn, serialization
from fastnn.cli import bench, bench_worker
from fastnn.cli.preparation import TRAINING


def test_a_model_of_train(works):
    works("train", flowers("f.csv"), *SMALL, "--quiet", "--out", "m", "--seed", 7)
    out = works("info", "m")
    assert out.startswith("m: ") and "kB, 8 tensors\n" in out
    assert "Linear" in out and "BatchNorm1d" in out and "(N, 16)" in out
    assert "task: classification, 3 classes (lily, rose, " in out
    assert "features: 2, scaled to mean 0 and deviation 1 of the training rows; missing values: error" in out
    assert "columns: width, length; target: kind" in out
    assert "trained: by fastnn " in out and "on f.csv, 48 rows, 2 of 2 epochs, batches of 32, adam" in out
    assert "seed 7" in out and "tested: on 12 rows, accuracy " in out
    found = json.loads(works("info", "m", "--json"))
    assert found["parameters"] == 2 * 16 + 32 + 16 * 3 + 3 and found["bytes"] == os.path.getsize("m")
    assert found["preparation"]["features"] == ["width", "length"] and found["trained"]["training"]["seed"] == 7
    assert found["tensors"]["0.weight"] == {"dtype": "float32", "shape": [16, 2]}


def test_other_files(works, refused):
    serialization.save(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "m", {"who": "me"})
    out = works("info", "m")
    assert "Linear(in_features=3, out_features=2" in out and "8 parameters" in out and "metadata who: me" in out
    serialization.save_tensors({"a": np.zeros((2, 3)), "b": np.float32(1)}, "t")
    out = works("info", "t")
    assert "no model of fastnn" in out and "a       float64     2x3  48 bytes" in out and "scalar" in out
    assert json.loads(works("info", "t", "--json"))["tensors"]["b"] == {"dtype": "float32", "shape": []}
    with open("text", "w") as file:
        file.write("no tensors")
    assert refused(1, "info", "text").startswith("text: expected a safetensors file")
    assert refused(1, "info", "none") == "none: No such file or directory"


def test_a_checkpoint(works, run):
    works("train", "digits", "--hidden", 4, "--epochs", 2, "--quiet", "--checkpoint", "c")
    out = works("info", "c")
    assert "a checkpoint of a training, 2 epochs done; `fastnn train --checkpoint c --resume` goes on" in out
    assert "metadata" not in out and json.loads(works("info", "c", "--json"))["epochs_done"] == 2
    serialization.save_tensors({}, "d", {"fastnn.checkpoint": "[]"})
    status, _, err = run("info", "d")
    assert status == 1 and "d: expected a sound 'fastnn.checkpoint', got a damaged one" in err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": 1}', "[" * 100_000])
def test_damaged_facts_of_a_training(run, empty_folder, text):
    serialization.save(nn.Linear(3, 2), "m", {TRAINING: text})
    status, _, err = run("info", "m")
    assert status == 1 and err.startswith(f"fastnn info: error: m: expected a sound {TRAINING!r}")
    assert err.count("\n") == 1


# bench

QUICK = ["--features", 8, "--hidden", "4", "--classes", 3, "--batch-size", 5, "--seconds", 0.01, "--threads", 1]


def test_bench(works):
    out = works("bench", *QUICK)
    lines = out.splitlines()
    assert lines[0].startswith("float32, sgd, 1 thread, ")
    assert lines[2] == "8-4-3, batches of 5 rows" and "training step" in lines[3]
    assert [line.split("  ")[0] for line in lines[4:]] == list(bench.LIBRARIES.values())
    assert lines[4].split()[-1] == "1.00"


def test_bench_as_json_with_every_option(works):
    pytest.importorskip("matplotlib")
    more = ["--optimizer", "adam", "--dtype", "float64", "--plot", "b.png", "--json"]
    found = json.loads(works("bench", *QUICK, *more))
    assert (found["dtype"], found["optimizer"], found["threads"]) == ("float64", "adam", 1)
    (network,) = found["networks"]
    assert network["sizes"] == [8, 4, 3] and network["batch_size"] == 5
    assert set(network["results"]) == set(found["versions"]) == set(bench.LIBRARIES)
    for of_one in network["results"].values():
        for kind in bench_worker.KINDS:
            seconds = of_one[kind]["seconds"]
            assert 0 < seconds < 10
            assert of_one[kind]["samples_per_second"] == pytest.approx((1 if kind == "row" else 5) / seconds)
            assert of_one[kind]["ratio"] == pytest.approx(seconds / network["results"]["fastnn"][kind]["seconds"])
    assert os.path.getsize("b.png") > 1000


def test_bench_leaves_out_what_is_not_there(run, monkeypatch):
    monkeypatch.setattr(bench, "PEERS", {"sklearn": "scikit-learn"})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])))
    os.mkdir("sklearn")
    with open("sklearn/__init__.py", "w") as file:
        file.write("raise ImportError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])))
    status, out, err = run("bench", *QUICK, "--peers")
    assert status == 0 and "scikit-learn" not in out
    assert err == "note: scikit-learn is left out: ImportError: broken\n"


def test_bench_refuses(refused):
    assert refused(2, "bench", "--peers", "--hidden", "none").startswith(
        "argument --hidden: expected hidden layers for"
    )
    assert "argument --seconds: expected a number above 0" in refused(2, "bench", "--seconds", 0)
    assert "argument --classes: expected a whole number from 2" in refused(2, "bench", "--classes", 1)
    pytest.importorskip("matplotlib")
    assert refused(2, "bench", "--plot", "b.docx").startswith("argument --plot: expected a name that ends in ")


@pytest.mark.parametrize("name", [*bench.LIBRARIES, *bench.PEERS])
def test_the_process_of_a_library(name):
    """Its losses fall where it trains: what is timed is a training."""
    pytest.importorskip({"fastnn": "fastnn", "loop": "fastnn", "numpy": "fastnn"}.get(name, name))
    requests = [
        {"sizes": [4, 3, 2], "batch_size": 6, "dtype": "float32", "optimizer": "sgd"},
        {"seconds": 0.001},
        {"sizes": [4], "batch_size": "x", "dtype": "float32", "optimizer": "sgd"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "fastnn.cli.bench_worker", name, "1"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        timeout=120,
    )
    version, made, times, error = map(json.loads, done.stdout.splitlines())
    assert version["version"] and made == {} and set(times) == set(bench_worker.KINDS) and "TypeError" in error["error"]


def test_what_is_timed_trains():
    """The explicit loop and the compiled step do the same."""
    outputs = []
    for compiled in (True, False):
        make = bench_worker.fastnn_calls(compiled)
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(0, 3, 6)
        calls = make([4, 8, 3], X, y, "adam")
        before = calls["batch"]()
        for _ in range(20):
            calls["step"]()
        outputs.append(calls["batch"]())
        assert np.abs(outputs[-1] - before).max() > 1e-4
        np.testing.assert_allclose(calls["row"](), outputs[-1][:1], rtol=1e-4)
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-6)

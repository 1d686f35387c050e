"""The benchmark of the peers runs: a few short rounds of one row, in whatever is installed; a wrong result is found.

All that fastnn and NumPy do there is done once on tiny cases too.
"""

import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture
def bench(monkeypatch):
    """The modules of bench/ that need no peer."""
    monkeypatch.syspath_prepend(BENCH)
    import peer_numpy
    import peer_work
    import peer_worker
    import peers

    return SimpleNamespace(work=peer_work, worker=peer_worker, numpy=peer_numpy, peers=peers)


def test_every_case_has_a_text_of_its_own(bench):
    texts = [case.text for case in bench.work.CASES]
    assert len(set(texts)) == len(texts)
    for text in (
        "linear maps: gradient of weight, 32 x 784 -> 100, float64",
        "layers: Dropout forward (128, 256), float32",
        "training steps: 784-100-10, batch 32, float64",
        "compiled steps: 784-100-10, batch 32, float64",
        "compiled steps: 784-256-128-10, batch 128, Adam, float32",
        "epochs: 784-100-10, 64 batches of 32, float32",
        "regularised steps: 784-256-128-10, batch 128, float32",
        "inference: 17-64-64-6, 1 row, float32",
        "inference: 64-32-32-10, 256 rows, frozen, float32",
    ):
        assert text in texts
    assert {case.table for case in bench.work.CASES} == set(bench.work.TABLES)


def test_flops(bench):
    work = bench.work
    forward = 2 * 32 * (784 * 100 + 100 * 10)
    step = 3 * forward - 2 * 32 * 784 * 100
    shape = 32, 784, 100, 10
    for table, flops in ((work.STEPS, step), (work.COMPILED, step), (work.EPOCHS, step), (work.REGULARISED, step),
                         (work.INFERENCE, forward), (work.LAYERS, 0)):  # fmt: skip
        assert work.Case(table, "", "SGD", shape, "float32").flops == flops, table
    assert work.Case(work.LINEAR, "linear_weight", "Linear", shape[:3], "float32").flops == 2 * 32 * 784 * 100


def tiny(bench):
    """Every kind of work once, on a few numbers."""
    found = {}
    for case in bench.work.CASES:
        shape = {bench.work.LINEAR: (4, 6, 3)}.get(case.table, (4, 6, 5, 3) if case.flops else (4, 6))
        found[case.table, case.work, case.name, case.dtype] = replace(case, shape=shape)
    return found.values()


def results(bench, library, case):
    """What `peers.py` would compare, of two calls; None where the library does not do the case."""
    job = library.job(case, bench.work.arrays(case))
    if job is None:
        return None
    return [[bench.worker.projections(array) for array in job.view(job.run())] for _ in range(2)]


def test_everything_that_fastnn_does(bench):
    native, explicit, by_hand = bench.worker.Fastnn(), bench.worker.Explicit(), bench.numpy.NumPy()
    for case in tiny(bench):
        expected = results(bench, native, case)
        assert np.isfinite(expected).all(), case
        for library in explicit, by_hand:
            if case.checked and (found := results(bench, library, case)) is not None:
                assert bench.peers.same(found, expected, bench.peers.tolerance(case)), (case, library)


def test_a_net_by_hand_takes_batches_of_any_length(bench):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 6)), rng.integers(0, 3, 12)
    net, other = (bench.numpy.Net(bench.work.parameters(np.random.default_rng(1), (6, 5, 3), "float64")) for _ in "ab")
    assert net.step(x[:8], y[:8]) == other.step(x[:8].copy(), y[:8])
    assert net.step(x[8:], y[8:]) == other.step(x[8:], y[8:])
    assert (net.forward(x) == other.forward(x)).all()


def test_which_peers_are_in_which_table(bench):
    peers = bench.peers
    assert set(peers.PLACES) <= set(peers.PEERS)
    assert all(set(tables) <= set(bench.work.ALL_TABLES) for tables in peers.PLACES.values())


def test_several_threads_have_as_many_cpus(bench):
    import peer_process

    for threads in 1, 2:
        environment = peer_process.environment("native", threads)
        assert environment["FASTNN_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == str(threads)
        assert ("XLA_FLAGS" in environment) == (threads == 1 or "XLA_FLAGS" in os.environ)
    assert peer_process.where([3]) == "one thread on CPU 3"
    assert peer_process.where([2, 3]) == "2 threads on CPUs 2, 3"
    assert peer_process.environment("reference", 1)["FASTNN_BACKEND"] == "reference"


def test_unknown_names():
    command = [sys.executable, BENCH / "peers.py"]
    for options, message in ((["--only", "nothing"], "no row contains"), (["--peers", "numpy,cuda"], "got cuda"),
                             (["--threads", "0"], "threads on this machine, got 0"),
                             (["--threads", "100000"], "threads on this machine, got 100000")):  # fmt: skip
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and message in done.stderr


@needs_native
def test_a_fit():
    done = subprocess.run([sys.executable, BENCH / "fit.py", "--quick", "--peers", "numpy"], capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in "fastnn", "NumPy by hand":
        found = re.search(rf"^\| {name} \| {NUMBER} \| {RATIO} \| {NUMBER} \| ({NUMBER}) \|$", done.stdout, re.M)
        assert found and float(found[1]) > 0.8, done.stdout


def test_growth(bench):
    import scaling

    for _, sizes, cases in scaling.series():
        assert len(sizes) == len(cases) and {case.work for case in cases} == {"compiled_step"}
    widths = [case.shape for *_, cases in scaling.series() for case in cases]
    assert widths[0] == (8, 256, 256, 256, 10) and widths[-1] == (64, *(256,) * 33, 10)
    shares = np.array([0.25, 0.5, 0.4])
    assert scaling.growth(shares).tolist() == [1, 0.5, 0.625]
    lines = list(scaling.table("rows", (1, 2, 4), [1e-6, 1e-5, 2e-3], shares))
    assert lines[1:] == ["| 1 | 1 | 0.25 | 1.00 |", "| 2 | 10 | 0.50 | 0.50 |", "| 4 | 2000 | 0.40 | 0.62 |"]


def test_memory(bench):
    import memory

    assert memory.parameter_bytes(replace(memory.CASE, shape=(5, 3, 2))) == 4 * (3 * 2 + 2)
    for name in "native", "explicit":
        assert memory.Memory(name).answer({"case": asdict(replace(memory.CASE, shape=(8, 64, 32, 10)))})["bytes"] >= 0


@needs_native
def test_estimators():
    pytest.importorskip("sklearn", minversion="1.6")
    label = "digits, (100,), batch 200"
    done = subprocess.run([sys.executable, BENCH / "estimators.py", "--quick", "--only", label], capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(rf"^\| {re.escape(label)} \| (.*) \|$", done.stdout, re.M)[1].split(" | ")
    assert [bool(re.fullmatch(RATIO, cell)) for cell in found] == [False, True, False, True, True, False, False]
    for cell in found[-2:]:
        own, other = map(float, cell.split(", "))
        assert own > 0.9 and abs(own - other) < 0.02

"""The benchmark of networks of images: its work, and the same results from the compiled step and the explicit loop."""

import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import needs_native

BENCH = Path(__file__).parents[1] / "bench"

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="bench/ is not beside the tests")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import image_work
    import memory
    import peer_work
    import peer_worker
    import peers

    return SimpleNamespace(images=image_work, memory=memory, work=peer_work, worker=peer_worker, peers=peers)


def test_flops(bench):
    lenet = bench.images.macs(bench.images.LENET, (28, 28))
    assert lenet == [25 * 6 * 784, 25 * 6 * 16 * 100, 400 * 120, 120 * 84, 840]
    step, _, image = (case for case in bench.work.IMAGE_CASES if case.flops)
    assert image.flops == 2 * sum(lenet) and step.flops == 2 * 64 * (3 * sum(lenet) - lenet[0])
    assert bench.images.macs(bench.images.CIFAR, (32, 32))[-2:] == [9 * 64 * 128 * 64, 1280]


def test_the_loop_does_what_the_compiled_step_does(bench):
    for case in bench.work.IMAGE_CASES:
        if case.flops:
            case, found = replace(case, shape=(3, *case.shape[1:])), []
            for library in bench.worker.Fastnn(), bench.worker.Explicit():
                job = library.job(case, bench.work.arrays(case))
                found.append([[bench.worker.projections(array) for array in job.view(job.run())] for _ in range(2)])
            assert bench.peers.same(*found, bench.peers.tolerance(case)), case


def test_the_peak_of_a_step(bench):
    case = bench.work.IMAGE_CASES[0]
    assert bench.memory.parameter_bytes(case) == 4 * 61706
    assert bench.memory.Memory("native").answer({"case": asdict(case)})["bytes"] >= 0


@needs_native
def test_a_quick_run():
    command = [
        sys.executable,
        BENCH / "convolutions.py",
        "--quick",
        "--only",
        "1 image",
        "--peers",
        "explicit,torch,channels",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "other results" not in done.stdout, done.stdout + done.stderr
    assert re.search(r"^\| LeNet-5, 1 image of 1x28x28 \| [\d.]+ \| \d\.\d\d \| \d", done.stdout, re.M)

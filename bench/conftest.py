"""How the benchmarks measure: one thread, warm-up, no garbage collection, medians over rounds that fill a fixed time.

FASTNN_NUM_THREADS=2 (or any number) gives every library as many threads.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

THREADS = os.environ.setdefault("FASTNN_NUM_THREADS", "1")
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = THREADS  # read by NumPy's BLAS and by PyTorch when they are imported, which is later
assert "numpy" not in sys.modules, "NumPy was imported before its number of threads was set"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the registry

SECONDS = 0.12  # of measuring for each benchmark
ROUND = 100e-6  # a round shorter than this is several calls: the clock and the loop around a call cost about 0.2 us
ROUNDS = 10, 300  # at least and at most


def pytest_collection_modifyitems(items):
    """PyTorch last: it is imported by the first benchmark that needs it, and its idle threads spin from then on."""
    items.sort(key=lambda item: item.callspec.params.get("library") == "torch" if hasattr(item, "callspec") else False)


@pytest.fixture
def measure(benchmark):
    """measure(function, **what): time the calls of a function; `what` (operation, size, ...) is kept for the report."""

    def run(function, **what):
        function()
        start = time.perf_counter()
        function()
        once = time.perf_counter() - start
        calls = max(1, round(ROUND / once))
        rounds = min(max(round(SECONDS / (once * calls)), ROUNDS[0]), ROUNDS[1])
        benchmark.extra_info.update(what, threads=int(THREADS))
        benchmark.group = " ".join(str(value) for name, value in what.items() if name != "library")
        benchmark.pedantic(function, rounds=rounds, iterations=calls, warmup_rounds=max(2, rounds // 10))

    return run


@pytest.fixture(scope="session")
def torch():
    """PyTorch on as many threads as fastnn; skips where it is not installed."""
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    module.set_num_threads(int(THREADS))
    return module

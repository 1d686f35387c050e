"""`fastnn bench`: how long training steps and inference take on this machine, beside other libraries."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import get_num_threads
from ..backend import config
from .bench_worker import KINDS
from .common import check_outputs, check_picture
from .options import UsageError, command, integer, json_option, number, sizes
from .report import Report, count, table

HELP = """\
Networks of Linear and ReLU layers with cross entropy are trained and asked for outputs, on noise: by compiled steps
(fastnn), by the explicit loop (loop), by the NumPy back end (numpy), and with --peers by PyTorch and scikit-learn where
they are installed. Each library has a process of its own, and they take turns; times are medians, and x says how many
times longer than fastnn it takes.

examples:
  fastnn bench
  fastnn bench --features 20 --hidden 64,64 --classes 2 --batch-size 64 --seconds 0.2
  fastnn bench --peers --threads 1 --json
  fastnn bench --peers --plot bench.png
"""
NETWORKS = ([64, 32, 32, 10], 32), ([784, 256, 128, 10], 128), ([784, 1000, 1000, 10], 128)  # with the batch size
LIBRARIES = {"fastnn": "fastnn", "loop": "fastnn, explicit loop", "numpy": "NumPy back end"}
PEERS = {"torch": "PyTorch", "sklearn": "scikit-learn"}
HEADS = {"step": "training step", "batch": "inference", "row": "one row"}
ROUNDS = 5
PATIENCE = 300  # seconds for an answer
PAUSE = 0.2  # seconds before a request where libraries have threads: those of the last one go on spinning for a while
THREADS = "FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = command(subparsers, "bench", run, "measure what this machine does, beside other libraries", HELP)
    network = parser.add_argument_group("the network (default: three networks)")
    network.add_argument("--features", type=integer(1, 1 << 20), metavar="N", help="inputs (default: 784)")
    network.add_argument("--hidden", type=sizes, metavar="SIZES", help="hidden layers, or 'none' (default: 256,128)")
    network.add_argument("--classes", type=integer(2, 1 << 20), metavar="N", help="outputs (default: 10)")
    network.add_argument("--batch-size", type=integer(1, 1 << 20), metavar="N", help="rows of a step (default: 128)")
    parser.add_argument(
        "--optimizer", choices=("sgd", "adam"), default="sgd", metavar="NAME",
        help="sgd, with momentum 0.9, or adam (default: sgd)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", metavar="DTYPE",
        help="float32 or float64 (default: float32)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=integer(1, 4096), metavar="N", help="of every library (default: as many as fastnn may use)"
    )
    parser.add_argument("--peers", action="store_true", help="PyTorch and scikit-learn too, where they are installed")
    parser.add_argument(
        "--seconds", type=number(0, 3600, above=True), default=0.5, metavar="S",
        help="about how long each number is measured for (default: 0.5)",
    )  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help="draw the times as bars, such as bench.png (needs matplotlib)")
    json_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print a table for every network."""
    report = Report(arguments.json)
    check_outputs([], arguments.plot)
    if arguments.plot:
        check_picture(arguments.plot)
    networks = _networks(arguments)
    threads = arguments.threads or get_num_threads()
    names = {**LIBRARIES, **(PEERS if arguments.peers else {})}
    results = []
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, threads)) for name in names}
        for worker in workers.values():
            worker.start()
        versions = {name: worker.version for name, worker in workers.items() if worker.version}
        for name, worker in workers.items():
            if not worker.version:
                report.note(f"{names[name]} is left out: {worker.missing}")
        about = config()
        machine = ", ".join(str(about[name]) for name in ("isa", "blas") if name in about) or "without compiled kernels"
        report.say(f"{arguments.dtype}, {arguments.optimizer}, {count(threads, 'thread')}, {machine}")
        for network, batch_size in networks:
            request = {"sizes": network, "batch_size": batch_size}
            request |= {"dtype": arguments.dtype, "optimizer": arguments.optimizer}
            times = _measure(
                {name: workers[name] for name in versions}, request, arguments.seconds / ROUNDS, threads, report
            )
            found = _with_ratios(times, batch_size)
            results.append({"sizes": network, "batch_size": batch_size, "results": found})
            report.say(f"\n{'-'.join(map(str, network))}, batches of {count(batch_size, 'row')}")
            report.say(_table(found, names))
    if arguments.plot:
        _plot(arguments.plot, results, names)
        report.say(f"\npicture: {arguments.plot}")
    settings = {"dtype": arguments.dtype, "optimizer": arguments.optimizer, "threads": threads}
    report.result({"command": "bench", **settings, "versions": versions, "config": about, "networks": results})


def _networks(arguments: argparse.Namespace) -> list[tuple[list[int], int]]:
    """The network that is asked for, or the three."""
    asked = (arguments.features, arguments.hidden, arguments.classes, arguments.batch_size)
    if all(value is None for value in asked):
        return list(NETWORKS)
    hidden = [256, 128] if arguments.hidden is None else arguments.hidden
    network = [arguments.features or 784, *hidden, arguments.classes or 10]
    if not hidden and arguments.peers:
        raise UsageError("argument --hidden: expected hidden layers for --peers, which scikit-learn needs, got none")
    return [(network, arguments.batch_size or 128)]


class _Gone(Exception):
    """A process ended, or did not answer."""


class _Worker:
    """The process of a library."""

    def __init__(self, name: str, threads: int, log: Any) -> None:
        settings = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        if name == "numpy":
            settings["FASTNN_BACKEND"] = "reference"
        command = [sys.executable, "-m", f"{__package__}.bench_worker", name, str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=settings
        )
        self.version, self.missing = "", ""

    def start(self) -> None:
        """Wait for the first answer."""
        try:
            answer = self._answer()
            self.version, self.missing = answer.get("version", ""), answer.get("missing", "")
        except _Gone as error:
            self.missing = str(error)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except OSError:
            raise _Gone("its process ended") from None
        answer = self._answer()
        if "error" in answer:
            raise _Gone(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise _Gone("its process ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def _worker(name: str, threads: int) -> Iterator[_Worker]:
    """The process of a library, until it is no longer needed."""
    with tempfile.TemporaryFile() as log:
        worker = _Worker(name, threads, log)
        try:
            yield worker
        finally:
            worker.process.kill()
            worker.process.communicate()


def _measure(
    workers: dict[str, _Worker], request: dict[str, Any], seconds: float, threads: int, report: Report
) -> dict[str, dict[str, float]]:
    """The medians of each library, which take turns."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    failed: set[str] = set()
    for round_number in range(ROUNDS + 1):
        for name, worker in workers.items():
            if name in failed:
                continue
            try:
                if round_number == 0:
                    worker.ask(**request)
                else:
                    time.sleep(PAUSE if threads > 1 else 0)
                    times[name].append(worker.ask(seconds=seconds))
            except _Gone as error:
                report.note(f"{name} is left out: {error}")
                failed.add(name)
    return {
        name: {kind: float(np.median([found[kind] for found in of_one])) for kind in KINDS}
        for name, of_one in times.items()
        if name not in failed
    }


def _with_ratios(times: dict[str, dict[str, float]], batch_size: int) -> dict[str, dict[str, dict[str, float]]]:
    """Beside the seconds the rows a second and how many times longer than fastnn."""
    first = times.get("fastnn", {})
    rows = {"step": batch_size, "batch": batch_size, "row": 1}
    return {
        name: {
            kind: {
                "seconds": seconds,
                "samples_per_second": rows[kind] / seconds,
                "ratio": seconds / first[kind] if first else float("nan"),
            }
            for kind, seconds in of_one.items()
        }
        for name, of_one in times.items()
    }


def _table(found: dict[str, dict[str, dict[str, float]]], names: dict[str, str]) -> str:
    heads = [text for kind in KINDS for text in (HEADS[kind], "samples/s", "x")]
    rows = [[names[name], *(text for kind in KINDS for text in _cells(of_one[kind]))] for name, of_one in found.items()]
    return table([["", *heads], *rows])


def _cells(of_one: dict[str, float]) -> list[str]:
    seconds = of_one["seconds"]
    text = f"{1e3 * seconds:.4g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.4g} us"
    rate = float(f"{of_one['samples_per_second']:.3g}")
    return [text, f"{rate:,.0f}", f"{of_one['ratio']:.2f}"]


def _plot(path: str, results: list[dict[str, Any]], names: dict[str, str]) -> None:
    """Bars: a panel a network, a group a kind, how many times longer than fastnn each library takes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(results), 3.8), layout="constrained")
    for place, result in enumerate(results, 1):
        axes = figure.add_subplot(1, len(results), place)
        found = result["results"]
        for number_of, (name, of_one) in enumerate(found.items()):
            places = np.arange(len(KINDS)) + (number_of - (len(found) - 1) / 2) * 0.8 / len(found)
            bars = axes.bar(places, [of_one[kind]["ratio"] for kind in KINDS], 0.8 / len(found), label=names[name])
            axes.bar_label(bars, fmt="%.3g", fontsize=6, padding=1)
        axes.set_xticks(range(len(KINDS)), [HEADS[kind] for kind in KINDS])
        axes.set(title=f"{'-'.join(map(str, result['sizes']))}, batch {result['batch_size']}", yscale="log")
        axes.set_ylim(bottom=0.5)
        axes.set_ylabel("time / time of fastnn" if place == 1 else "")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)

"""The same work on fastnn and its peers: NumPy by hand, PyTorch, torch.compile, JAX, scikit-learn, ONNX Runtime.

python bench/peers.py [--peers A,B] [--only TEXT] [--threads N] [--quick] [--plot FILE]: Markdown tables of the
microseconds of a call of fastnn (of a step of an epoch), the share of the machine's limit that it reaches, and how many
times as long each peer takes. `make bench-peers` installs the peers; those that are missing are named.

Every library runs in a process of its own (peer_worker.py), on one thread and all on the same CPU, or on N threads and
the same N CPUs: the last that this process may use (taskset chooses others). The results of the first calls are
compared; then the processes take turns, a request each, and a ratio is the median over the rounds. Several threads want
a quiet machine: a process that takes one of their CPUs now and then costs some libraries tenfold. The limit is asked
for in every round too: the multiply-add roof of the N cores for matrix products, nets and their training, else a copy,
by one thread, of as many bytes as the work reads and writes at least. Work in place may beat the copy, which also
fetches the memory that it overwrites. A peer's share is fastnn's over the ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
from image_work import IMAGE_TABLES
from machine import cpu_model, microseconds, spread
from peer_process import Gone, Worker, cpus_or_error, threads_option, where
from peer_work import ALL_TABLES, CASES, COMPILED, EPOCHS, INFERENCE, NET_TABLES, REGULARISED, STEPS, TABLES, Case

PEERS = {
    "reference": "reference",
    "explicit": "explicit loop",
    "numpy": "NumPy by hand",
    "torch": "PyTorch",
    "compiled": "torch.compile",
    "channels": "PyTorch, channels last",
    "jax": "JAX jit",
    "sklearn": "scikit-learn",
    "onnx": "ONNX Runtime",
}
NAMES = {"native": "fastnn", "limits": "the machine", **PEERS}
GENERAL = [name for name in PEERS if name != "channels"]  # the others are for images alone
PLACES = {  # the tables of those that are not in all
    "reference": [table for table in TABLES if table not in NET_TABLES or table == STEPS],
    "explicit": (COMPILED, EPOCHS, REGULARISED, INFERENCE, *IMAGE_TABLES[:2]),
    "numpy": (STEPS, COMPILED, EPOCHS, INFERENCE),
    "channels": IMAGE_TABLES[:2],
    "sklearn": (STEPS, COMPILED, EPOCHS),
    "onnx": (INFERENCE,),
}
EFFORT, QUICK = (15, 10e-3), (3, 1e-3)  # requests of each library for a case, and about how many seconds one takes
PAUSE = 0.2  # seconds before a request where libraries have threads, those of the last one go on spinning for a while
TOLERANCES = {"float32": 2e-5, "float64": 1e-10}  # of the numbers that are compared
EPOCH_SLACK = 50  # rounding turns a ReLU on or off somewhere in its steps


class Bench:
    """The processes that answer, and what is to be said at the end."""

    def __init__(self, names, effort, cpus, stack):
        self.workers, self.missing, self.notes, self.wrong = {}, {}, [], False
        self.cpus, (self.rounds, self.seconds) = cpus, effort
        for name in names:
            try:
                worker = Worker(name, cpus)
            except Gone as error:
                self.missing[name] = str(error)
                continue
            stack.callback(worker.close)
            if "missing" in worker.about:
                self.missing[name] = worker.about["missing"]
            else:
                self.workers[name] = worker

    def ask(self, name, **request):
        """The answer, or an empty one from a process that has ended."""
        if name not in self.workers:
            return {}
        try:
            return self.workers[name].ask(**request)
        except Gone as error:
            del self.workers[name]
            self.notes.append(f"{NAMES[name]} gave up: {error}")
            return {}

    def ready(self, case):
        """The libraries that do this case, and do it as fastnn does."""
        checks = {}
        for name in [name for name in self.workers if case.table in PLACES.get(name, ALL_TABLES)]:
            answer = self.ask(name, prepare=asdict(case))
            if "error" in answer:
                self.notes.append(f"{NAMES[name]}, {case.label} in {case.dtype}: {answer['error']}")
            elif "check" in answer:
                checks[name] = answer["check"]
        if "native" not in checks:
            return []
        peers = checks.keys() - {"native", "limits"}
        wrong = [name for name in peers if not same(checks[name], checks["native"], tolerance(case))]
        self.notes += [f"{NAMES[name]}, {case.label} in {case.dtype}: other results than fastnn's" for name in wrong]
        self.wrong = self.wrong or bool(wrong)
        return [name for name in checks if name not in wrong]

    def row(self, case):
        """The measurements of a case, or None where fastnn gave none."""
        times = {name: [] for name in self.ready(case)}
        for _ in range(self.rounds):
            for name, of_one in times.items():
                time.sleep(PAUSE if len(self.cpus) > 1 else 0)
                of_one.append(self.ask(name, seconds=self.seconds).get("call", np.nan))
        times = {name: np.array(of_one) for name, of_one in times.items() if np.isfinite(of_one).all()}
        if not times.keys() >= {"native", "limits"}:
            return None
        native, limit = times.pop("native"), times.pop("limits")
        ratios = {name: of_one / native for name, of_one in times.items()}
        return Row(case, np.median(native), np.median(limit / native), ratios)


@dataclass
class Row:
    """A line of a table; the ratios have an element for each round."""

    case: Case
    seconds: float
    share: float
    ratios: dict[str, np.ndarray]

    def cells(self, peers):
        yield self.case.label
        yield microseconds(self.seconds)
        yield f"{self.share:.2f}"
        for name in peers:
            yield spread(self.ratios[name]) if name in self.ratios else ""


def tolerance(case):
    return TOLERANCES[case.dtype] * (EPOCH_SLACK if case.table == EPOCHS else 1)


def same(check, expected, tolerance):
    """Whether the numbers of two libraries agree, relative to the size of their arrays, which is the first of two."""
    if not check and not expected:
        return True
    check, expected = np.array(check), np.array(expected)
    if check.shape != expected.shape:
        return False
    return bool((np.abs(check - expected) <= tolerance * expected[..., :1]).all())


# ---------------------------------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------------------------------


def about(bench):
    """What computes, what it can do, and who is missing: some lines."""
    limits = json.loads(bench.workers["limits"].about["version"])
    versions = [
        f"{NAMES[name]} {worker.about['version']}" for name, worker in bench.workers.items() if name != "limits"
    ]
    yield f"{cpu_model()}, {where(bench.cpus)}: {'; '.join(versions)}."
    roof = ", ".join(f"{limits[dtype]:.0f} GFLOP/s in {dtype}" for dtype in TOLERANCES)
    yield f"Multiply-add roof: {roof} ({limits['source']})."
    copies = ", ".join(f"{rate:.1f} GB/s of {size}" for size, rate in limits["copies"].items())
    yield f"Copy, read and written: {copies}."
    for name, reason in bench.missing.items():
        yield f"Missing: {NAMES[name]}: {reason}"


def head(case, peers):
    """The two lines above the rows of a table."""
    limit = "of the roof" if case.flops else "of a copy"
    unit = "fastnn us a step" if case.table == EPOCHS else "fastnn us"
    cells = [f"{case.table}, {case.dtype}", unit, limit, *(f"{PEERS[name]} / fastnn" for name in peers)]
    return f"| {' | '.join(cells)} |\n|---{'|---:' * (len(cells) - 1)}|"


def report(bench, cases):
    """Measure and print table by table; the rows."""
    rows = []
    for _, table in groupby(cases, key=lambda case: (case.table, case.dtype)):
        table = list(table)
        peers = [name for name in PEERS if name in bench.workers and table[0].table in PLACES.get(name, ALL_TABLES)]
        print(f"\n{head(table[0], peers)}", flush=True)
        for case in table:
            if not {"native", "limits"} <= bench.workers.keys():
                return rows  # the notes say why
            if row := bench.row(case):
                rows.append(row)
                print(f"| {' | '.join(row.cells(peers))} |", flush=True)
    return rows


def plot(rows, cpus, path):
    """One panel for each dtype: the ratios of every row, with their quartiles, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    dtypes = sorted({row.case.dtype for row in rows})
    most = max(sum(row.case.dtype == dtype for row in rows) for dtype in dtypes)
    figure, panels = pyplot.subplots(1, len(dtypes), figsize=(8 * len(dtypes), 1.5 + 0.2 * most), squeeze=False)
    for panel, dtype in zip(panels[0], dtypes, strict=True):
        of_one = [row for row in rows if row.case.dtype == dtype]
        for index, name in enumerate(PEERS):
            points = [(place, *np.percentile(row.ratios[name], (25, 50, 75)))
                      for place, row in enumerate(of_one) if name in row.ratios]  # fmt: skip
            if points:
                place, low, middle, high = np.array(points).T
                panel.errorbar(middle, place, xerr=(middle - low, high - middle), fmt="o", ms=3, lw=1,
                               color=f"C{index}", label=PEERS[name])  # fmt: skip
        panel.set(xscale="log", xlabel="time / fastnn's", title=f"{dtype}, {where(cpus)}", ylim=(len(of_one), -1))
        for formatter in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
            formatter(lambda ratio, _: f"{ratio:g}")
        panel.tick_params(axis="x", which="both", labelsize=7)
        panel.set_yticks(range(len(of_one)), [row.case.label for row in of_one], fontsize=7)
        panel.axvline(1, color="black", lw=1)
        panel.grid(axis="x", which="both", alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def arguments(cases, description, peers):
    """The options of a script that times these cases."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--peers", metavar="A,B", default=",".join(peers), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--only", metavar="TEXT", default="", help="the rows whose table, name or dtype contain TEXT")
    threads_option(parser)
    parser.add_argument("--quick", action="store_true", help="a few short rounds: does it work?")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios into this file, with matplotlib")
    options = parser.parse_args()
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"expected peers among {', '.join(PEERS)}, got {', '.join(unknown)}")
    options.cpus = cpus_or_error(parser, options.threads)
    options.cases = [case for case in cases if options.only.casefold() in case.text.casefold()]
    if not options.cases:
        parser.error(f"no row contains {options.only!r}")
    return options


def main(cases=CASES, description="Time the same work on fastnn and on its peers.", peers=GENERAL, more=None):
    """Measure and print; `more` is called with the options then."""
    options = arguments(cases, description, peers)
    with ExitStack() as stack:
        effort = QUICK if options.quick else EFFORT
        bench = Bench(["limits", "native", *options.peers], effort, options.cpus, stack)
        if absent := {"limits", "native"} & bench.missing.keys():
            sys.exit("\n".join(f"bench/peers.py: expected {NAMES[name]}, got {bench.missing[name]}" for name in absent))
        print("\n\n".join(about(bench)))
        rows = report(bench, options.cases)
    for note in bench.notes:
        print(f"\n{note}")
    if more:
        more(options)
    if options.plot and rows:
        plot(rows, options.cpus, options.plot)
    sys.exit(bench.wrong or not rows)


if __name__ == "__main__":
    main()

"""The compiled training step against the size of the batch and the number of layers: does its time grow as its work?

python bench/scaling.py [--threads N] [--quick] [--plot FILE]: microseconds, the share of the multiply-add roof, and how
much the time has grown since the first row over how much the work has. Below 1, what every step costs anyhow is spread
over more work; a ratio that rises from row to row tells of arrays that have left a cache. Medians of rounds in which
all sizes take turns; the roof is measured beside each, so that most of what other processes take cancels out.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
from machine import Limits, cpu_model, microseconds
from peer_process import cpus_or_error, threads_option, where
from peer_work import COMPILED, Case, arrays

BATCHES, WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024), (256, 256, 256, 10)
LAYERS, WIDTH, ROWS = (1, 2, 4, 8, 16, 32), 256, 64
SECONDS, ROUNDS, QUICK = 10e-3, 15, 3  # of the calls in a round


def series():
    """What grows, its sizes, their cases."""
    by_batch = [(batch, *WIDTHS) for batch in BATCHES]
    by_layers = [(ROWS, *(WIDTH,) * (layers + 1), 10) for layers in LAYERS]
    for what, sizes, shapes in (
        (f"batch of {'-'.join(map(str, WIDTHS))}", BATCHES, by_batch),
        (f"layers of {WIDTH}, batch {ROWS}", LAYERS, by_layers),
    ):
        yield what, sizes, [Case(COMPILED, "compiled_step", "SGD", shape, "float32") for shape in shapes]


def seconds(call, calls):
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def measured(cases, rounds, limits):
    """Seconds of a step of each case, and the share of the roof that it reaches."""
    from peer_worker import Fastnn

    library = Fastnn()
    steps = [library.compiled_step(case, arrays(case)).run for case in cases]
    calls = [max(1, round(SECONDS / min(seconds(step, 1) for _ in range(3)))) for step in steps]
    roof, flops = limits.multiply_add("float32")
    times, shares = [], []
    for _ in range(rounds):
        for case, step, count in zip(cases, steps, calls, strict=True):
            seconds(step, 1 + count // 10)  # another step had the caches
            before, of_step, after = seconds(roof, 1), seconds(step, count), seconds(roof, 1)
            times.append(of_step)
            shares.append((before + after) / 2 / flops * case.flops / of_step)
    return (np.median(np.reshape(made, (rounds, -1)), axis=0) for made in (times, shares))


def growth(shares):
    """Of the time since the first case, over that of the work."""
    return shares[0] / shares


def table(what, sizes, times, shares):
    yield f"| {what} | us | of the roof | growth / that of the work |\n|---:|---:|---:|---:|"
    for size, of_one, share, ratio in zip(sizes, times, shares, growth(shares), strict=True):
        yield f"| {size} | {microseconds(of_one)} | {share:.2f} | {ratio:.2f} |"


def plot(found, path):
    """Time over size on logarithmic axes, and a line of growth in proportion through the last point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(found), figsize=(5 * len(found), 4))
    for panel, (what, sizes, cases, times) in zip(panels, found, strict=True):
        work = np.array([case.flops for case in cases])
        panel.plot(sizes, 1e6 * times, "o-", label="compiled step")
        panel.plot(sizes, 1e6 * times[-1] * work / work[-1], "--", color="grey", label="in proportion to the work")
        panel.set_xscale("log", base=2)
        panel.set(yscale="log", xlabel=what, ylabel="us")
        panel.grid(which="both", alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description="Time the compiled training step as it grows.")
    parser.add_argument("--quick", action="store_true", help="a few rounds")
    parser.add_argument("--plot", metavar="FILE", help="draw the times into this file, with matplotlib")
    threads_option(parser)
    options = parser.parse_args()
    cpus = cpus_or_error(parser, options.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    import fastnn

    fastnn.set_num_threads(options.threads)
    print(f"{cpu_model()}, {where(cpus)}: fastnn {fastnn.__version__} ({fastnn.backend.config().get('isa', 'NumPy')}).")
    found, limits = [], Limits(options.threads)
    for what, sizes, cases in series():
        times, shares = measured(cases, QUICK if options.quick else ROUNDS, limits)
        found.append((what, sizes, cases, times))
        print("\n" + "\n".join(table(what, sizes, times, shares)), flush=True)
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()

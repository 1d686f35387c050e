"""A fit of ten epochs on digits: seconds and test accuracy of fastnn's Trainer, NumPy by hand, PyTorch and JAX.

python bench/fit.py [FOLDER] [--peers A,B] [--threads N] [--quick]: MNIST's IDX files in FOLDER (the first 8,000 rows to
train, the last 2,000 to test, 784-256-128-10), else the small digits that come with fastnn (64-256-128-10, a fifth of
the rows to test). Batches of 128 in a random order, SGD at 0.05 with momentum 0.9, pixels from 0 to 1, all in memory.

Every library starts from the same weights in a process of its own (fit_worker.py), all on the same CPUs; they take
turns, and a ratio is the median over the rounds. The first fit, in which JAX compiles, has a column of its own.
Loading, making the net and testing are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

import numpy as np
from machine import cpu_model, spread
from peer_process import Gone, Worker, cpus_or_error, threads_option, where
from peers import NAMES, PAUSE

LIBRARIES = "native", "numpy", "torch", "jax"
ROUNDS, QUICK = 7, 1


def started(names, cpus, folder, stack):
    """The processes that answer, by library; what is missing is said."""
    workers = {}
    for name in names:
        try:
            worker = Worker(name, cpus, "fit_worker.py", [folder] if folder else [])
        except Gone as error:
            print(f"Missing: {NAMES[name]}: {error}")
            continue
        stack.callback(worker.close)
        if "missing" in worker.about:
            print(f"Missing: {NAMES[name]}: {worker.about['missing']}")
        else:
            workers[name] = worker
    return workers


def measured(workers, rounds):
    """Seconds and accuracies of each library, the first fit first."""
    fits = {name: [] for name in workers}
    for turn in range(1 + rounds):
        for name, worker in workers.items():
            time.sleep(PAUSE)
            answer = worker.ask(seed=turn)
            if "error" in answer:
                sys.exit(f"{NAMES[name]}: {answer['error']}")
            fits[name].append((answer["seconds"], answer["accuracy"]))
    return {name: np.array(of_one).T for name, of_one in fits.items()}


def main():
    parser = argparse.ArgumentParser(description="Time a whole fit on fastnn and on its peers.")
    parser.add_argument("folder", nargs="?", help="with MNIST's IDX files")
    parser.add_argument("--peers", metavar="A,B", default=",".join(LIBRARIES[1:]), help="some of numpy,torch,jax")
    parser.add_argument("--quick", action="store_true", help="one round")
    threads_option(parser)
    options = parser.parse_args()
    cpus = cpus_or_error(parser, options.threads)
    names = ["native", *(name for name in options.peers.split(",") if name)]
    if unknown := [name for name in names if name not in LIBRARIES]:
        parser.error(f"expected peers among {', '.join(LIBRARIES[1:])}, got {', '.join(unknown)}")
    with ExitStack() as stack:
        workers = started(names, cpus, options.folder, stack)
        if "native" not in workers:
            sys.exit(1)
        versions = "; ".join(f"{NAMES[name]} {worker.about['version']}" for name, worker in workers.items())
        print(f"{cpu_model()}, {where(cpus)}: {versions}.\n")
        print("| fit | seconds | / fastnn | first fit, seconds | test accuracy |\n|---|---:|---:|---:|---:|")
        fits = measured(workers, QUICK if options.quick else ROUNDS)
    for name, (seconds, accuracies) in fits.items():
        ratio = spread(seconds[1:] / fits["native"][0][1:])
        median, accuracy = np.median(seconds[1:]), np.median(accuracies)
        print(f"| {NAMES[name]} | {median:.3f} | {ratio} | {seconds[0]:.3f} | {accuracy:.4f} |")


if __name__ == "__main__":
    main()

"""Fits of MLPClassifier: seconds and test accuracies of fastnn's and of scikit-learn's with equal settings.

python bench/estimators.py [--only TEXT] [--threads N] [--quick]: digits, breast cancer and 50,000 rows of 100 columns
made by make_classification; hidden layers of (100,) and of (512, 256); batches of 32 and 200; Adam and all else as
scikit-learn has it. Both get the same data, first in float64, then in float32; the last ratio is of fastnn in float32
and scikit-learn in float64. Standardised columns, a fifth of the rows to test. Both fit for the same number of epochs,
with the rows in the same order.

The two live in processes of their own (estimators_worker.py), on the same CPUs, and take turns; a ratio is the median
over the rounds, with its quartiles. Loading, splitting and testing are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

import numpy as np
from machine import cpu_model, spread
from peer_process import Gone, Worker, cpus_or_error, threads_option, where
from peers import PAUSE

LIBRARIES = {"native": "fastnn", "sklearn": "scikit-learn"}
EPOCHS = {"digits": 20, "breast cancer": 40, "synthetic": 2}
HIDDEN, BATCHES = ((100,), (512, 256)), (32, 200)
ROUNDS, QUICK = 5, 1
HEADS = (
    "fit",
    "fastnn s, f64",
    "scikit-learn / fastnn",
    "fastnn s, f32",
    "scikit-learn / fastnn",
    "scikit-learn f64 / fastnn f32",
    "accuracies f64",
    "f32",
)


@dataclass
class Fit:
    """One line of the table."""

    data: str
    hidden: tuple
    batch: int

    @property
    def label(self):
        return f"{self.data}, {self.hidden}, batch {self.batch}"


FITS = [Fit(*choice) for choice in product(EPOCHS, HIDDEN, BATCHES)]


def measured(workers, fit, rounds, pause):
    """(library, dtype) -> seconds of each round and accuracies."""
    found = {key: [] for key in product(workers, ("float64", "float32"))}
    for turn in range(rounds):
        for (name, dtype), of_one in found.items():
            time.sleep(pause)
            answer = workers[name].ask(data=fit.data, hidden=fit.hidden, batch=fit.batch, dtype=dtype, seed=turn,
                                       epochs=EPOCHS[fit.data])  # fmt: skip
            if "error" in answer:
                sys.exit(f"{LIBRARIES[name]}: {answer['error']}")
            of_one.append((answer["seconds"], answer["accuracy"]))
    return {key: np.array(of_one).T for key, of_one in found.items()}


def line(label, found):
    """The cells of a fit."""
    seconds = {key: values[0] for key, values in found.items()}
    accuracy = {key: values[1].mean() for key, values in found.items()}
    cells = [label]
    for dtype in "float64", "float32":
        own, other = seconds["native", dtype], seconds["sklearn", dtype]
        cells += [f"{np.median(own):.3g}", spread(other / own)]
    cells.append(spread(seconds["sklearn", "float64"] / seconds["native", "float32"]))
    cells += [f"{accuracy['native', dtype]:.4f}, {accuracy['sklearn', dtype]:.4f}" for dtype in ("float64", "float32")]
    return cells


def main():
    parser = argparse.ArgumentParser(description="Time fits of fastnn's and of scikit-learn's MLPClassifier.")
    parser.add_argument("--only", metavar="TEXT", default="", help="the fits whose names contain this")
    parser.add_argument("--quick", action="store_true", help="one round")
    threads_option(parser)
    options = parser.parse_args()
    cpus = cpus_or_error(parser, options.threads)
    fits = [fit for fit in FITS if options.only in fit.label]
    if not fits:
        parser.error(f"no fit contains {options.only!r}: {'; '.join(fit.label for fit in FITS)}")
    with ExitStack() as stack:
        workers = {}
        for name in LIBRARIES:
            try:
                workers[name] = Worker(name, cpus, "estimators_worker.py")
            except Gone as error:
                sys.exit(f"{LIBRARIES[name]}: {error}")
            stack.callback(workers[name].close)
            if "missing" in workers[name].about:
                sys.exit(f"Missing: {LIBRARIES[name]}: {workers[name].about['missing']}")
        versions = "; ".join(f"{LIBRARIES[name]} {worker.about['version']}" for name, worker in workers.items())
        print(f"{cpu_model()}, {where(cpus)}: {versions}. Accuracies: fastnn's, scikit-learn's.\n")
        print(f"| {' | '.join(HEADS)} |\n|---|{'---:|' * (len(HEADS) - 1)}")
        rounds, pause = QUICK if options.quick else ROUNDS, PAUSE if len(cpus) > 1 else 0
        for fit in fits:
            print(f"| {' | '.join(line(fit.label, measured(workers, fit, rounds, pause)))} |", flush=True)


if __name__ == "__main__":
    main()

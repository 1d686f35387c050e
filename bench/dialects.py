"""The same training program on a course framework in plain NumPy (tests/course) and on its dialect in fastnn.compat.

python bench/dialects.py [--dialect NAME] [--float32] [--quick] [--only TEXT]: microseconds of a step, and how many
times as long NumPy takes. A step is what a program does: a batch of shuffled rows, zeroed gradients, forward, the
criterion both ways, backward, the optimiser. All float64 (--float32: fastnn's parameters and data are float32, NumPy's
stay), one thread on one CPU. The losses of the first steps are compared, then chunks of steps are interleaved; a ratio
is the median over the chunks.
"""
# ruff: noqa: NPY002

import argparse
import gc
import os
import sys
import time
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

os.environ["FASTNN_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read when fastnn and NumPy are imported
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the course frameworks

import numpy as np
from course import VOICES
from machine import cpu_model, spread

import fastnn.compat
from fastnn import backend

ROUNDS = 21  # chunks of each program
CHUNK = 50e-3  # seconds of a chunk of NumPy's; fastnn takes as many steps
CHECKED = 5  # steps whose losses are compared, and as many again that only warm up
TOLERANCES = {"float64": 1e-9, "float32": 1e-3}  # of a loss, relative to NumPy's in float64
ON_PROBABILITIES = ("torch7_2017", "plain")  # the dialects whose texts have SoftMax and no loss on log-probabilities
CONFIGS = {
    "momentum": {"learning_rate": 0.01, "momentum": 0.9},
    "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}


@dataclass(frozen=True)
class Case:
    """A network, ReLU between its layers, and how it is trained; or its evaluation of all rows at once."""

    widths: tuple[int, ...]
    batch: int = 128
    update: str = "momentum"
    regularised: bool = False  # BatchNormalization, the affine layer and Dropout around each ReLU
    evaluation: bool = False

    @property
    def rows(self):
        return 10_000 if self.widths[0] == 784 else 1000

    @property
    def label(self):
        net = "-".join(map(str, self.widths)) + ", BatchNormalization and Dropout" * self.regularised
        if self.evaluation:
            return f"{net}, evaluation of {self.rows} rows"
        return f"{net}{', adam' * (self.update == 'adam')}, batch {self.batch}"


CASES = (
    *(Case(widths, batch) for widths in ((2, 2), (2, 4, 2), (2, 100, 2)) for batch in (128, 1000)),
    Case((7, 9, 9, 4), 10),
    Case((784, 10)),
    Case((784, 64, 10)),
    Case((784, 100, 10), update="adam"),
    Case((784, 256, 128, 10)),
    *(Case((784, 256, 128, 10), batch, regularised=True) for batch in (64, 128, 512)),
    Case((784, 512, 256, 10)),
    Case((784, 1000, 1000, 10)),
    Case((784, 1568, 1568, 1568, 28, 10)),
    Case((784, 256, 128, 10), evaluation=True),
)


# ---------------------------------------------------------------------------------------------------------------
# The program
# ---------------------------------------------------------------------------------------------------------------


def samples(case):
    """Inputs (rows, n_in) and one-hot targets (rows, n_out) that a linear map tells apart."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.rows, case.widths[0]))
    labels = (x @ rng.standard_normal((case.widths[0], case.widths[-1]))).argmax(axis=1)
    return x, np.eye(case.widths[-1])[labels]


def get_batches(x, y, size):
    order = np.arange(len(x))
    np.random.shuffle(order)
    for start in range(0, len(x), size):
        rows = order[start : start + size]
        yield x[rows], y[rows]


def network(voice, module, case, dtype):
    """The net of a case and its criterion, in a dialect; `module` is `voice.course` or `voice.compat`."""
    layers = [module.Linear(*case.widths[:2])]
    for before, after in pairwise(case.widths[1:]):
        if case.regularised:
            layers += [module.BatchNormalization(0.9), getattr(module, voice.affine)(before)]
        layers.append(module.ReLU())
        if case.regularised:
            layers.append(module.Dropout(0.3))
        layers.append(module.Linear(before, after))
    if voice.name in ON_PROBABILITIES:
        last, loss = module.SoftMax(), voice.nll_on_probabilities
    else:
        last, loss = module.LogSoftMax(), voice.nll_on_log_probabilities
    net = voice.sequential(module, *layers, last)
    if dtype != "float64":
        fastnn.compat.astype(net, dtype)
    return net, getattr(module, loss)()


def training(voice, module, case, data, dtype):
    """The loss of each step of a training without end."""
    net, criterion = network(voice, module, case, dtype)
    hooks = (voice.zero_grad_params, voice.get_parameters, voice.get_grad_params)
    zero, parameters, gradients = (getattr(net, hook) for hook in hooks)
    optimizer, config, state = getattr(module, getattr(voice, case.update)), dict(CONFIGS[case.update]), {}
    while True:
        for x, y in get_batches(*data, case.batch):
            zero()
            predictions = net.forward(x)
            loss = criterion.forward(predictions, y)
            net.backward(x, criterion.backward(predictions, y))
            optimizer(parameters(), gradients(), config, state)
            yield loss


def evaluation(voice, module, case, data, dtype):
    """The loss over all rows, again and again."""
    net, criterion = network(voice, module, case, dtype)
    getattr(net, voice.evaluate)()
    while True:
        yield criterion.forward(net.forward(data[0]), data[1])


class Program:
    """A program that runs some steps at a time. It finds NumPy's global generator as it left it."""

    def __init__(self, voice, module, case, data, dtype="float64"):
        data = [array.astype(dtype, copy=False) for array in data]
        np.random.seed(0)
        self.stream = np.random.get_state()
        self.steps = (evaluation if case.evaluation else training)(voice, module, case, data, dtype)
        self.dtype = dtype

    def run(self, count):
        """(seconds, losses) of the next steps."""
        np.random.set_state(self.stream)
        start = time.perf_counter()
        losses = list(islice(self.steps, count))
        seconds = time.perf_counter() - start
        self.stream = np.random.get_state()
        return seconds, losses


# ---------------------------------------------------------------------------------------------------------------
# Measuring
# ---------------------------------------------------------------------------------------------------------------


def check(case, programs):
    """Leave unless all programs, NumPy's first, have the same losses."""
    expected, *found = [program.run(CHECKED)[1] for program in programs]
    for program, losses in zip(programs[1:], found, strict=True):
        if not np.allclose(losses, expected, rtol=TOLERANCES[program.dtype], atol=0):
            sys.exit(f"{case.label}: expected the losses {expected}, got {losses} in {program.dtype}")


def measure(programs, rounds):
    """Seconds of a step: (rounds, programs)."""
    seconds, *_ = [program.run(CHECKED)[0] for program in programs]
    steps = max(1, round(CHUNK * CHECKED / seconds))
    gc.collect()
    gc.disable()
    try:
        return np.array([[program.run(steps)[0] / steps for program in programs] for _ in range(rounds)])
    finally:
        gc.enable()


def row(voice, case, dtypes, rounds):
    """The cells of a case."""
    data = samples(case)
    ours = [Program(voice, voice.compat, case, data, dtype) for dtype in dtypes]
    programs = [Program(voice, voice.course, case, data), *ours]
    check(case, programs)
    times = measure(programs, rounds)
    microseconds = [f"{1e6 * median:.1f}" for median in np.median(times[:, :2], axis=0)]
    return [case.label, *microseconds, *map(spread, (times[:, :1] / times[:, 1:]).T)]


def machine():
    """What computes: one line."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    config = backend.config()
    ours = ", ".join(str(config[name]) for name in ("backend", "isa", "blas") if config.get(name))
    return f"{cpu_model()}, one thread; NumPy {np.__version__} with {blas['name']} {blas['version']}; fastnn: {ours}"


def arguments():
    parser = argparse.ArgumentParser(description="Time training programs on plain NumPy and on fastnn.compat.")
    parser.add_argument("--dialect", choices=VOICES, default="torch7", help="default: torch7")
    parser.add_argument("--float32", action="store_true", help="also fastnn in float32, against NumPy in float64")
    parser.add_argument("--quick", action="store_true", help="one chunk of each program: does it work?")
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases whose names contain TEXT")
    options = parser.parse_args()
    options.cases = [case for case in CASES if options.only in case.label]
    if not options.cases:
        parser.error(f"no case contains {options.only!r}; there are: {'; '.join(case.label for case in CASES)}")
    return options


def main():
    options = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    dtypes = ("float64", "float32") if options.float32 else ("float64",)
    heads = [options.dialect, "NumPy us/step", "fastnn us/step", "ratio [quartiles]", "float32 ratio [quartiles]"]
    heads = heads[: 3 + len(dtypes)]
    print(f"{machine()}\n\n| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 1)}|", flush=True)
    for case in options.cases:
        cells = row(VOICES[options.dialect], case, dtypes, rounds=1 if options.quick else ROUNDS)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

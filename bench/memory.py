"""Peak memory of training: what some steps of 1024-2048-2048-1000, batch 512, take beyond the imports and the batch.

python bench/memory.py: a process for each library; the peak resident size after three steps less that before the net is
made, in MB and in sizes of the parameters. The parameters, their gradients and their momentum are 3 such sizes where a
library keeps them all. What it loads or compiles at the first step counts too.
"""

from __future__ import annotations

import argparse
import resource
import sys
from contextlib import closing
from dataclasses import asdict
from itertools import pairwise

from peer_process import Gone, Worker, cpus_or_error, pin, serve, threads_option, where

if __name__ == "__main__" and "".join(sys.argv[1:2]).isalpha():  # a library
    THREADS = pin()  # before any library counts the CPUs

import numpy as np
from image_work import IMAGE_TABLES
from peer_work import COMPILED, Case, Library, arrays

CASE = Case(COMPILED, "compiled_step", "SGD", (512, 1024, 2048, 2048, 1000), "float32")
STEPS = 3
NAMES = {"native": "fastnn, compiled", "explicit": "fastnn, explicit loop", "torch": "PyTorch", "jax": "JAX jit"}
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def peak():
    """Bytes that were resident at most."""
    return UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def batch_and_weights(case):
    """The arrays of a case, but every parameter a view of one number: to make them would be a peak of its own."""
    if case.table in IMAGE_TABLES:
        return arrays(case)  # these parameters are few
    rows, *widths = case.shape
    value = np.ones((), case.dtype) / 1024
    parameters = [(np.broadcast_to(value, (after, before)), np.broadcast_to(value, after))
                  for before, after in pairwise(widths)]  # fmt: skip
    return {"x": np.ones((rows, widths[0]), case.dtype), "y": np.zeros(rows, int), "parameters": parameters}


class Memory:
    """One library: it answers {"case": of a training step} by {"bytes": the growth of the peak}."""

    def __init__(self, name):
        from peer_worker import library

        self.library, self.name = library(name), name
        self.version = self.library.version

    def answer(self, request):
        case = Case(**{**request["case"], "shape": tuple(request["case"]["shape"])})
        made = batch_and_weights(case)
        prepare = self.library.job
        if self.name == "jax" and case.table not in IMAGE_TABLES:  # whose `job` would copy the views
            made |= self.library.jax.device_put({"x": made["x"], "y": made["y"]})
            prepare = self.library.compiled_step
        before = peak()
        job = prepare(case, made)
        for _ in range(STEPS):
            result = job.run()
        self.library.wait(result)
        return {"bytes": peak() - before}


def parameter_bytes(case):
    if case.table in IMAGE_TABLES:
        return sum(array.nbytes for array in arrays(case)["parameters"])
    _, *widths = case.shape
    numbers = sum((before + 1) * after for before, after in pairwise(widths))
    return numbers * np.dtype(case.dtype).itemsize


def main():
    parser = argparse.ArgumentParser(description="The peak memory of training steps.")
    threads_option(parser)
    options = parser.parse_args()
    report(CASE, cpus_or_error(parser, options.threads))


def report(case, cpus, names=NAMES):
    """Print a table of what these libraries take for a case."""
    size = parameter_bytes(case)
    print(f"{case.label}, {case.dtype}, {where(cpus)}: parameters of {size / 1e6:.4g} MB.\n")
    print("| training | peak, MB | in sizes of the parameters |\n|---|---:|---:|")
    for name, label in names.items():
        try:
            with closing(Worker(name, cpus, "memory.py")) as worker:
                answer = worker.about if "missing" in worker.about else worker.ask(case=asdict(case))
        except Gone as error:
            answer = {"error": str(error)}
        if "bytes" in answer:
            print(f"| {label} | {answer['bytes'] / 1e6:.0f} | {answer['bytes'] / size:.2f} |", flush=True)
        else:
            print(f"| {label} | {answer.get('missing') or answer['error']} | |", flush=True)


if __name__ == "__main__" and "".join(sys.argv[1:2]).isalpha():
    Library.threads = THREADS
    serve(lambda: Memory(sys.argv[1]))
elif __name__ == "__main__":
    main()

"""Every operation of the registry with one thread and with more: how many times as fast, medians of interleaved rounds.

python bench/threads.py [threads] [text]: only the operations whose name has the text in it. Below 1 more threads are
slower; where the work is too small for them they are not woken, and the ratio is 1 but for noise.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from gemm import forms
from machine import spread

from fastnn import backend

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the registry
from cases import OPERATIONS

SIZES = (32, 64), (128, 256), (512, 512), (1024, 1024)
PRODUCTS = (32, 784, 100), (128, 784, 256), (256, 512, 1024), (512, 1024, 1024), (512, 2048, 2048)  # batch, in, out
FORMS = "linear_forward", "linear_backward_params", "linear_backward_input"
SECONDS, ROUNDS = 5e-3, 21  # of calls in a round
STEADY = {"lr": 0.0, "factor": 1.0, "momentum": 1.0, "dampening": 1.0}  # or calls in place end in subnormal numbers


def seconds(call, calls):
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def ratios(call, threads):
    """Seconds with one thread over those with several, round by round."""
    calls = max(1, int(SECONDS / seconds(call, 2)))
    found = []
    for turn in range(ROUNDS):
        times = {}
        for count in (1, threads) if turn % 2 else (threads, 1):
            backend.set_num_threads(count)
            call()
            times[count] = seconds(call, calls)
        found.append(times[1] / times[threads])
    return found


def operations():
    """(what, function of no arguments) for one row of each operation at each size, then products of matrices."""
    seen = set()
    for operation in OPERATIONS:
        kind = operation.variant if operation.name.startswith(("unary", "loss")) else ""
        if (operation.name, kind) in seen or operation.name.startswith("linear"):
            continue
        seen.add((operation.name, kind))
        for size in SIZES:
            arguments = operation.make(np.random.default_rng(0), np.dtype(np.float32), *size)
            arguments.update((name, value) for name, value in STEADY.items() if name in arguments)
            function, values = getattr(backend.ops, operation.name), list(arguments.values())
            yield f"{operation.name} {kind} {size}", lambda function=function, values=values: function(*values)
    for shape in PRODUCTS:
        for dtype in np.float32, np.float64:
            for form, call in zip(FORMS, forms(np.random.default_rng(0), dtype, *shape), strict=True):
                yield f"{form} {np.dtype(dtype)} {shape}", call


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    text = sys.argv[2] if len(sys.argv) > 2 else ""
    if backend.backend() != "native":
        sys.exit("bench/threads.py: expected the native back end")
    print(f"| operation | {threads} threads are so many times as fast as one |\n|---|---:|")
    for what, call in operations():
        if text in what:
            print(f"| {what} | {spread(ratios(call, threads))} |", flush=True)


if __name__ == "__main__":
    main()

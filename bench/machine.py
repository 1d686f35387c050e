"""What the benchmarks share: the CPU's name, how much arithmetic and copying its cores do, how numbers are told."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

CHAINS = 12  # independent sums: 2 units times a latency of 4 needs 8, and AVX2 has 16 registers
TURNS = 100_000  # about a millisecond
FLAGS = ("-march=native",), ("-mcpu=native",), ()  # the first that the compiler takes
PRODUCT = 512, 1024, 1024  # batch, in, out where no compiler works
COPIES = {"512 KB": 2**19, "32 MB": 2**25, "256 MB": 2**28}  # read and written
SOURCE = """
#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
#define ROOF(name, real) \\
    double name(long turns, double factor) \\
    { \\
        typedef real vec __attribute__((vector_size(BYTES))); \\
        vec x[CHAINS], f = (vec){0} + (real)factor; \\
        for (int i = 0; i < CHAINS; i++) \\
            x[i] = (vec){0} + (real)i; \\
        for (long t = 0; t < turns; t++) { \\
            _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) \\
                x[i] = x[i] * f + f; \\
        } \\
        vec sum = {0}; \\
        for (int i = 0; i < CHAINS; i++) \\
            sum += x[i]; \\
        return sum[0]; \\
    } \\
    long name##_flops(long turns) { return turns * CHAINS * 2 * BYTES / (long)sizeof(real); }
ROOF(float32, float)
ROOF(float64, double)
"""


def cpu_model():
    """The name of the CPU, as the system tells it."""
    if (info := Path("/proc/cpuinfo")).exists():
        for line in info.read_text().splitlines():
            if "model name" in line:
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def microseconds(seconds):
    """With four digits or more."""
    return f"{1e6 * seconds:.4g}" if seconds < 1e-3 else f"{1e6 * seconds:.0f}"


def spread(ratios):
    """The median, then the quartiles."""
    low, median, high = np.percentile(ratios, (25, 50, 75))
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def compiled():
    """The functions of SOURCE, or None where no C compiler works."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "roof.c"), Path(folder, "roof.so")
        source.write_text(SOURCE)
        options = [f"-DCHAINS={CHAINS}", "-O3", "-ffp-contract=fast", "-shared", "-fPIC", "-o", library, source]
        for flags in FLAGS:
            try:
                subprocess.run([*compiler.split(), *flags, *options], check=True, capture_output=True)
                return ctypes.CDLL(str(library))
            except (OSError, subprocess.CalledProcessError):
                continue
    return None


class Limits:
    """The multiply-add roof of some cores and the copy bandwidth of one, as functions to be timed."""

    def __init__(self, threads=1):
        self.library, self.threads, self.team = compiled(), threads, ThreadPoolExecutor(threads)
        self.arrays = 0, None, None  # bytes, from, to: kept until another size is asked for

    @property
    def source(self):
        """What the roof is the roof of."""
        if self.library is None:
            return f"at least: fastnn's product {' x '.join(map(str, PRODUCT))}, as no C compiler works here"
        return f"{CHAINS} independent chains of vectors, compiled here"

    def multiply_add(self, dtype):
        """A function of about a millisecond, of ten for several threads, and the floating point operations it does."""
        if self.library is None:
            return self._product(dtype)
        function, flops = getattr(self.library, dtype), getattr(self.library, f"{dtype}_flops")
        function.argtypes, function.restype = (ctypes.c_long, ctypes.c_double), ctypes.c_double
        flops.argtypes, flops.restype = (ctypes.c_long,), ctypes.c_long
        if self.threads == 1:
            return lambda: function(TURNS, 0.5), flops(TURNS)
        turns = [10 * TURNS] * self.threads
        return lambda: list(self.team.map(function, turns, [0.5] * self.threads)), sum(map(flops, turns))

    def _product(self, dtype):
        from fastnn import nn

        rows, before, after = PRODUCT
        layer, x = nn.Linear(before, after, dtype=dtype), np.ones((rows, before), dtype)
        return lambda: layer.forward(x), 2 * rows * before * after

    def copy(self, size):
        """A function that reads `size` / 2 bytes and writes as many."""
        if self.arrays[0] != size:
            self.arrays = size, *(np.ones(max(size // 2, 1), np.uint8) for _ in range(2))
        _, before, after = self.arrays
        return lambda: np.copyto(after, before)

    def measured(self, rounds=7):
        """GFLOP/s of each dtype, and GB/s read and written of copies of some sizes."""
        rates = {}
        for dtype in ("float32", "float64"):
            function, flops = self.multiply_add(dtype)
            rates[dtype] = flops / best(function, rounds) / 1e9
        copies = {name: size / best(self.copy(size), rounds) / 1e9 for name, size in COPIES.items()}
        return {**rates, "copies": copies}


def best(function, rounds):
    """Seconds of the fastest call but the first."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])

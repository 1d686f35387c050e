"""The two providers of matrix products side by side: which serves a shape is decided by `blas_pays` in csrc/blas.c.

python bench/gemm.py [threads]: for the three forms of a linear layer, GFLOP/s of the own kernel, of the BLAS, and of
what the rule chooses (best of interleaved rounds).
"""

import sys
import time

import numpy as np

from fastnn import backend

SHAPES = [(1, 64, 32), (1, 784, 256), (4, 784, 256), (8, 64, 32), (32, 64, 32), (32, 32, 10), (32, 784, 100)]
SHAPES += [(128, 784, 10), (128, 784, 256), (128, 256, 128), (64, 256, 256), (512, 512, 512), (512, 2048, 2048)]
SHAPES += [(10000, 784, 100)]
PROVIDERS = ("native", "blas", "auto")
ROUNDS, SECONDS = 7, 2e-3  # a round repeats a product for about so long


def forms(rng, dtype, batch, n_in, n_out):
    """Forward, gradient of the weight, gradient of the input, with the weight in the layout of nn.Linear."""
    core = backend.ops
    x, dy = rng.standard_normal((batch, n_in)).astype(dtype), rng.standard_normal((batch, n_out)).astype(dtype)
    weight = rng.standard_normal((n_in, n_out)).astype(dtype).T
    bias, grad_weight = np.zeros(n_out, dtype), np.zeros((n_in, n_out), dtype).T
    yield lambda: core.linear_forward(x, weight, bias)
    yield lambda: core.linear_backward_params(x, dy, grad_weight, None)
    yield lambda: core.linear_backward_input(dy, weight)


def seconds(product, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        product()
    return (time.perf_counter() - start) / repeats


def best(product):
    """Provider -> seconds, the best of interleaved rounds."""
    repeats = max(1, int(SECONDS / min(seconds(product, 1) for _ in range(3))))
    times = {name: [] for name in PROVIDERS}
    for _ in range(ROUNDS):
        for name in PROVIDERS:
            backend.ops.set_gemm_provider(name)
            times[name].append(seconds(product, repeats))
    return {name: min(of_one) for name, of_one in times.items()}


def main():
    if backend.backend() != "native" or backend.ops.blas() is None:
        sys.exit("bench/gemm.py: expected the native back end with a BLAS")
    backend.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"{backend.ops.isa()}, {backend.get_num_threads()} thread(s): GFLOP/s of {', '.join(PROVIDERS)}\n")
    print("| dtype | batch, in, out | forward | gradient of weight | gradient of input |\n|---|---|---:|---:|---:|")
    for dtype in (np.float32, np.float64):
        for shape in SHAPES:
            rng = np.random.default_rng(0)
            work = 2e-9 * np.prod(shape, dtype=float)
            cells = [best(form) for form in forms(rng, dtype, *shape)]
            text = " | ".join(" ".join(f"{work / cell[name]:.0f}" for name in PROVIDERS) for cell in cells)
            print(f"| {np.dtype(dtype)} | {shape} | {text} |", flush=True)


if __name__ == "__main__":
    main()

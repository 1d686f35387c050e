"""Every operation of the registry at two sizes in both dtypes: compiled kernels, their NumPy twin, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from cases import OPERATIONS
from support import needs_native
from torch_operations import prepared

from fastnn import backend, reference

SIZES = ((128, 256), (1024, 1024))
# Or thousands of calls in place would end in subnormal numbers, which are slow.
STEADY = {"lr": 0.0, "factor": 1.0, "momentum": 1.0, "dampening": 1.0}


def timed():
    """One row of each operation, and every activation and loss."""
    seen = set()
    for operation in OPERATIONS:
        kind = operation.variant if operation.name.startswith(("unary", "loss")) else ""
        if (operation.name, kind) not in seen:
            seen.add((operation.name, kind))
            yield pytest.param(operation, kind, id=f"{operation.name}-{kind}" if kind else operation.name)


@pytest.mark.benchmark(disable_gc=True)
@pytest.mark.parametrize("library", [pytest.param("native", marks=needs_native), "reference", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("operation,kind", list(timed()))
def test_operation(measure, request, operation, kind, size, dtype, library):
    arguments = operation.make(np.random.default_rng(0), np.dtype(dtype), *size)
    arguments.update((name, value) for name, value in STEADY.items() if name in arguments)
    if library == "torch":
        function = prepared(request.getfixturevalue("torch"), operation, arguments)
        if function is None:
            pytest.skip(f"no single call of PyTorch does {operation.name}")
    else:
        call = getattr(backend._core if library == "native" else reference, operation.name)
        values = list(arguments.values())

        def function():
            call(*values)

    what = f"{operation.name} {kind}".strip()
    measure(function, operation=what, size=f"{size[0]}x{size[1]}", dtype=dtype, library=library)

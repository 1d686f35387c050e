"""What a call costs apart from its arithmetic: nanoseconds on arrays of one element, best of rounds.

python bench/calls.py: first fastnn's own calls, from the entry of the extension module up to a layer's method; then the
ways in which an extension module may take an array, for which a module of a few lines is compiled here (it needs the
build tools that `make setup` installs).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
import timeit
from pathlib import Path

import numpy as np

from fastnn import backend, nn, optim

ROUNDS, CALLS = 15, 20_000
WAYS = """
# cython: language_level=3, boundscheck=False
cimport numpy as cnp
from cpython.buffer cimport PyBUF_RECORDS_RO, PyBuffer_Release, PyObject_GetBuffer
cnp.import_array()

def nothing(a, b):
    return None

def c_interface(a, b):  # the way of _core.pyx
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT
            and cnp.PyArray_CheckExact(b) and cnp.PyArray_ISCARRAY_RO(b) and cnp.PyArray_TYPE(b) == cnp.NPY_FLOAT)

def buffer_protocol(a, b):
    cdef Py_buffer x, y
    PyObject_GetBuffer(a, &x, PyBUF_RECORDS_RO)
    PyObject_GetBuffer(b, &y, PyBUF_RECORDS_RO)
    fit = x.itemsize == 4 and y.itemsize == 4
    PyBuffer_Release(&x)
    PyBuffer_Release(&y)
    return fit

def typed_memoryviews(const float[:, ::1] a, const float[:, ::1] b):
    return a.shape[0] == b.shape[0]

def python_attributes(a, b):
    return a.dtype == b.dtype and a.flags.c_contiguous and b.flags.c_contiguous and a.shape == b.shape
"""
WAYS_TOLD = {
    "nothing": "two arguments, no check",
    "c_interface": "NumPy's C interface",
    "buffer_protocol": "buffer protocol",
    "typed_memoryviews": "typed memoryviews",
    "python_attributes": "attributes, as Python code reads them",
}


def nanoseconds(call):
    call()
    return 1e9 * min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS


def compiled_ways():
    """The module of WAYS."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "ways.pyx"), Path(folder, "ways" + sysconfig.get_config_var("EXT_SUFFIX"))
        source.write_text(WAYS)
        subprocess.run([sys.executable, "-m", "cython", "-3", source], check=True)
        includes = [f"-I{sysconfig.get_path('include')}", f"-I{np.get_include()}"]
        options = ["-O3", "-w", "-shared", "-fPIC", "-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION", *includes]
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, *options, source.with_suffix(".c"), "-o", library], check=True)
        spec = importlib.util.spec_from_file_location("ways", library)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def own_calls():
    """What is called -> a function of no arguments that calls it."""
    x, labels = np.ones((1, 1), np.float32), np.zeros(1, np.int64)
    linear, relu, criterion = nn.Linear(1, 1), nn.ReLU(), nn.CrossEntropyLoss()
    model = nn.Sequential(linear, relu)
    optimizer, ops = optim.SGD(model, lr=1e-3, momentum=0.9), backend.ops
    optimizer.step()
    model.forward(x)
    return {
        "np.maximum(x, 0), for comparison": lambda: np.maximum(x, 0),
        "ops.unary_forward": lambda: ops.unary_forward("ReLU", x, 0.0, 0.0),
        "ops.linear_forward": lambda: ops.linear_forward(x, linear.weight, linear.bias),
        "ReLU.forward": lambda: relu.forward(x),
        "ReLU.backward": lambda: relu.backward(x, x),
        "Linear.forward": lambda: linear.forward(x),
        "Linear.backward": lambda: linear.backward(x, x),
        "CrossEntropyLoss.forward": lambda: criterion.forward(x, labels),
        "CrossEntropyLoss.backward": lambda: criterion.backward(x, labels),
        "Sequential(Linear, ReLU).forward": lambda: model.forward(x),
        "Sequential(Linear, ReLU).backward": lambda: model.backward(x, x),
        "SGD.step of two parameters": optimizer.step,
    }


def main():
    if backend.backend() != "native":
        sys.exit("bench/calls.py: expected the native back end")
    backend.set_num_threads(1)
    print(f"{backend.ops.isa()}, one thread\n\n| a call on one element | ns |\n|---|---:|")
    for name, call in own_calls().items():
        print(f"| {name} | {nanoseconds(call):.0f} |", flush=True)
    ways, x = compiled_ways(), np.ones((1, 1), np.float32)
    print("\n| taking two arrays | ns |\n|---|---:|")
    for name, told in WAYS_TOLD.items():
        way = getattr(ways, name)
        print(f"| {told} | {nanoseconds(lambda way=way: way(x, x)):.0f} |", flush=True)


if __name__ == "__main__":
    main()

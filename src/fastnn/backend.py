"""Which back end serves: the compiled kernels or their NumPy twin; instruction set, GEMM provider and threads.

`ops` holds the operations: layers call `backend.ops.linear_forward(...)`, so that `use_backend` acts at once. The
settings are those of the process. The environment is read once, at import: FASTNN_BACKEND (native, reference),
FASTNN_ISA (base, avx2, avx512), FASTNN_GEMM (auto, native, blas), FASTNN_NUM_THREADS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from . import reference

# A waiting thread of libgomp spins for milliseconds by default, so that beside another busy process it
# is descheduled for whole time slices: unary_backward("tanh") at (128, 1000) takes two threads 26 us on a quiet machine
# of two cores, 12,000 us beside one busy process. With 30,000 turns, about 30 us, it takes 29 and 35 us.
SPIN_COUNT = "30000"


def _load_core() -> Any:
    """The compiled module, with what its libraries read from the environment once; that is then left as it was.

    OpenBLAS, which fastnn has work on one thread and share it out itself, would start threads: 45 ms of an import.
    """
    settings = {"OPENBLAS_NUM_THREADS": "1"}
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:  # else the user has chosen
        settings["GOMP_SPINCOUNT"] = SPIN_COUNT
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        return import_module("._core", __package__)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_core: Any = None
native_error = ""
try:
    _core = _load_core()
except ImportError as error:  # a pure-Python installation, or a library that the system could not load
    native_error = str(error)

if TYPE_CHECKING:
    from . import _core as _typed

    ops = _typed  # the operations of both back ends have the same signatures
else:
    ops = reference if _core is None else _core

BACKENDS = ("native", "reference")
MAX_THREADS = 4096


def backend() -> str:
    """The name of the back end in use: "native" (compiled kernels) or "reference" (NumPy)."""
    return "reference" if ops is reference else "native"


def set_backend(name: str) -> None:
    """Choose the back end for the whole process.

    Parameters
    ----------
    name : {"native", "reference"}
        The compiled kernels, or their twin in NumPy.

    Raises
    ------
    ValueError
        The name is another one.
    RuntimeError
        There are no compiled kernels here.

    Examples
    --------
    >>> from fastnn import backend
    >>> backend.set_backend(backend.backend())  # as it is
    """
    global ops
    if name not in BACKENDS:
        raise ValueError(f"FASTNN_BACKEND: expected one of {', '.join(BACKENDS)}, got {name}")
    if name == "native" and _core is None:
        raise RuntimeError(f"FASTNN_BACKEND: the native back end is not available here: {native_error}")
    ops = _core if name == "native" else reference


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use another back end inside a `with` block; process-wide.

    Parameters
    ----------
    name : {"native", "reference"}
        The compiled kernels, or their twin in NumPy.

    Raises
    ------
    ValueError, RuntimeError
        As in `set_backend`.

    Examples
    --------
    >>> import fastnn
    >>> with fastnn.use_backend("reference"):
    ...     fastnn.backend.backend()
    'reference'
    """
    before = backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run the kernels of one instruction set inside a `with` block; process-wide.

    Parameters
    ----------
    name : {"base", "avx2", "avx512"}
        One of `available_isas()`.

    Raises
    ------
    ValueError
        The name is another one, or this CPU does not have it.
    RuntimeError
        There are no compiled kernels here.

    Examples
    --------
    >>> from fastnn import backend
    >>> for name in backend.available_isas():
    ...     with backend.use_isa(name):
    ...         assert backend.config().get("isa", name) == name
    """
    if _core is None:
        raise RuntimeError(f"FASTNN_ISA: the native back end is not available here: {native_error}")
    before = _core.isa()
    _core.set_isa(name)
    try:
        yield
    finally:
        _core.set_isa(before)


def available_isas() -> list[str]:
    """The instruction sets that are compiled in and that this CPU runs, slowest first.

    Returns
    -------
    list of str
        Empty where nothing is compiled.

    Examples
    --------
    >>> from fastnn import backend
    >>> set(backend.available_isas()) <= {"base", "avx2", "avx512"}
    True
    """
    return [] if _core is None else _core.isa_available()


def get_num_threads() -> int:
    """How many threads an operation may use; small ones use fewer.

    Returns
    -------
    int
        At least 1. The reference back end has NumPy's own threads, which this does not count.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.get_num_threads() >= 1
    True
    """
    return 1 if _core is None else _core.num_threads()


def set_num_threads(n: int) -> None:
    """Let operations use up to so many threads; it overrides every environment variable.

    Parameters
    ----------
    n : int
        From 1 to 4096.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer, or out of range.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.set_num_threads(fastnn.get_num_threads())  # as it is
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"set_num_threads: expected an integer, got {type(n).__name__}")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"set_num_threads: expected a number from 1 to {MAX_THREADS}, got {n}")
    if _core is not None:
        _core.set_num_threads(int(n))


def empty_cache() -> None:
    """Give the memory that waits for reuse back to the system.

    Results of 64 KB and more take their memory from a pool, and give it back there when the last reference to the array
    goes; at most 256 MB wait for the next results. `show_config()` tells how much does.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.empty_cache()
    >>> fastnn.show_config(mode="dicts").get("cached", 0)
    0
    """
    if _core is not None:
        _core.empty_cache()


def aligned(array: np.ndarray) -> np.ndarray:
    """The array, or, if it is large, a copy that begins at a multiple of 64 bytes, on large pages where it can.

    Vectors that cross the lines of a cache are read twice: a product of one row is 1.4 times as fast on such weights.

    Parameters
    ----------
    array : ndarray
        Of any shape, dtype and memory layout.

    Returns
    -------
    ndarray
        With the same numbers in the same layout.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import backend
    >>> weight = np.ones((300, 200), np.float32)
    >>> bool((backend.aligned(weight) == weight).all())
    True
    """
    return array if _core is None else _core.aligned(array)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use up to so many threads inside a `with` block.

    Parameters
    ----------
    n : int
        From 1 to 4096.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer, or out of range.

    Examples
    --------
    >>> import fastnn
    >>> with fastnn.threads(1):
    ...     fastnn.get_num_threads()
    1
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def _cgroup_cpus() -> int | None:
    """The CPU quota of the container, rounded up, or None where there is none (cgroup version 2, then 1)."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    if quota in ("max", "-1") or int(period) <= 0:
        return None
    return max(1, -(-int(quota) // int(period)))


def _usable_cpus() -> int:
    """The CPUs that this process may run on: affinity mask and container quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return count if quota is None else max(1, min(count, quota))


def config() -> dict[str, Any]:
    """What `show_config` prints, as a dictionary.

    Returns
    -------
    dict
        Names as they are printed to their values.
    """
    from . import __version__

    config: dict[str, Any] = {"fastnn": __version__, "python": sys.version.split()[0], "numpy": np.__version__}
    config["backend"] = backend()
    if _core is None:
        config["native kernels"] = f"not available ({native_error}); running on NumPy"
    elif ops is reference:
        config["native kernels"] = f"available ({', '.join(_core.isa_available())}), not in use; running on NumPy"
    else:
        config["isa"] = _core.isa()
        config["isa available"] = _core.isa_available()
        config["gemm"] = _core.gemm_provider()
        config["blas"] = _core.blas() or "none"
        config["openmp"] = _core.has_openmp()
        config["cached"] = _core.cached_bytes()
    config["threads"] = "those of NumPy" if ops is reference else get_num_threads()
    config["default dtype"] = "float32"
    return config


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print back end, instruction sets, BLAS, OpenMP and threads.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Whether to print them, or to return them as a dictionary.

    Raises
    ------
    ValueError
        The mode is another word.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.show_config(mode="dicts")["default dtype"]
    'float32'
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: expected mode 'stdout' or 'dicts', got {mode!r}")
    if mode == "dicts":
        return config()
    for name, value in config().items():
        print(f"{name:15} {', '.join(value) if isinstance(value, list) else value}")
    return None


def _read_environment() -> None:
    if _core is not None:
        _core.set_thread_limit(_usable_cpus())
        if isa := os.environ.get("FASTNN_ISA"):
            _core.set_isa(isa)
        if gemm := os.environ.get("FASTNN_GEMM"):
            _core.set_gemm_provider(gemm)
    if count := os.environ.get("FASTNN_NUM_THREADS"):
        if not (count.isdecimal() and len(count) <= 4 and 1 <= int(count) <= MAX_THREADS):
            raise ValueError(f"FASTNN_NUM_THREADS: expected a number from 1 to {MAX_THREADS}, got {count}")
        set_num_threads(int(count))
    if name := os.environ.get("FASTNN_BACKEND"):
        set_backend(name)


def _is_command() -> bool:
    """Whether this process is the command `fastnn`, or `python -m fastnn`."""
    if sys.argv[:1] == ["-m"]:  # what runpy sets until it has found the module
        following = dict(zip(sys.orig_argv, sys.orig_argv[1:], strict=False))
        return following.get("-m") == "fastnn" or "-mfastnn" in sys.orig_argv
    return os.path.basename((sys.argv or [""])[0]) in ("fastnn", "fastnn.exe")


try:
    _read_environment()
except (ValueError, RuntimeError) as error:
    if not _is_command():
        raise
    print(f"fastnn: error: {error}", file=sys.stderr)  # of the command a traceback would be no answer
    sys.exit(2)

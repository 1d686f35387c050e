"""The choice of back end, instruction set, GEMM and threads: by environment, by call, and in a forked child."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import needs_native, outcome

import fastnn
from fastnn import backend

VARIABLES = ("FASTNN_BACKEND", "FASTNN_ISA", "FASTNN_GEMM", "FASTNN_NUM_THREADS", "OMP_NUM_THREADS")


def python(code, timeout=60, **environment):
    """Run a script in a process of its own, in which only these variables of ours are set."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    script = "import json, os, numpy as np\n" + code
    return subprocess.run([sys.executable, "-c", script], env={**kept, **environment}, capture_output=True, text=True,
                          timeout=timeout)  # fmt: skip


def result(code, **environment):
    """What a script leaves in `result`, as JSON."""
    done = python(f"{code}\nprint(json.dumps(result))", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CONFIG = "import fastnn\nresult = fastnn.show_config(mode='dicts')"

# ---------------------------------------------------------------------------------------------------------------
# The environment
# ---------------------------------------------------------------------------------------------------------------


def test_by_default_the_best_that_there_is_serves():
    config = result(CONFIG)
    if backend._core is None:
        assert config["backend"] == "reference" and config["native kernels"].startswith("not available")
    else:
        assert config["backend"] == "native" and config["isa"] == backend.available_isas()[-1]
        assert config["isa available"] == backend.available_isas() and config["gemm"] == "auto"
        assert 1 <= config["threads"] <= len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True
    assert config["fastnn"] == fastnn.__version__ and config["numpy"] == np.__version__
    assert result(CONFIG, **dict.fromkeys(VARIABLES[:4], "")) == config  # an empty variable is none


def test_the_backend_variable_chooses_what_runs():
    code = CONFIG + "\nresult['module'] = fastnn.backend.ops.__name__"
    chosen = result(code, FASTNN_BACKEND="reference")
    assert chosen["backend"] == "reference" and chosen["module"] == "fastnn.reference"
    if backend._core is not None:
        assert result(code, FASTNN_BACKEND="native")["module"] == "fastnn._core"


@needs_native
def test_the_isa_variable_chooses_what_runs(isa):
    """Sums of different vector widths differ in their last bits, so the bits tell which kernels ran."""
    code = (
        CONFIG
        + """
x = np.random.default_rng(0).standard_normal((40, 1000)).astype(np.float32)
result["bits"] = fastnn.backend.ops.softmax_forward(x).tobytes().hex()[:4000]
"""
    )
    chosen = result(code, FASTNN_ISA=isa, FASTNN_BACKEND="native")
    x = np.random.default_rng(0).standard_normal((40, 1000)).astype(np.float32)
    assert chosen["isa"] == isa == backend._core.isa()
    assert chosen["bits"] == backend._core.softmax_forward(x).tobytes().hex()[:4000]


@needs_native
def test_the_gemm_variable_chooses_the_provider():
    for name in ("auto", "native", *(("blas",) if backend._core.blas() else ())):
        assert result(CONFIG, FASTNN_GEMM=name)["gemm"] == name


THREADS_USED = """
import fastnn
fastnn.backend.ops.unary_forward("Tanh", np.ones(4_000_000))
result = [fastnn.get_num_threads(), len(os.listdir("/proc/self/task"))]
"""


@needs_native
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_the_threads_variable_decides_how_many_run():
    numpy_threads = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    one, others = result(THREADS_USED, FASTNN_NUM_THREADS="1", **numpy_threads)
    assert one == 1
    for count in (2, 3):
        assert result(THREADS_USED, FASTNN_NUM_THREADS=str(count), **numpy_threads) == [count, others + count - 1]
    if backend._core.has_openmp():
        assert result(CONFIG, OMP_NUM_THREADS="3")["threads"] == 3
    assert result(CONFIG, OMP_NUM_THREADS="3", FASTNN_NUM_THREADS="2")["threads"] == 2


@pytest.mark.parametrize("variable,value,expected", [
    ("FASTNN_BACKEND", "cuda", "FASTNN_BACKEND: expected one of native, reference, got cuda"),
    ("FASTNN_ISA", "sse9", "FASTNN_ISA: expected one of base"),
    ("FASTNN_GEMM", "mkl", "FASTNN_GEMM: expected one of auto, native"),
    *(("FASTNN_NUM_THREADS", value, "FASTNN_NUM_THREADS: expected a number from 1 to 4096, got " + value)
      for value in ("x", "0", "-1", "1.5", "5000", "\u00b2", "1" * 5000)),
])  # fmt: skip
def test_a_bad_variable_is_one_clear_line(variable, value, expected):
    if backend._core is None and variable in ("FASTNN_ISA", "FASTNN_GEMM"):
        pytest.skip("without native kernels there is no choice")
    done = python("import fastnn", **{variable: value})
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith(f"ValueError: {expected}"), done.stderr


# ---------------------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _settings_are_put_back():
    kept = backend.backend(), backend.get_num_threads()
    yield
    assert (backend.backend(), backend.get_num_threads()) == kept


@needs_native
def test_threads_are_set_for_a_block_and_put_back():
    before = fastnn.get_num_threads()
    with fastnn.threads(3):
        assert fastnn.get_num_threads() == 3
        with fastnn.threads(1):
            assert fastnn.get_num_threads() == 1
        assert fastnn.get_num_threads() == 3
    with pytest.raises(KeyError), fastnn.threads(5):
        raise KeyError
    assert fastnn.get_num_threads() == before


BAD_COUNTS = [(count, ValueError) for count in (0, -1, 4097, 10**30)]
BAD_COUNTS += [(count, TypeError) for count in (1.0, True, "2", None)]


@pytest.mark.parametrize("count,kind", BAD_COUNTS)
def test_a_bad_number_of_threads(count, kind):
    for function in (fastnn.set_num_threads, lambda n: fastnn.threads(n).__enter__()):
        got = outcome(function, count)
        assert got[:2] == ("raised", kind) and got[2].startswith("set_num_threads: expected ")


def test_the_back_end_is_chosen_for_a_block_and_put_back():
    x, before = np.linspace(-2, 2, 9), backend.ops
    with fastnn.use_backend("reference"):
        assert backend.backend() == "reference" and backend.ops is fastnn.reference
        expected = fastnn.nn.Tanh().forward(x)
    assert backend.ops is before
    np.testing.assert_allclose(fastnn.nn.Tanh().forward(x), expected, rtol=1e-15)
    with pytest.raises(KeyError), fastnn.use_backend("reference"):
        raise KeyError
    assert backend.ops is before
    with pytest.raises(ValueError, match="expected one of native, reference, got gpu"), fastnn.use_backend("gpu"):
        pass


@needs_native
def test_unknown_instruction_sets_and_providers_are_refused(core):
    kept = core.isa(), core.gemm_provider()
    for setter, variable in ((core.set_isa, "FASTNN_ISA"), (core.set_gemm_provider, "FASTNN_GEMM")):
        for name in ("mmx", "", None, 3):
            got = outcome(setter, name)
            assert got[:2] == ("raised", ValueError) and got[2].startswith(f"{variable}: expected one of ")
    assert (core.isa(), core.gemm_provider()) == kept


def test_show_config_prints_what_it_returns(capsys):
    assert fastnn.show_config() is None
    lines = dict(line.split(maxsplit=1) if not line.startswith(("isa available", "default dtype", "native kernels"))
                 else (line[:15].strip(), line[16:]) for line in capsys.readouterr().out.splitlines())  # fmt: skip
    config = fastnn.show_config(mode="dicts")
    assert set(lines) == set(config)
    assert lines["backend"] == config["backend"] and lines["threads"] == str(config["threads"])
    with pytest.raises(ValueError, match="expected mode 'stdout' or 'dicts', got 'json'"):
        fastnn.show_config("json")


# ---------------------------------------------------------------------------------------------------------------
# The process around it
# ---------------------------------------------------------------------------------------------------------------

FORK = """
import fastnn, signal, sys
from fastnn import nn, optim
fastnn.set_num_threads(2)

def train(steps):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(300, 400, rng=0), nn.BatchNorm1d(400), nn.ReLU(), nn.Linear(400, 300, rng=1))
    optimizer, criterion = optim.SGD(model, lr=0.1, momentum=0.9), nn.MSELoss()
    for _ in range(steps):
        x = rng.standard_normal((256, 300)).astype(np.float32)
        optimizer.zero_grad()
        model.backward(x, criterion.backward(model.forward(x), x))
        optimizer.step()
    return b"".join(array.tobytes() for array in model.parameters())

expected = train(3)
results = []
for number in range(2):  # a child, and the child of a child
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        if number == 1 and os.fork():
            os.wait()
            os._exit(0)
        same = train(3) == expected
        os.write(write, b"equal" if same else b"other")
        os._exit(0)
    os.close(write)
    results.append(os.read(read, 5).decode())
    os.waitpid(child, 0)
result = [*results, train(3) == expected, fastnn.get_num_threads()]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_after_threads_ran_computes_the_same():
    threads = 2 if backend._core is not None else 1
    assert result(FORK) == ["equal", "equal", True, threads]


def test_importing_leaves_subnormal_numbers_alone():
    code = "import fastnn\nfrom fastnn import nn\n" \
           "nn.Linear(300, 300).forward(np.ones((200, 300), np.float32))\n" \
           "result = [float(np.float64(1e-310) * 1), float(np.float32(1e-40) * np.float32(1)), " \
           "float(fastnn.backend.ops.unary_forward('ReLU', np.array([1e-310]))[0])]"  # fmt: skip
    assert result(code) == [1e-310, float(np.float32(1e-40)), 1e-310]


@needs_native
def test_threads_of_python_may_compute_at_once():
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    layer = fastnn.nn.Linear(300, 200, rng=0)
    inputs = [rng.standard_normal((100, 300)).astype(np.float32) for _ in range(16)]
    expected = [layer.update_output(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(layer.update_output, inputs), expected, strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads there")
@pytest.mark.parametrize("own", [{}, {"OPENBLAS_NUM_THREADS": "3", "GOMP_SPINCOUNT": "5"}])
def test_importing_fastnn_starts_no_thread_and_leaves_the_environment(own):
    code = """if True:
        import os, numpy
        before, threads = dict(os.environ), len(os.listdir("/proc/self/task"))
        import fastnn
        assert dict(os.environ) == before
        print(len(os.listdir("/proc/self/task")) - threads)
    """
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    assert done.stdout == "0\n"

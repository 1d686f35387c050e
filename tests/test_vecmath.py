"""The functions of csrc/vecmath.h keep the errors that csrc/tests/ulp.def allows, in every variant the CPU can run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "csrc" / "tests" / "ulp.c"
FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
# suffix: vector bytes, flags, and what /proc/cpuinfo has to list
VARIANTS = {
    "base": (16, [], set()),
    "avx2": (32, ["-march=x86-64-v3"], {"avx2", "fma", "bmi2", "f16c", "movbe"}),
    "avx512": (
        64,
        ["-march=x86-64-v4", "-mprefer-vector-width=512"],
        {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    ),
}
LINES = SOURCE.with_suffix(".def").read_text().splitlines() if SOURCE.exists() else []
FUNCTIONS = [line[len("ULP(") :].split(",")[0] for line in LINES if line.startswith("ULP(")]

pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="the sources of the kernels are not here")


def cpu_flags() -> set[str]:
    """The feature names of the first CPU; empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


@pytest.fixture(scope="module", params=VARIANTS)
def isa(request: pytest.FixtureRequest) -> str:
    missing = VARIANTS[request.param][2] - cpu_flags()
    if missing:
        pytest.skip(f"this CPU has no {', '.join(sorted(missing))}")
    return request.param


@pytest.fixture(scope="module", params=["f32", "f64"])
def ulp(isa: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver, compiled like a kernel of this variant."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    vector_bytes, flags, _ = VARIANTS[isa]
    program = tmp_path_factory.mktemp("ulp") / f"ulp_{request.param}_{isa}"
    defines = [f"-DFNN_F64={int(request.param == 'f64')}", f"-DFNN_ISA={isa}", f"-DFNN_VBYTES={vector_bytes}"]
    command = [compiler, *FLAGS, *WARNINGS, *flags, *defines, "-o", str(program), str(SOURCE), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sample(ulp: Path) -> None:
    """Every 4099th float, or a million doubles."""
    run(ulp, "all", "--samples", "1048000")


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all(ulp: Path, function: str) -> None:
    """All floats, or 2^26 doubles: up to a minute for each function."""
    run(ulp, function, *(["--samples", str(1 << 26)] if "f64" in ulp.name else ["--all"]))


@pytest.mark.slow
def test_coefficients() -> None:
    """The table of coefficients is what the fitting script finds."""
    pytest.importorskip("mpmath")
    command = [sys.executable, str(ROOT / "tools" / "fit_vecmath.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == (ROOT / "csrc" / "vecmath_coefficients.h").read_text()

"""Wheels without compiled kernels: the pure one, and what an installation gives where no compiler works."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("pip", "scikit_build_core", "Cython", "cython_cmake", "cmake", "ninja")
missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.skipif(not (ROOT / "CMakeLists.txt").exists(), reason="the sources of the package are not here"),
    pytest.mark.skipif(bool(missing), reason=f"building without a network needs {', '.join(missing)}"),
]

SCRIPT = """
import os, sys
import fastnn
from fastnn import data, nn, optim

assert os.path.dirname(fastnn.__file__) == os.path.join(sys.argv[1], "fastnn"), fastnn.__file__
config = fastnn.show_config(mode="dicts")
assert config["backend"] == "reference" and config["native kernels"].startswith("not available"), config
X, y = data.load_digits()
model = nn.Sequential(nn.Linear(64, 16, rng=0), nn.ReLU(), nn.Linear(16, 10, rng=1))
history = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01)).fit(
    X / 16, y, epochs=3, batch_size=32, rng=0, progress=False)
losses = history.history["loss"]
assert losses[-1] < 0.5 * losses[0], losses
print("trained")
"""


def build(folder, **environment):
    """pip's process that builds a wheel of a copy of the sources into folder/dist."""
    sources = folder / "sources"
    for name in ("src", "csrc"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet",
               "--wheel-dir", folder / "dist", sources]  # fmt: skip
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")}
    environment = {**kept, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("environment", [{"FASTNN_PURE": "1"}, {"CC": "/bin/false"}], ids=["pure", "no compiler"])
def test_a_wheel_without_kernels_runs_on_numpy(tmp_path, environment):
    done = build(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    assert "fastnn/py.typed" in names and "fastnn/datasets/digits.npz" in names
    assert not [name for name in names if name.endswith((".so", ".pyd", ".pyx", ".pxi", ".c"))]
    run = subprocess.run([sys.executable, "-c", SCRIPT, installed], env={**os.environ, "PYTHONPATH": str(installed)},
                         capture_output=True, text=True, timeout=120, cwd=tmp_path)  # fmt: skip
    assert run.returncode == 0 and run.stdout.endswith("trained\n"), run.stderr


def test_requiring_kernels_makes_a_missing_compiler_an_error(tmp_path):
    done = build(tmp_path, CC="/bin/false", FASTNN_REQUIRE_NATIVE="1")
    assert done.returncode != 0 and "compiler" in done.stderr
    assert not list(tmp_path.glob("dist/*.whl"))

"""`check` and `port` where a framework is a package of several files, or is used by the name of its module."""

import runpy
import sys

import pytest
from compat_texts import PLAIN, TORCH7

from fastnn.compat import check, port

SPLIT = PLAIN.index("class MSE")
LAYERS = PLAIN[:SPLIT]
LOSSES = "from .layers import Module\n\n" + PLAIN[SPLIT:]
NORM = "class BatchNorm(Module):\n    pass\n"
INIT = "from . import layers, losses\n"
PROGRAM = """\
import own_nn as NN

net = NN.layers.Sequential(NN.layers.Linear(2, 3))
loss = NN.losses.MSE()
for g in net.grad_parameters(): pass
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A program and the package that it imports, in the folder where the test runs."""
    files = {"__init__.py": INIT, "layers.py": LAYERS, "losses.py": LOSSES}
    (tmp_path / "own_nn").mkdir()
    for name, text in files.items():
        (tmp_path / "own_nn" / name).write_text(text)
    (tmp_path / "train.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(package, monkeypatch):
    """The names that the program has after a run."""
    monkeypatch.syspath_prepend(package)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run():
        for name in [name for name in sys.modules if name.partition(".")[0] == "own_nn"]:
            del sys.modules[name]
        return runpy.run_path("train.py")

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_nn"]:
        del sys.modules[name]


# ---------------------------------------------------------------------------------------------------------------
# a package whose files are named: NN.layers.Linear
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "init",
    [INIT, "from . import layers\nimport own_nn.losses as losses\n", "from .layers import *\nfrom .losses import *\n"],
)
def test_a_program_that_names_the_files_of_a_package(package, init):
    (package / "own_nn" / "__init__.py").write_text(init)
    report = check("train.py")
    assert (report.dialect, report.served) == ("plain", ("Linear", "MSE", "Sequential"))
    assert (report.own, report.missing, report.warnings) == ((), (), ())
    assert "grad_parameters, _train: forward, backward and parameters" in report.evidence


def test_the_own_and_the_missing_of_such_a_package(package):
    (package / "own_nn" / "layers.py").write_text(LAYERS + "class Cube(Module):\n    def forward(self, x): pass\n")
    (package / "train.py").write_text(PROGRAM + "NN.layers.Cube()\nNN.layers.Pool()\n")
    report = check("train.py")
    assert report.own == ("Cube: not in fastnn.compat.plain",)


def test_a_package_that_was_not_found(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(PROGRAM.replace("own_nn", "other_nn") + "NN.layers.Pool()\n")
    report = check(path)
    assert (report.dialect, report.served) == ("plain", ("Linear", "MSE", "Sequential"))
    assert report.missing == ("Pool",)
    assert "grad_parameters: forward, backward and parameters" in report.evidence
    with pytest.raises(ValueError, match=r"from NN, got NN\.layers: import what it has by name first$"):
        port(path)
    path.write_text("import torch\ntorch.nn.Linear(2, 3)\nfor g in net.grad_parameters(): pass\n")
    assert check(path).dialect is None


def test_the_files_of_such_a_package_are_to_be_ported(package, ran):
    with pytest.raises(ValueError) as refused:
        port("train.py")
    assert str(refused.value) == (
        "train.py, line 1: expected only names of fastnn.compat.plain from NN, got NN.layers: "
        "port own_nn/layers.py, own_nn/losses.py themselves"
    )
    for name in ("layers", "losses"):
        assert port(f"own_nn/{name}.py", write=True).written
    names = ran()
    assert type(names["net"]).__module__ == type(names["loss"]).__module__ == "fastnn.compat.plain"
    with pytest.raises(ValueError, match=r"got NN\.layers: own_nn/layers\.py is ported already$"):
        port("train.py")
    report = check("train.py")
    assert (report.dialect, report.served) == ("plain", ("Linear", "MSE", "Sequential"))


def test_a_module_with_a_name_of_its_own_is_to_be_ported(package, ran):
    (package / "framework.py").write_text(PLAIN + "\ndef loader(): return 3\n")
    text = "import framework as fw\nnet = fw.Linear(2, 3)\nn = fw.loader()\n"
    (package / "train.py").write_text(text)
    message = r"got fw\.loader: import it by its own name first or port framework\.py itself$"
    with pytest.raises(ValueError, match=message):
        port("train.py")
    port("framework.py", write=True)
    names = ran()
    assert (type(names["net"]).__module__, names["n"]) == ("fastnn.compat.plain", 3)
    del sys.modules["framework"]


# ---------------------------------------------------------------------------------------------------------------
# the package's own file
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [NORM, "STEPS = 3\n", "def Flatten(x): pass\n"])
def test_a_package_keeps_the_modules_that_have_more(package, ran, more):
    (package / "own_nn" / "layers.py").write_text(LAYERS + "import math\n" + more)
    name = {"c": "BatchNorm", "S": "STEPS", "d": "Flatten"}[more[0]]
    (package / "train.py").write_text(PROGRAM + f"more = NN.layers.{name}\n")
    ported = port("own_nn/__init__.py", write=True)
    assert ported.text == "import fastnn.compat.plain as losses\nfrom . import layers\n"
    assert ported.notes == (
        f"layers has {name}, which fastnn.compat.plain does not serve: its import stays, port own_nn/layers.py itself",
    )
    names = ran()
    assert names["more"] is not None and type(names["net"]).__module__ == "own_nn.layers"
    assert type(names["loss"]).__module__ == "fastnn.compat.plain"


def test_a_package_whose_modules_are_served(package, ran):
    ported = port("own_nn/__init__.py", write=True)
    assert ported.text == "import fastnn.compat.plain as layers\nimport fastnn.compat.plain as losses\n"
    assert "Linear" in ported.report.served and "MSE" in ported.report.served
    assert type(ran()["net"]).__module__ == "fastnn.compat.plain"


def test_a_package_still_binds_its_modules(package, ran):
    (package / "own_nn" / "__init__.py").write_text("from .layers import *\nfrom .losses import MSE\n")
    ported = port("own_nn/__init__.py", write=True)
    assert ported.text == (
        "from . import layers\nfrom fastnn.compat.plain import *\n"
        "from . import losses\nfrom fastnn.compat.plain import MSE\n"
    )
    assert type(ran()["net"]).__module__ == "own_nn.layers"


def test_a_package_of_which_nothing_can_change(package):
    text = "from . import (layers,\n    losses)  # all\n"
    (package / "own_nn" / "__init__.py").write_text(text)
    for name, before in (("layers", LAYERS), ("losses", LOSSES)):
        (package / "own_nn" / f"{name}.py").write_text(before + NORM)
    with pytest.raises(ValueError, match=r"none that fastnn serves: layers has BatchNorm, .*; losses has BatchNorm, "):
        port("own_nn/__init__.py", write=True)
    assert (package / "own_nn" / "__init__.py").read_text() == text
    mixed = text + "from .losses import MSE\n"
    (package / "own_nn" / "__init__.py").write_text(mixed)
    after = "from . import losses\nfrom fastnn.compat.plain import MSE\n"
    assert port("own_nn/__init__.py").text == text + after


def test_an_import_that_stays_keeps_its_form(package):
    (package / "modules.py").write_text(TORCH7 + NORM)
    text = "from modules import (BatchNorm,  # mine\n    )\nfrom modules import Linear\nLinear(2, 3)\n"
    (package / "train.py").write_text(text)
    assert port("train.py").text == text.replace("modules import Linear", "fastnn.compat.torch7 import Linear")

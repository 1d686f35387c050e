"""`fastnn.compat.migration.porting.port` and `fastnn port`: one import changes, every other character stays."""

import errno
import json
import os
import runpy
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest
from compat_texts import FRAMEWORKS, OWN_LAYER, PLAIN, PROGRAM, SNAKE, TORCH7, notebook

from fastnn.cli import main
from fastnn.compat.migration.porting import port

CALLS = "\nnet = Linear(2, 3)\nnet.zeroGradParameters()\n"
STAR = "from fastnn.compat.torch7 import *"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modules.py").write_text(TORCH7 + OWN_LAYER + "\nimport math as plt\nSTEPS = 3\n\ndef plot(): pass\n")
    return tmp_path


@pytest.fixture
def ported(folder):
    """The new text of a program."""

    def run(text, name="train.py", **options):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return port(name, **options).text

    return run


@pytest.fixture
def ran(folder, monkeypatch):
    """The names that a program has after a run."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(name):
        np.random.seed(0)  # noqa: NPY002 (the generator that the frameworks draw from)
        sys.modules.pop("modules", None)
        try:
            return runpy.run_path(name)
        finally:
            sys.modules.pop("modules", None)

    return run


# ---------------------------------------------------------------------------------------------------------------
# programs
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from modules import *", STAR),
        ("import os; from modules import *  # the framework", f"import os; {STAR}  # the framework"),
        ("from modules import *\nTwice()", f"{STAR}\nfrom modules import Twice\nTwice()"),
        ("from modules import *\nplot(np, plt, STEPS)",
         f"{STAR}\nfrom modules import STEPS, plot, plt\nplot(np, plt, STEPS)"),
        ("from modules import *; Twice()", f"{STAR}; from modules import Twice; Twice()"),
        ("try:\n    from modules import *\n    Twice()\nfinally: pass",
         f"try:\n    {STAR}\n    from modules import Twice\n    Twice()\nfinally: pass"),
        ("from modules import *\nclass Twice(Module): pass\nTwice()", f"{STAR}\nclass Twice(Module): pass\nTwice()"),
        ("from modules import Linear, ReLU as R", "from fastnn.compat.torch7 import Linear, ReLU as R"),
        ("from modules import Linear, Twice as T, np",
         "from fastnn.compat.torch7 import Linear, np\nfrom modules import Twice as T"),
        ("from modules import (Linear,\n    Twice)  # both",
         "from fastnn.compat.torch7 import Linear\nfrom modules import Twice  # both"),
        ("from modules import (  # some\n    Linear,\n)", "from fastnn.compat.torch7 import (  # some\n    Linear,\n)"),
        ("from  .modules  import Linear , \\\n    ReLU;x=1",
         "from fastnn.compat.torch7  import Linear , \\\n    ReLU;x=1"),
        ("from.modules import Linear", "from fastnn.compat.torch7 import Linear"),
        ("from .modules import Linear, Twice",
         "from fastnn.compat.torch7 import Linear\nfrom .modules import Twice"),
        ("import modules as m\nm.Linear(2, 3)", "import fastnn.compat.torch7 as m\nm.Linear(2, 3)"),
        ("import modules\nmodules.Linear(2, 3)", "import fastnn.compat.torch7 as modules\nmodules.Linear(2, 3)"),
        ("import os, modules as m, sys", "import os, sys\nimport fastnn.compat.torch7 as m"),
        ("from . import modules as m", "import fastnn.compat.torch7 as m"),
        ("from modules import *\nfrom modules import *\nx = 1", f"{STAR}\nx = 1"),
        ("from modules import *\nfrom modules import Linear", f"{STAR}\nfrom fastnn.compat.torch7 import Linear"),
    ],
)  # fmt: skip
def test_the_import_of_a_framework_changes_alone(ported, before, after):
    assert ported(before + CALLS) == after + CALLS


def test_own_versions_of_names_of_fastnn_come_last(ported, ran, folder):
    (folder / "modules.py").write_text(TORCH7.replace("self, n_in, n_out):", "self, n_in, n_out, bias=True):"))
    text = ported("from modules import *\nReLU()" + CALLS, write=True)
    assert text.startswith(f"{STAR}\nfrom modules import Linear\n")
    assert ran("train.py")["net"].__class__.__module__ == "modules"


def test_names_of_other_libraries_stay_theirs(ported, folder):
    (folder / "modules.py").write_text("from torch.nn import Tanh, Embedding\n" + TORCH7)
    text = ported("from modules import *\nTanh(np.pi), Embedding, ReLU\n" + CALLS)
    assert text.startswith(f"{STAR}\nfrom modules import Embedding, Tanh\n")
    text = ported("from modules import Tanh, ReLU\nfrom modules import *\nTanh()\n" + CALLS)
    first = "from fastnn.compat.torch7 import ReLU\nfrom modules import Tanh\n"
    assert text.startswith(f"{first}{STAR}\nfrom modules import Tanh\nTanh()")


def test_a_package_still_gives_what_it_gave(ported):
    text = ported("from .modules import *\n", "__init__.py")
    assert text == f"{STAR}\nfrom .modules import STEPS, Twice, plot, plt\n"


def test_several_files_of_a_framework(ported, folder):
    split = TORCH7.index("class Criterion")
    (folder / "layers.py").write_text(TORCH7[:split])
    (folder / "criterions.py").write_text(TORCH7[split:])
    text = (
        "from layers import *\nfrom criterions import *\nfrom json import dumps\nfrom criterions import sgd_momentum\n"
    )
    after = f"{STAR}\nfrom json import dumps\nfrom fastnn.compat.torch7 import sgd_momentum\n"
    assert ported(text + CALLS) == after + CALLS
    inside = "if True:\n    from layers import *\n    from criterions import *\n"
    assert ported(inside + CALLS) == f"if True:\n    {STAR}\n    {STAR}\n" + CALLS


def test_a_framework_that_is_not_there(ported, folder):
    os.remove("modules.py")
    assert ported(PROGRAM) == PROGRAM.replace("from modules import *", STAR)
    more = PROGRAM + "Conv3d(plot(__file__, [x for x in range(3)], lambda y: y))\n"
    assert ported(more) == more.replace("from modules import *", f"{STAR}\nfrom modules import Conv3d, plot")
    two = more + "from tools import *\n"
    assert ported(two) == two.replace("from modules import *", f"from modules import *\n{STAR}")
    named = "from homework.net import Linear, Conv3d\n" + CALLS
    line = "from fastnn.compat.torch7 import Linear\nfrom homework.net import Conv3d\n"
    assert ported(named) == line + CALLS
    whole = "import homework as nn\nnn.Linear(2, 3).zeroGradParameters()\n"
    assert ported(whole) == whole.replace("import homework as nn", "import fastnn.compat.torch7 as nn")


@pytest.mark.parametrize("dialect", FRAMEWORKS)
def test_every_dialect(ported, ran, folder, dialect):
    (folder / "modules.py").write_text(FRAMEWORKS[dialect])
    text = ported("from modules import *\nnet = Linear(2, 3)\n", write=True)
    assert text == f"from fastnn.compat.{dialect} import *\nnet = Linear(2, 3)\n"
    assert type(ran("train.py")["net"]).__module__ == f"fastnn.compat.{dialect}"


def test_the_ported_program_runs(ran, folder):
    (folder / "train.py").write_text(PROGRAM + "net.add(Twice())\nout = net.forward(np.ones((2, 4)))\n")
    before = ran("train.py")
    assert before["Linear"].__module__ == "modules"
    assert port("train.py", write=True).written
    after = ran("train.py")
    assert after["Linear"].__module__.startswith("fastnn.compat") and after["Twice"].__module__ == "modules"
    np.testing.assert_allclose(after["out"], before["out"], rtol=1e-12)


@pytest.mark.parametrize(
    "raw",
    [
        PROGRAM.replace("\n", "\r\n").encode(),
        PROGRAM.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + PROGRAM.encode(),
        "# coding: cp1251\n# привет\f\n".encode("cp1251") + PROGRAM.encode(),
        PROGRAM.rstrip("\n").encode(),
        ("x = 'я𝄞'; " + PROGRAM).encode(),
    ],
)
def test_every_other_byte_stays(folder, raw):
    (folder / "train.py").write_bytes(raw.replace(b"net.add(ReLU())", b"net.add(Twice())"))
    assert port("train.py", write=True).written
    newline = b"\r\n" if b"\r\n" in raw else b"\r" if b"\r" in raw else b"\n"
    joint = b"; " if b"; from" in raw else newline
    changed = STAR.encode() + joint + b"from modules import Twice"
    expected = raw.replace(b"net.add(ReLU())", b"net.add(Twice())").replace(b"from modules import *", changed)
    assert (folder / "train.py").read_bytes() == expected


# ---------------------------------------------------------------------------------------------------------------
# notebooks
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("version", [3, 4])
def test_a_notebook_changes_in_one_line(ported, version, lines, indent):
    first = '%matplotlib inline\n# привет "\\\nfrom modules import *  # я\nx = 1'
    before = notebook(first, CALLS, lines=lines, version=version, indent=indent)
    head, tail = before.split(r"# привет \"\\")
    expected = head + r"# привет \"\\" + tail.replace("from modules import *", STAR)
    assert ported(before, "train.ipynb") == expected
    assert tail.count("from modules import *") == 1 and head.count("from modules import *") == 1  # of the prose
    escaped = json.dumps(json.loads(before), indent=indent)  # \u043f, as some editors write it
    assert "\\u043f" in escaped
    (head, *middle, tail) = escaped.split("from modules import *")
    assert ported(escaped, "train.ipynb") == f"{head}from modules import *{''.join(middle)}{STAR}{tail}"


@pytest.mark.parametrize("lines", [True, False])
def test_two_lines_in_a_notebook(ported, lines):
    before = notebook("x = 1\nfrom modules import *\n", "Twice()" + CALLS, lines=lines)
    after = notebook(f"x = 1\n{STAR}\nfrom modules import Twice\n", "Twice()" + CALLS, lines=lines)
    assert ported(before, "train.ipynb") == after
    assert ported(notebook("from modules import *", "Twice()" + CALLS, lines=lines), "train.ipynb") == notebook(
        f"{STAR}\nfrom modules import Twice", "Twice()" + CALLS, lines=lines
    )
    several = notebook("from modules import (\n    Linear,\n    Twice,\n)", CALLS, lines=lines)
    assert ported(several, "train.ipynb") == notebook(
        "from fastnn.compat.torch7 import Linear\nfrom modules import Twice", CALLS, lines=lines
    )


@pytest.mark.parametrize("lines", [True, False])
def test_a_line_that_goes_from_a_notebook(ported, lines):
    before = notebook("from modules import *\nfrom modules import *\ny = 2", CALLS, lines=lines)
    assert ported(before, "train.ipynb") == notebook(f"{STAR}\ny = 2", CALLS, lines=lines)
    before = notebook("from modules import *\nfrom modules import *", CALLS, lines=lines)
    assert ported(before, "train.ipynb") == notebook(STAR, CALLS, lines=lines)
    before = notebook("from modules import *", "from modules import *\n# end", CALLS, lines=lines)
    assert ported(before, "train.ipynb") == notebook(STAR, "# end", CALLS, lines=lines)


def test_a_notebook_that_is_run(ported, folder):
    (folder / "modules.ipynb").write_text(notebook(TORCH7 + OWN_LAYER))
    before = notebook("%run modules.ipynb\n", CALLS)
    assert ported(before, "train.ipynb") == before.replace("%run modules.ipynb", STAR)
    before = notebook("if True:\n    %run ./modules.ipynb\nTwice()", CALLS)
    after = notebook("if True:\n    %run ./modules.ipynb\n    from fastnn.compat.torch7 import Linear\nTwice()", CALLS)
    assert ported(before, "train.ipynb") == after


def test_a_class_that_calls_super_of_its_base_keeps_it(ported, folder):
    (folder / "modules.ipynb").write_text(notebook(TORCH7 + "class Big(Linear): pass\n"))
    before = notebook("%run modules.ipynb", "Big(2, 3), ReLU(), Linear(2, 3)" + CALLS)
    line = '"%run modules.ipynb\\n",\n    "from fastnn.compat.torch7 import ReLU"'
    assert ported(before, "train.ipynb") == before.replace('"%run modules.ipynb"', line)


# ---------------------------------------------------------------------------------------------------------------
# a framework and its program in one file
# ---------------------------------------------------------------------------------------------------------------


def test_the_import_stands_below_the_classes(ported, ran):
    after = ported(TORCH7 + OWN_LAYER + CALLS, "all.py")
    assert after == TORCH7 + f"\n\n{STAR}\n" + OWN_LAYER + CALLS
    assert len(port("all.py").notes) == 1
    port("all.py", write=True)
    names = ran("all.py")
    assert names["Linear"].__module__.startswith("fastnn.compat")
    assert issubclass(names["Twice"], names["Module"])


def test_classes_derived_further_up(ported, ran):
    """`super(Linear, self)` in the file's own Linear fails in a class derived from it once Linear is fastnn's."""
    before, after = TORCH7.split("class ReLU")
    big = "class Big(Linear):\n    def __init__(self):\n        super(Big, self).__init__(2, 3)\n\n\n"
    text = ported(before + big + "class ReLU" + after + CALLS + "big = Big()\n", "all.py")
    assert text.count(STAR) == 2
    assert text.index(STAR) < text.index("class Big") < text.index("class ReLU") < text.rindex(STAR)
    assert len(port("all.py").notes) == 2
    port("all.py", write=True)
    names = ran("all.py")
    assert isinstance(names["big"], names["Linear"])
    assert names["big"].forward([[1.0, 2.0]]).shape == (1, 3)


def test_names_that_are_not_served_are_not_bound_again(ported, ran):
    own = TORCH7.replace("self, n_in, n_out):", "self, n_in, n_out, bias=True):")
    text = ported(own + CALLS, "all.py")
    above = "\n\n\nfrom fastnn.compat.torch7 import Module, Sequential\n\n\nclass Linear"
    below = "import ReLU, BatchNormalization, Criterion, ClassNLLCriterionUnstable, ClassNLLCriterion, sgd_momentum\n"
    assert above in text and text.endswith("\n\n\nfrom fastnn.compat.torch7 " + below + CALLS)
    port("all.py", write=True)
    assert ran("all.py")["net"].__class__.__module__ == "<run_path>"


def test_a_notebook_with_everything(ported):
    cells = SNAKE.split("\n\n")
    before = notebook(*cells, "net = Linear(2, 3)")
    cells[-1] += "\n\nfrom fastnn.compat.snake import *\n"
    assert ported(before, "all.ipynb") == notebook(*cells, "net = Linear(2, 3)")


# ---------------------------------------------------------------------------------------------------------------
# results, writing, errors
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch")
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_diff_is_one_for_patch(ported, folder, end):
    text = ported(PROGRAM.rstrip("\n") + "\nfrom modules import Twice, ReLU" + end)
    done = subprocess.run(
        ["patch", "train.py"], input=port("train.py").diff, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert (folder / "train.py").read_text() == text


def test_the_diff_of_a_notebook_in_one_line_is_that_of_its_cells(ported, folder):
    ported(notebook("from modules import *\n", CALLS + "#" * 2000, indent=None), "train.ipynb")
    diff = port("train.ipynb").diff
    assert diff.splitlines()[:5] == [
        "--- train.ipynb", "+++ train.ipynb", "@@ -1,4 +1,4 @@", "-from modules import *", f"+{STAR}"
    ]  # fmt: skip


def test_the_second_time_nothing_changes(ported, folder):
    text = ported(PROGRAM + "Twice()\n", write=True)
    assert (folder / "train.py").read_text() == text
    again = port("train.py", write=True)
    assert (again.text, again.diff, again.written) == (text, "", False)
    assert again.notes == ("nothing to change: fastnn.compat.torch7 is imported already",)
    assert again.report.dialect == "torch7" and "Linear" in again.report.served
    ported(TORCH7 + CALLS, "all.py", write=True)
    assert port("all.py").diff == ""


def test_writing_is_all_or_nothing(ported, folder, monkeypatch):
    ported(PROGRAM)
    os.chmod("train.py", 0o750)
    os.symlink("train.py", "link.py")

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space", "train.py.part")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match=r"no space: 'train.py'$"):
            port("train.py", write=True)
    assert (folder / "train.py").read_text() == PROGRAM
    assert sorted(os.listdir()) == ["link.py", "modules.py", "train.py"]
    port("link.py", write=True)
    assert os.path.islink("link.py") and (folder / "train.py").read_text().startswith(STAR)
    assert stat.S_IMODE(os.stat("train.py").st_mode) == 0o750
    assert sorted(os.listdir()) == ["link.py", "modules.py", "train.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print(1)\n", "got nothing that tells a dialect"),
        ("import modules as m\nm.Twice(m.Linear(2, 3))\n",
         "train.py, line 1: expected only names of fastnn.compat.torch7 from m, got m.Twice: import it by its own"),
        ("from modules import Twice\nTwice().zeroGradParameters()\n", "got none that fastnn serves"),
        ("print 1\n", "train.py, line 1: expected Python, got 'print 1'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [False, True])
def test_what_cannot_be_ported(ported, folder, text, message, write):
    with pytest.raises(ValueError, match=message):
        ported(text, write=write)
    assert (folder / "train.py").read_text() == text


# ---------------------------------------------------------------------------------------------------------------
# the command
# ---------------------------------------------------------------------------------------------------------------


def test_the_command_shows_and_writes(folder, capsys):
    (folder / "train.py").write_text(PROGRAM)
    assert main(["port", "train.py"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("train.py: fastnn.compat.torch7\n  why: ")
    assert f"\n-from modules import *\n+{STAR}\n" in shown
    assert shown.endswith("\nnothing was written (--write makes the change)\n")
    assert (folder / "train.py").read_text() == PROGRAM
    assert main(["port", "train.py", "--write"]) == 0
    assert capsys.readouterr().out.endswith("\nwritten: train.py\n")
    assert (folder / "train.py").read_text() == PROGRAM.replace("from modules import *", STAR)
    assert main(["port", "train.py", "--write"]) == 0
    assert capsys.readouterr().out.endswith("nothing to change: fastnn.compat.torch7 is imported already\n")


def test_the_command_takes_a_dialect(folder, capsys):
    (folder / "train.py").write_text("from modules import *\nLinear(2, 3)\n")
    (folder / "modules.py").write_text(PLAIN)
    assert main(["port", "train.py", "--dialect", "seminar"]) == 0
    assert "+from fastnn.compat.seminar import *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nothing.py"], 1, "nothing.py: No such file or directory"),
        (["data.txt"], 1, "data.txt: expected a .py or .ipynb file, got a .txt file"),
        (["empty.py", "--write"], 1, "empty.py: expected a framework or a program that uses one, got nothing that "
         "tells a dialect"),
        (["empty.py", "--dialect", "lua"], 2, "argument --dialect: invalid choice"),
        ([], 2, "the following arguments are required: FILE"),
    ],
)  # fmt: skip
def test_the_command_refuses_in_one_line(folder, capsys, arguments, status, message):
    (folder / "data.txt").write_text("x")
    (folder / "empty.py").write_text("x = 1\n")
    assert main(["port", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"fastnn port: error: {message}")

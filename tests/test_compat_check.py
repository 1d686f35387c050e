"""`fastnn.compat.migration.inspection.check`: the dialect, what is served, what stays Python, and what is refused."""

import importlib
import json
import math
import sys

import pytest
from compat_texts import FRAMEWORKS, OWN_LAYER, PLAIN, PROGRAM, SEMINAR, SNAKE, TORCH7, TORCH7_2017, changed, notebook

from fastnn.compat.migration.inspection import check


@pytest.fixture
def checked(tmp_path):
    """The report of a text, in files beside it where there are some."""

    def run(text, name="modules.py", dialect=None, **beside):
        for stem, other in beside.items():
            (tmp_path / f"{stem}.py").write_text(other)
        (tmp_path / name).write_text(text)
        return check(tmp_path / name, dialect)

    return run


# ---------------------------------------------------------------------------------------------------------------
# the dialect
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", FRAMEWORKS)
def test_the_dialect_of_a_framework(checked, dialect):
    report = checked(FRAMEWORKS[dialect])
    assert report.dialect == dialect
    assert report.import_line == f"from fastnn.compat.{dialect} import *"
    assert {"Module", "Linear"} <= set(report.served)
    assert (report.own, report.missing, report.warnings) == ((), (), ())
    assert len(report.evidence) > 2


@pytest.mark.parametrize("dialect", FRAMEWORKS)
def test_the_dialect_of_a_program_is_that_of_the_framework_beside_it(checked, dialect):
    report = checked("from modules import *\nLinear(2, 3)\n", "train.py", modules=FRAMEWORKS[dialect])
    assert (report.dialect, report.served) == (dialect, ("Linear",))


@pytest.mark.parametrize(
    ("dialect", "program"),
    [
        ("torch7", "net.zeroGradParameters()\nclass Cube(Module):\n    def updateOutput(self, input): pass\n"),
        ("torch7", "loss = ClassNLLCriterionUnstable()\nnet.add(SoftMax())\n"),
        ("torch7", "loss = ClassNLLCriterion()\nnet.add(LogSoftMax())\nadam_optimizer(net.getParameters())\n"),
        ("torch7_2017", "loss = ClassNLLCriterion()\nnet.add(SoftMax())\nnet.getParameters()\n"),
        ("torch7_2017", "sgd_momentum(net.getParameters(), g, c, s)\nprint(s['old_grad'])\n"),
        ("torch7_2017", "loss = LogClassNLLCriterion()\n"),
        ("snake", "loss = NLLCriterionUnstable()\nnet.add(Linear(2, 3))\n"),
        ("snake", "SGD(net.get_parameters(), net.get_grad_params(), c, s)\n"),
        ("plain", "net = Sequential(Linear(2, 3))\nfor g in net.grad_parameters(): pass\n"),
        ("seminar", "Linear(2, 3).dumb_forward(x)\nnet.getParameters()\n"),
    ],
)
def test_the_dialect_of_a_program_alone(checked, dialect, program):
    report = checked("import numpy as np\nfrom modules import *\n" + program, "train.py")
    assert report.dialect == dialect
    assert report.evidence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "print('hello')\n",
        "import torch.nn as nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return nn.Linear(2, 3)(x)\n",
        "from torch.nn import Linear, Module, Sequential\nnet = Sequential(Linear(2, 3))\nnet.zero_grad()\n"
        "params, grads = net.parameters(), net.grad_parameters()\n",
        "from torch import nn\nclass Linear(nn.Module):\n    def __init__(self, n_in, n_out):\n"
        "        self.W = nn.Parameter(torch.randn(n_out, n_in))\n",
        "from modules import *\nnet = Sequential()\nnet.forward(x)\n",
        "from sklearn.svm import SVC\nSVC().get_params()\n",
    ],
)
def test_other_programs_speak_no_dialect(checked, text):
    report = checked(text)
    assert (report.dialect, report.served, report.import_line) == (None, (), None)
    assert report.evidence == ("nothing that tells a dialect",)


def test_a_spelling_that_has_no_dialect_is_named(checked):
    text = changed(TORCH7, ("updateOutput", "_compute_output"), ("updateGradInput", "_compute_input_grad"))
    report = checked(text)
    assert report.dialect is None
    assert report.evidence == ("_compute_input_grad, _compute_output: a spelling that fastnn has no dialect for",)


def test_a_dialect_that_is_given_is_taken(checked):
    report = checked("from modules import *\nnet = Sequential()\n", "train.py", dialect="snake")
    assert (report.dialect, report.evidence, report.served) == ("snake", ("as you said",), ("Sequential",))
    with pytest.raises(ValueError, match=r"expected a dialect of torch7, torch7_2017, .*, got 'torch'"):
        checked(TORCH7, dialect="torch")


def test_contradictions_are_warned_of(checked):
    overwriting = checked(changed(TORCH7, ("self.gradW +=", "self.gradW =")))
    assert overwriting.dialect == "torch7"
    assert overwriting.warnings == (
        "Linear overwrites its gradients here and adds to them in torch7: call zeroGradParameters() before each "
        "backward()",
    )
    adding = checked(changed(TORCH7_2017, ("self.gradW = input.T.dot(gradOutput)", "np.add(1, 2, out=self.gradW)")))
    assert adding.warnings == ("Linear adds to its gradients here and overwrites them in torch7_2017",)
    mixed = checked(TORCH7 + "\nnet.zero_grad_params()\n")
    assert mixed.warnings == ("zero_grad_params: snake_case hooks: not as in torch7",)


# ---------------------------------------------------------------------------------------------------------------
# what is served
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        ("class ReLU(Module):", "class Cube(Module):", "Cube: not in fastnn.compat.torch7"),
        ("    def add(self, module)", "    def save(self): pass\n\n    def add(self, module)",
         "Sequential: has a method of its own, save"),
        ("    def __getitem__(self, i)", "    def __matmul__(self, x): pass\n\n    def __getitem__(self, i)",
         "Sequential: has a method of its own, __matmul__"),
        ("    def __getitem__(self, i)", "    def __len__(self): pass\n\n    def __getitem__(self, i)",
         "Sequential: has a method of its own, __len__"),
        ("    def add(self, module)", "    def _helper(self): pass\n\n    def add(self, module)", None),
        ("n_in, n_out):", "n_in, n_out, bias=True):", "Linear: has constructor arguments of its own, bias"),
        ("self, n_in, n_out):", "self, n_out, n_in):",
         "Linear: constructor arguments (n_out, n_in), (n_in, n_out) in torch7"),
        ("self, n_in, n_out):", "self, n_in):", "Linear: constructor arguments (n_in), (n_in, n_out) in torch7"),
        ("self, n_in, n_out):", "self, n_out=[], n_in=2 + 3):",
         "Linear: constructor arguments (n_out=[], n_in=...), (n_in, n_out) in torch7"),
        ("self, n_in, n_out):", "self, n_in, n_out, **more):",
         "Linear: constructor arguments (n_in, n_out), (n_in, n_out) in torch7"),
        ("alpha=0.0", "alpha=0.9", "BatchNormalization: alpha=0.9 by default, 0.0 in torch7"),
        ("alpha=0.0", "momentum=0", None),
        ("EPS = 1e-3", "EPS = 1e-5", "BatchNormalization: EPS = 1e-05, 0.001 in torch7"),
        ("def train(self)", "def train(self, mode)", "Module: train takes (mode), () in torch7"),
        ("(variables, gradients, config, state)", "(variables, gradients, config)",
         "sgd_momentum: arguments (variables, gradients, config), (variables, gradients, config, state) in torch7"),
        ("(variables, gradients, config, state)", "(x, dx, config, state)", None),
        ("def sgd_momentum", "def adam_optimizer", None),
        ('config["learning_rate"]', 'config["alpha"]',
         "sgd_momentum: reads config['alpha'], which is not read in torch7"),
        ("target * input)", "target * np.log(input))",
         "ClassNLLCriterion: takes probabilities here, log-probabilities in torch7"),
    ],
)  # fmt: skip
def test_what_differs_from_the_dialect_stays_python(checked, old, new, own):
    assert TORCH7.count(old) > 0
    report = checked(TORCH7.replace(old, new, 1) if "input)" not in old else changed(TORCH7, (old, new)))
    assert report.dialect == "torch7"
    if own is None:
        assert report.own == ()
    else:
        assert own in report.own
        assert own.partition(":")[0] not in report.served


def test_a_parameter_of_another_name_counts_where_a_call_names_it(checked):
    text = changed(TORCH7, ("self, n_in, n_out):", "self, inputs, outputs):"), ("n_in", "inputs"), ("n_out", "outputs"))
    assert "Linear" in checked(text).served
    assert "Linear: has constructor arguments of its own, outputs" in checked(text + "Linear(2, outputs=3)\n").own


def test_a_method_of_module_itself_is_warned_of(checked):
    report = checked(changed(TORCH7, ("    def train(self)", "    def count(self): pass\n\n    def train(self)")))
    assert "Module: has a method of its own, count" in report.own and "Linear" in report.served
    assert report.warnings == ("Module has a method of its own, count, which served classes lack",)


def test_helpers_of_a_program_are_not_listed(checked):
    more = "\ndef plot(x): pass\n\nclass Timer: pass\n\ndef rmsprop(x, dx, config, state): pass\n"
    report = checked(TORCH7 + OWN_LAYER + more)
    assert report.own == (
        "Twice: not in fastnn.compat.torch7",
        "rmsprop: not in fastnn.compat.torch7",
    )


def test_names_that_nothing_has_are_missing(checked):
    program = "from modules import *\nnet = Sequential()\nnet.add(Conv3d(1, 2))\nnet.getParameters()\nplot(len(X))\n"
    assert checked(program, "train.py").missing == ("Conv3d", "X")
    named = "from modules import Linear, Conv3d, MaxPool3d as Pool\nLinear(2, 3).getParameters()\n"
    assert checked(named, "train.py").missing == ("Conv3d", "MaxPool3d")
    whole = "import modules as m\nm.Linear(2, 3).getParameters()\nm.Conv3d()\n"
    assert checked(whole, "train.py").missing == ("Conv3d",)
    beside = checked("from modules import *\nConv3d()\n", "train.py", modules=TORCH7 + "class Conv3d(Module): pass\n")
    assert (beside.missing, beside.own) == ((), ("Conv3d: not in fastnn.compat.torch7",))


def test_classes_of_other_libraries_are_not_the_framework(checked):
    text = changed(
        TORCH7, ("import numpy as np", "import numpy as np\nfrom torch import nn\nfrom torch.nn import Tanh")
    )
    report = checked("from modules import *\nTanh(), ReLU(), Linear(2, 3), plt\n", "train.py", modules=text)
    assert (report.served, report.own) == (("Linear", "ReLU"), ())
    net = "\nclass Sigmoid(nn.Module):\n    def forward(self, x): pass\n\nclass Sigmoids(Module): pass\n"
    assert "Sigmoid" not in checked(text + net).served


def test_a_framework_in_several_files(checked, tmp_path):
    split = TORCH7.index("class Criterion")
    (tmp_path / "nn").mkdir()
    (tmp_path / "nn" / "__init__.py").write_text(
        "from .layers import *\nfrom .losses import *\nfrom . import nothing\n"
    )
    (tmp_path / "nn" / "layers.py").write_text(TORCH7[:split] + "from nn.losses import *\n")
    (tmp_path / "nn" / "losses.py").write_text("import numpy as np\nfrom .layers import *\n" + TORCH7[split:])
    report = checked("from nn import *\nSequential(), ClassNLLCriterion()\n", "train.py")
    assert (report.dialect, report.served) == ("torch7", ("ClassNLLCriterion", "Sequential"))


def test_a_file_beside_that_cannot_be_read_is_passed_over(checked):
    report = checked("from modules import *\nfrom tools import *\n", "train.py", modules=TORCH7, tools="print 1\n")
    assert report.warnings == ("tools.py, line 1: expected Python, got 'print 1': passed over",)


def test_the_report_in_print(checked):
    report = checked(changed(TORCH7_2017, ("n_in, n_out):", "n_in, n_out, bias):")) + OWN_LAYER)
    lines = str(report).splitlines()
    assert lines[0] == f"{report.path}: fastnn.compat.torch7_2017"
    assert "  why:          updateOutput, updateGradInput, accGradParameters, ...: camelCase hooks" in lines
    assert "                Linear: W of shape (n_in, n_out)" in lines
    assert "  served:       ClassNLLCriterion, Criterion, Module, sgd_momentum" in lines
    assert "  stays Python: Linear: has constructor arguments of its own, bias" in lines
    assert "                Twice: not in fastnn.compat.torch7_2017" in lines
    assert "  import:       from fastnn.compat.torch7_2017 import *" in lines
    assert str(checked("")).splitlines()[0].endswith("modules.py: no dialect of fastnn.compat")


# ---------------------------------------------------------------------------------------------------------------
# notebooks and modules
# ---------------------------------------------------------------------------------------------------------------

MAGICS = """\
%matplotlib inline
!pip install numpy \\
    matplotlib
files = !ls it's
took = %timeit -o f()
if files:
    %cd ..
Linear?
?Linear
for _ in range(3): await step()
remainder = (7
% 2)
text = '''
%not magic
'''
"""


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("version", [3, 4])
def test_notebooks_with_magics(checked, lines, version):
    cells = [MAGICS, "%%bash\nls (\n", "%%html\n<b>", "", "%%time\n" + SNAKE, "\n%%capture out\nSGD()"]
    report = checked(notebook(*cells, lines=lines, version=version), "net.ipynb")
    assert (report.dialect, report.warnings) == ("snake", ())
    assert "Scaling" in report.served


def test_a_notebook_that_runs_another(checked, tmp_path):
    (tmp_path / "modules.ipynb").write_text(notebook(PLAIN))
    report = checked(notebook("%run ./modules.ipynb", "%time net = Sequential(Linear(2, 3), Relu6())"), "train.ipynb")
    assert (report.dialect, report.served) == ("plain", ("Linear", "Sequential"))


def test_a_cell_that_is_no_python_is_passed_over(checked):
    report = checked(notebook("print 'old'", SEMINAR, "def f(:\n"), "net.ipynb")
    assert report.dialect == "seminar"
    assert report.warnings == (
        "net.ipynb, code cell 1, line 1: expected Python, got \"print 'old'\": this cell is passed over",
        "net.ipynb, code cell 3, line 1: expected Python, got 'def f(:': this cell is passed over",
    )


def test_modules(tmp_path, monkeypatch):
    (tmp_path / "my_modules.py").write_text(TORCH7 + "STARTED = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_modules", raising=False)
    module = importlib.import_module("my_modules")
    report = check(module)
    assert (report.path, report.dialect) == (module.__file__, "torch7")
    monkeypatch.delitem(sys.modules, "my_modules")


def test_nothing_is_executed(checked, tmp_path):
    evil = "open('ran', 'w')\nraise SystemExit\n"
    assert checked(evil + PROGRAM, "train.py", modules=evil + TORCH7).dialect == "torch7"
    assert not (tmp_path / "ran").exists() and "modules" not in sys.modules


# ---------------------------------------------------------------------------------------------------------------
# errors
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.py", "x = 1\n" * 11 + "print x\n", "a.py, line 12: expected Python, got 'print x'"),
        ("a.py", "def f(\n", "a.py, line 1: expected Python, got 'def f[(]'"),
        ("a.py", "%matplotlib inline\n", "a.py, line 1: expected Python, got '%matplotlib inline'"),
        ("a.py", "x = (" + "1 + " * 40 + "\n", "a.py, line 1: expected Python, got 'x = [(]1 [+] 1 .*[.]{3}'"),
        ("a.py", "if x:\n", "a.py, line 1: expected Python, got 'if x:'"),
        ("a.py", "x = '\0'\n", "a.py.*: expected (text in an encoding of )?Python, got .*"),  # from 3.14 on
        ("a.py", "(" * 5000, "a.py.*: expected Python, got .*"),
        ("a.py", b"x = '\xff'\n", "a.py: expected text in .*, got .*"),
        ("a.py", b"# coding: klingon\n", "a.py: expected text in an encoding of Python, got .*klingon.*"),
        ("a.ipynb", "{", "a.ipynb: expected a notebook, got no JSON"),
        ("a.ipynb", "[" * 100000, "a.ipynb: expected a notebook, got no JSON"),
        ("a.ipynb", b"\xff\xfe", "a.ipynb: expected text in utf-8, got other bytes"),
        ("a.ipynb", "[]", "a.ipynb: expected a notebook, got other JSON"),
        ("a.ipynb", '"x"', "a.ipynb: expected a notebook, got other JSON"),
        ("a.ipynb", '{"cells": [{"cell_type": "code", "source": [1]}]}', "a.ipynb: .* got other JSON"),
        ("a.ipynb", notebook("x", metadata={"language_info": {"name": "R"}}), "a.ipynb: .* Python, got one of R"),
        ("a.ipynb", notebook("a b\n"), "a.ipynb, code cell 1, line 1: expected Python, got 'a b'"),
        ("a.txt", "x = 1", ".*a.txt: expected a .py or .ipynb file, got a .txt file"),
        ("a", "x = 1", ".*a: expected a .py or .ipynb file, got another file"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^{message}$"):
        check(str(path))


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"^check: expected a path or a module, got int$"):
        check(3)
    with pytest.raises(TypeError, match=r"^check: expected a module with a source file, got math without one$"):
        check(math)
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "nothing.py")
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "nothing")
    with pytest.raises(ValueError, match="got a folder"):
        check(tmp_path)


def test_texts_with_marks_and_codings(tmp_path):
    for number, raw in enumerate(
        [
            b"\xef\xbb\xbf" + TORCH7.encode(),
            "# coding: cp1251\n# привет\n".encode("cp1251") + TORCH7.encode(),
            TORCH7.replace("\n", "\r\n").encode(),
            TORCH7.replace("\n", "\r").encode(),
        ]
    ):
        path = tmp_path / f"m{number}.py"
        path.write_bytes(raw)
        assert check(path).dialect == "torch7"
    book = tmp_path / "b.ipynb"
    book.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(notebook(PLAIN))).encode())
    assert check(book).dialect == "plain"

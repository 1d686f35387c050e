"""`fastnn.compat.verify`: classes of a user's that compute what fastnn's compute, and those that do not."""

import importlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from compat_texts import notebook
from course import VOICES

from fastnn.cli import main
from fastnn.compat import Verification, verify
from fastnn.compat.migration import comparison, verification

COURSE = Path(__file__).parent / "course"
TORCH7 = (COURSE / "torch7.py").read_text()
PLAIN = (COURSE / "plain.py").read_text().replace("from .torch7 import adam_optimizer, sgd_momentum\n", "")
SNAKE = re.sub(r"from .torch7 import .*\n|sgd_momentum = SGD\n", "", (COURSE / "snake.py").read_text())


@pytest.fixture
def verified(tmp_path):
    """The verification of a text, in files beside it where there are some."""

    def run(text, name="modules.py", dialect=None, **beside):
        for stem, other in beside.items():
            (tmp_path / f"{stem}.py").write_text(other)
        (tmp_path / name).write_text(text)
        return verify(tmp_path / name, dialect)

    return run


def changed(text, *pairs):
    """A text with replacements where each is found first, which it has to be."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


# ---------------------------------------------------------------------------------------------------------------
# what is the same
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", VOICES)
def test_the_course_frameworks_are_the_same(dialect):
    voice = VOICES[dialect]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = verify(COURSE / f"{dialect}.py", dialect)
    assert isinstance(found, Verification)
    assert (found.different, found.notes) == ((), ())
    assert found.skipped == ("Criterion, Module: nothing to compute",)
    assert {"Linear", "Sequential", "BatchNormalization", "Dropout", voice.mse} <= set(found.same)
    assert dialect == "seminar" or voice.affine in found.same
    assert {"torch7_2017": "adam_optimizer"}.get(dialect, voice.momentum) in found.same
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("dialect", VOICES)
def test_every_name_of_a_dialect_has_a_comparison(dialect):
    module = VOICES[dialect].compat
    for name in set(module.__all__) - {"np", "Module", "Criterion"}:
        mine = getattr(module, name)
        outcome = comparison.compare(name, mine, mine, dialect)
        assert outcome == ([], [], None), name


def test_modules(tmp_path, monkeypatch):
    (tmp_path / "my_layers.py").write_text(TORCH7)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_layers", raising=False)
    module = importlib.import_module("my_layers")
    assert "Linear" in verify(module).same
    with pytest.raises(TypeError, match="expected a path or a module, got int"):
        verify(3)


def test_the_lines_in_print():
    found = Verification("m.py", "snake", ("Linear", "ReLU"), ("Tanh: a", "Tanh: b"), ("Dropout: c",), ())
    assert str(found).splitlines() == [
        "m.py: compared with fastnn.compat.snake",
        "  same:         Linear, ReLU",
        "  different:    Tanh: a",
        "                Tanh: b",
        "  note:         Dropout: c",
    ]


# ---------------------------------------------------------------------------------------------------------------
# what differs
# ---------------------------------------------------------------------------------------------------------------

SOFTMAX = "self.gradInput = self.output * (gradOutput - dots)"
MOMENTUM = 'np.add(config["momentum"] * old, config["learning_rate"] * gradient, out=old)'
STATISTICS = "self.moving_mean = None\n        self.moving_variance = None"
LISTS = "return [module.getParameters() for module in self.modules]"
FLAT = "return [array for module in self.modules for array in module.getParameters()]"
NEW = ("        self.gradW += np.dot(gradOutput.T, input)\n        self.gradb += ",
       "        self.gradW = np.dot(gradOutput.T, input)\n        self.gradb = ")  # fmt: skip
BAD_ZERO = ("self.gradW.fill(0)", "pass")
VARIANCE = "variance = np.var(input, axis=0)"

SLIPS = [
    (SOFTMAX, "self.gradInput = gradOutput", "SoftMax: backward differs"),
    ("- np.exp(self.output) * np.sum(gradOutput, axis=1, keepdims=True)", "- np.exp(self.output)",
     "LogSoftMax: backward differs"),
    ("size=(n_out, n_in)", "size=(n_out, n_in)) * (1 + 1e-6", "Linear: W differs"),
    ("np.random.uniform(-bound, bound, size=(n_out, n_in))", "np.random.uniform(-bound, bound, size=(n_in, n_out)).T",
     "Linear: W differs"),
    ("self.b = np.random.uniform(-bound, bound, size=n_out)", "self.b = np.zeros(n_out)", "Linear: b differs"),
    (*NEW, "Linear: gradients after two backwards are those of the last one here, their sum in torch7"),
    ("self.gradb += np.sum(gradOutput, axis=0)", "self.gradb += np.mean(gradOutput, axis=0)",
     "Linear: gradb differs (largest difference 3.6; 0.125 times that of torch7)"),
    ("turned = self.W[:, :, ::-1, ::-1]", "turned = self.W", "Conv2d: backward differs"),
    ("self.b = np.random.uniform(-bound, bound, size=out_channels)", "self.b = np.zeros(out_channels)",
     "Conv2d: b differs"),
    ("squares.max(axis=-1)", "squares.mean(axis=-1)", "MaxPool2d: forward differs"),
    ("first = np.arange(k * k) == squares.argmax(axis=-1)[..., None]", "first = squares >= 0",
     "MaxPool2d: backward differs"),
    (*BAD_ZERO, "Linear: gradW after zeroGradParameters() differs"),
    ("return [self.W, self.b]", "return [self.W]", "Linear: getParameters() is [w] here, [w, w] in torch7"),
    ("self.gamma = np.random.uniform(-bound, bound, size=n_out)", "self.gamma = np.ones(n_out)",
     "ChannelwiseScaling: gamma differs"),
    ("gradOutput * input, axis=0", "gradOutput, axis=0", "ChannelwiseScaling: gradGamma differs"),
    (STATISTICS, STATISTICS.replace("None", "0.0"),
     "BatchNormalization: moving_mean after the first batch differs"),
    (VARIANCE, VARIANCE.replace(")", ", ddof=1)"), "BatchNormalization: forward after the first batch differs"),
    ("self.moving_mean * self.alpha + mean * (1 - self.alpha)", "self.moving_mean * 0.5 + mean * self.alpha",
     "BatchNormalization: moving_mean after the second batch differs"),
    ("self.output = input * self.mask / (1 - self.p)", "self.output = input * self.mask",
     "Dropout: forward differs (largest difference 1.2; 0.7 times that of torch7)"),
    ("else:\n            self.output = input\n", "else:\n            self.output = input * (1 - self.p)\n",
     "Dropout: forward in evaluation differs"),
    ("binomial(1, 1 - self.p,", "binomial(1, self.p,", "Dropout: forward differs"),
    ("self.output = np.where(input > 0, input, self.slope * input)",
     "self.output = np.where(input < 0, input, self.slope * input)", "LeakyReLU: forward differs"),
    ("self.alpha * np.exp(input) * gradOutput", "np.exp(input) * gradOutput", "ELU: backward differs"),
    ("2 * (input - target) / input.shape[0]", "(input - target) / input.shape[0]",
     "MSECriterion: backward differs (largest difference 0.33; 0.5 times that of torch7)"),
    ("np.sum(np.power(input - target, 2)) / input.shape[0]", "np.mean(np.power(input - target, 2))",
     "MSECriterion: forward differs"),
    ("np.sum(np.power(input - target, 2))", "np.sum(np.power(input - target, 2), axis=1)",
     "MSECriterion: forward has shape (8,) here, () in torch7"),
    ("clipped = np.clip(input, self.EPS", "clipped = np.clip(np.exp(input) / np.exp(input).sum(1)[:, None], self.EPS",
     "ClassNLLCriterionUnstable: forward differs"),
    (MOMENTUM, 'np.add(config["momentum"] * old, (1 - config["momentum"]) * gradient, out=old)',
     "sgd_momentum: step 1 differs"),
    ('config["momentum"] * old', "0 * old", "sgd_momentum: step 2 differs"),
    ("np.sqrt(v) + config", "np.sqrt(v + config", "adam_optimizer: step 1 differs"),
    (LISTS, FLAT, "Sequential: getParameters() is [w, w, w] here, [[w, w], [], [w]] in torch7"),
    ("            module.zeroGradParameters()", "            pass",
     "Sequential: zeroGradParameters() reaches itself alone here, its layers in torch7"),
    ("backward(inputs[i], self.gradInput)", "backward(inputs[0], self.gradInput)", "Sequential: backward differs"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), SLIPS, ids=[line for *_, line in SLIPS])
def test_a_slip_is_found_and_nothing_else(old, new, line):
    text = changed(TORCH7, (old, new))
    if new.endswith("v + config"):
        text = text.replace('config["epsilon"])', 'config["epsilon"]))')
    names: dict = {"__name__": "slip"}
    exec(text, names)
    name, line = line.split(": ", 1)
    for other in set(names["__all__"]) - {"np"}:
        outcome = comparison.compare(other, names[other], getattr(VOICES["torch7"].compat, other), "torch7")
        assert bool(outcome.different) == (other == name), outcome
        assert other != name or any(each.startswith(line) for each in outcome.different), outcome.different


def test_each_slip_has_its_own_lines(verified):
    found = verified(changed(TORCH7, (STATISTICS, STATISTICS.replace("None", "0.0"))))
    assert [line.partition(" differs")[0] for line in found.different] == [
        "BatchNormalization: moving_mean after the first batch",
        "BatchNormalization: moving_variance after the first batch",
        "BatchNormalization: forward in evaluation",
    ]


def test_other_dialects(verified):
    found = verified(changed(PLAIN, ("self.grad_b = np.sum", "self.grad_b = np.mean")), dialect="plain")
    assert len(found.different) == 1 and "grad_b differs" in found.different[0] and "0.125 times" in found.different[0]
    turned = changed(PLAIN, ("size=(dim_out, dim_in)", "size=(dim_in, dim_out)"), ("self.W.T)", "self.W)"))
    turned = changed(turned, ("grad_output, self.W)", "grad_output, self.W.T)"),
                     ("np.dot(grad_output.T, input)", "np.dot(input.T, grad_output)"))  # fmt: skip
    assert verified(turned, dialect="plain").different == ("Linear: W has shape (5, 4) here, (4, 5) in plain",)
    found = verified(changed(SNAKE, ("self.gradW = np.dot", "self.gradW += np.dot")), dialect="snake")
    assert found.different == (
        "Linear: gradients after two backwards are something else here, those of the last one in snake",
    )
    assert verified(PLAIN + "class Loss:\n    pass\nMSE = Loss\n", dialect="plain").same


def test_notes_are_no_differences(verified):
    drawn = ("np.random.binomial(1, 1 - self.p, size=input.shape)", "np.random.rand(*input.shape) > self.p")
    alone = ("            module.evaluate()\n", "            pass\n")
    late = ("self.gradInput = gradOutput / np.sqrt(self.moving_variance + self.EPS)", "self.gradInput = gradOutput")
    found = verified(changed(TORCH7, drawn, alone, late))
    assert found.different == ()
    assert {"BatchNormalization", "Dropout", "Sequential"} <= set(found.same)
    late, draw, modes = found.notes
    assert re.fullmatch(r"BatchNormalization: backward in evaluation differs \(largest difference .*\)", late)
    assert draw == "Dropout: draws its mask in another way: the same seed gives other zeros"
    assert modes.startswith("Sequential: the switch to evaluation reaches itself alone here, its layers in torch7: ")


def test_a_mask_with_the_wrong_rate_is_a_difference(verified):
    drawn = ("np.random.binomial(1, 1 - self.p, size=input.shape)", "np.random.rand(*input.shape) < self.p")
    found = verified(changed(TORCH7, drawn))
    assert found.notes == () and found.different[0].startswith("Dropout: forward differs")


def test_what_cannot_be_compared_says_why(verified):
    text = changed(TORCH7, (SOFTMAX, "self.gradInput = probs"), ("self.output = np.tanh(input)", "self.output = None"))
    text = changed(
        text,
        (
            "class ELU(Module):\n    def __init__(self, alpha=1.0):\n",
            "class ELU(Module):\n    def __init__(self, alpha=1.0):\n        raise OSError\n",
        ),
    )
    found = verified(text)
    assert found.different == ()
    assert found.skipped == (
        "Criterion, Module: nothing to compute",
        "ELU: the constructor raises OSError",
        "SoftMax: backward raises NameError: name 'probs' is not defined",
        "Tanh: forward gives None",
    )
    alone = verified("from elsewhere import *\nLinear(2, 3).accGradParameters()\n", "train.py", dialect="torch7")
    assert (alone.same, alone.skipped) == ((), ("Linear: defined in no file that was found",))
    ported = verified(TORCH7 + "\nfrom fastnn.compat.torch7 import *\n", dialect="torch7")
    assert ported.same == () and any("fastnn's own already" in line for line in ported.skipped)


# ---------------------------------------------------------------------------------------------------------------
# the process
# ---------------------------------------------------------------------------------------------------------------


def test_what_runs_of_a_program(verified, tmp_path, capfd):
    """The framework beside it is imported; the program is not. What either prints is not shown."""
    noise = "\nprint('noise')\nimport os\nos.write(1, b'noise')\nopen('ran', 'w').close()\n"
    program = "from modules import *\nnet = Linear(2, 3)\nraise SystemExit\n"
    found = verified(program, "train.py", modules=TORCH7 + noise)
    assert (found.same, found.skipped) == (("Linear",), ())
    assert (tmp_path / "ran").exists() and capfd.readouterr().out == ""


def test_a_program_with_the_classes_in_it_does_not_train(verified, tmp_path):
    rest = "\nX = open('ran', 'w')\nfor _ in range(3):\n    X = open('ran', 'w')\nLIMIT = np.finfo(float).eps\n"
    text = changed(TORCH7, ("np.maximum(input, 0)", "np.maximum(input, LIMIT * 0)"))
    assert "ReLU" in verified(text + rest).same
    assert not (tmp_path / "ran").exists()


def test_a_notebook_runs_its_definitions(verified, tmp_path):
    cells = ["%matplotlib inline\nimport no_such_library\n", "open('ran', 'w')", TORCH7, "open('ran', 'w').close()"]
    found = verified(notebook(*cells), "net.ipynb")
    assert len(found.same) == len(set(VOICES["torch7"].compat.__all__) - {"np", "Module", "Criterion"})
    assert not (tmp_path / "ran").exists()
    broken = verified(notebook(changed(TORCH7, ("class ReLU(Module)", "class ReLU(Modul)"))), "net.ipynb", "torch7")
    assert "ReLU: its definition cannot be run alone" in broken.skipped


def test_files_of_a_package_and_of_names_of_the_library(verified, tmp_path):
    split = TORCH7.index("class Criterion:")
    (tmp_path / "nn").mkdir()
    (tmp_path / "nn" / "__init__.py").write_text("from .layers import *\nfrom .copy import *\n")
    (tmp_path / "nn" / "layers.py").write_text(re.sub(r"(?s)__all__ = .*?\n\]", "", TORCH7[:split]))
    (tmp_path / "nn" / "copy.py").write_text("import numpy as np\n" + TORCH7[split:])
    found = verified("from nn import *\nLinear(2, 3), MSECriterion(), Sequential().getParameters()\n", "train.py")
    assert found.same == ("Linear", "MSECriterion", "Sequential")
    found = verified("from copy import *\nLinear(2, 3).getParameters()\n", "train.py", dialect="torch7", copy=TORCH7)
    assert found.same == ("Linear",)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("\n\nx = 1 / 0\n", r"modules.py: expected a framework that can be run, got ZeroDivisionError: "
                            r"division by zero \(modules.py, line \d+\)$"),
        ("import no_such_library\n", "got ModuleNotFoundError: No module named 'no_such_library' "),
        ("raise SystemExit\n", r"got SystemExit \(modules.py, line"),
        ("x = input()\n", "got EOFError"),
        ("import os\nx = os._exit(3)\n", "got an end of Python with status 3$"),
        ("while True: pass\n", None),
        ("x = [None for _ in iter(int, 1)]\n", "got no end within 1 seconds$"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_run(verified, monkeypatch, code, message):
    monkeypatch.setattr(verification, "LIMIT", 1 if "1 seconds" in str(message) else 60)
    if message is None:  # a program with the classes in it: its loop is not run
        assert verified(TORCH7 + code).same
        return
    with pytest.raises(ValueError, match=message) as caught:
        verified(TORCH7 + code)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"), [("while True: pass", "no end within 5 seconds"), ("import os; os._exit(3)", "status 3")]
)
def test_a_class_that_ends_everything_is_named(verified, monkeypatch, code, message):
    monkeypatch.setattr(verification, "LIMIT", 5)
    text = changed(TORCH7, ("self.output = np.tanh(input)", code))
    with pytest.raises(ValueError, match=f"modules.py: expected a Tanh that can be run, got .*{message}"):
        verified(text)


def test_what_is_no_framework(verified):
    with pytest.raises(ValueError, match=r"expected a framework or a program that uses one, got nothing that tells"):
        verified("print('hello')\n")


# ---------------------------------------------------------------------------------------------------------------
# the command
# ---------------------------------------------------------------------------------------------------------------


def test_the_command_writes_only_what_is_the_same(tmp_path, capsys):
    path, own = os.fspath(tmp_path / "train.py"), "from modules import *\nSoftMax(), Sequential().getParameters()\n"
    Path(path).write_text(own)
    (tmp_path / "modules.py").write_text(changed(TORCH7, (SOFTMAX, "self.gradInput = gradOutput")))
    message = "other numbers in SoftMax than in fastnn.compat.torch7"
    for options in ([], ["--write"]):
        assert main(["port", path, "--verify", *options]) == 1
        shown = capsys.readouterr()
        assert "served:       Sequential, SoftMax" in shown.out
        assert "  different:    SoftMax: backward differs (largest difference " in shown.out
        assert shown.err == f"fastnn port: error: {path}: {message}; nothing was written\n"
        assert Path(path).read_text() == own
    (tmp_path / "modules.py").write_text(TORCH7)
    assert main(["port", path, "--verify", "--write"]) == 0
    assert "  same:         Sequential, SoftMax\n" in capsys.readouterr().out
    assert Path(path).read_text().startswith("from fastnn.compat.torch7 import *\n")

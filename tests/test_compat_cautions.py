"""What `fastnn.compat.check` warns of: other numbers, calls that need more arguments, nets built in other files."""

import pytest
from compat_texts import OWN_LAYER, PLAIN, SEMINAR, SNAKE, TORCH7, TORCH7_2017, changed, notebook

from fastnn.compat import check, port


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """The report of a text in the folder of the test, with files beside it where there are some."""
    monkeypatch.chdir(tmp_path)

    def run(text, name="modules.py", dialect=None, **beside):
        for stem, other in beside.items():
            (tmp_path / f"{stem}.py").write_text(other)
        (tmp_path / name).write_text(text)
        return check(name, dialect)

    return run


# ---------------------------------------------------------------------------------------------------------------
# Linear
# ---------------------------------------------------------------------------------------------------------------

OTHER_WEIGHTS = "the same seed gives other weights"


@pytest.mark.parametrize(
    ("dialect", "text", "pair", "here", "there"),
    [
        ("torch7", TORCH7, ("(n_out, n_in)", "(n_in, n_out)"), "(in, out)", "(out, in)"),
        ("torch7_2017", TORCH7_2017, ("(n_in, n_out)", "(n_out, n_in)"), "(out, in)", "(in, out)"),
        ("snake", SNAKE, ("(n_in, n_out)", "(n_out, n_in)"), "(out, in)", "(in, out)"),
        ("plain", PLAIN, ("(dim_out, dim_in)", "(dim_in, dim_out)"), "(in, out)", "(out, in)"),
        ("plain", PLAIN, ("randn(dim_out, dim_in)", "uniform(-1, 1, size=(dim_in, dim_out))"),
         "(in, out)", "(out, in)"),
        ("seminar", SEMINAR, ("(n_out, n_in)", "(n_in, n_out)"), "(in, out)", "(out, in)"),
    ],
)  # fmt: skip
def test_weights_that_are_drawn_the_other_way(checked, dialect, text, pair, here, there):
    report = checked(changed(text, pair))
    assert report.dialect == dialect
    assert report.warnings == (f"Linear is W {here} here but {there} in {dialect}: {OTHER_WEIGHTS}",)
    beside = checked("from modules import *\nLinear(2, 3)\n", "train.py")
    assert beside.warnings == report.warnings


CONV2D = """

class Conv2d(Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        self.W = np.zeros((out_channels, in_channels, kernel_size, kernel_size))
        self.gradW = np.zeros_like(self.W)

    def accGradParameters(self, input, gradOutput):
        for i in range(len(self.W)):
            self.gradW[i] += correlated(input, gradOutput[:, i])

"""
FRESH = ("        for i in range", "        self.gradW = np.zeros_like(self.W)\n        for i in range")


def test_gradients_of_a_convolution(checked):
    text = TORCH7.replace("class ReLU(", CONV2D + "class ReLU(")
    assert checked(text).warnings == ()
    clear = "call zeroGradParameters() before each backward()"
    line = f"Conv2d overwrites its gradients here and adds to them in torch7: {clear}"
    assert checked(changed(text, FRESH)).warnings == (line,)
    assert checked(changed(text, ("self.gradW[i] += ", "self.gradW[i] = "))).warnings == (line,)
    mean = checked(changed(text, ("gradOutput[:, i])", "gradOutput[:, i]).mean(0)")))
    assert mean.warnings == ("Conv2d: gradW is the mean over the batch here, the sum in torch7",)


def test_a_seminar_that_overwrites_its_gradients(checked):
    hook = "        return input.dot(self.W.T)\n\n    def accGradParameters(self, input, gradOutput):\n        "
    overwriting = changed(
        SEMINAR, ("        return input.dot(self.W.T)\n", f"{hook}self.gradW = gradOutput.T @ input\n")
    )
    report = checked(overwriting)
    assert (report.dialect, report.warnings) == ("seminar", ())
    assert "Linear: gradients are overwritten" in report.evidence
    adding = checked(changed(overwriting, ("self.gradW = grad", "self.gradW += grad")))
    assert adding.dialect == "seminar"
    assert adding.warnings == ("Linear adds to its gradients here and overwrites them in seminar",)


def test_a_linear_with_b_is_not_the_seminar_s(checked):
    overwriting = changed(TORCH7, ("self.gradW +=", "self.gradW ="), ("self.gradb +=", "self.gradb ="))
    text = overwriting[: overwriting.index("class ReLU")]
    report = checked(text)
    assert report.dialect == "torch7"
    assert "Linear has b here and none in seminar" in checked(text, dialect="seminar").warnings


BACKWARD = """
    def backward(self, input, grad_output):
        n = input.shape[0]
        self.grad_b = {b}
        {W}
        return np.dot(grad_output, self.W)

class MSE(Module)"""
SUM_B, SUM_W = "np.sum(grad_output, axis=0)", "self.grad_W = np.dot(grad_output.T, input)"


@pytest.mark.parametrize(
    ("b", "W", "warnings"),
    [
        (SUM_B, SUM_W, []),
        (f"1 / 2 * {SUM_B}", SUM_W, []),
        ("np.mean(grad_output, axis=0)", SUM_W, ["grad_b is the mean over the batch here"]),
        ("grad_output.mean(axis=0)", SUM_W, ["grad_b is the mean over the batch here"]),
        ("np.average(grad_output, 0)", SUM_W, ["grad_b is the mean over the batch here"]),
        (SUM_B, f"{SUM_W}\n        self.grad_W /= input.shape[0]", ["grad_W is divided by input.shape[0] here"]),
        (SUM_B, f"{SUM_W} / len(input)", ["grad_W is divided by len(input) here"]),
        (SUM_B, f"{SUM_W} * (1 / n)", ["grad_W is divided by n here"]),
        (SUM_B, "g = grad_output / n\n        self.grad_W = g.T.dot(input)", ["grad_W is divided by n here"]),
        (SUM_B, "g = grad_output.T\n        g /= n\n        self.grad_W = g.dot(input)",
         ["grad_W is divided by n here"]),
        (SUM_B, "self.grad_W[:] = np.dot(grad_output.T, input) / n", ["grad_W is divided by n here"]),
        ("grad_output.mean(0)", f"{SUM_W} / n",
         ["grad_b is the mean over the batch here", "grad_W is divided by n here"]),
    ],
)  # fmt: skip
def test_gradients_that_are_means_over_the_batch(checked, b, W, warnings):
    text = changed(PLAIN, ("\nclass MSE(Module)", BACKWARD.format(b=b, W=W)))
    report = checked(text)
    assert (report.dialect, "Linear" in report.served) == ("plain", True)
    assert sorted(report.warnings) == sorted(f"Linear: {line}, the sum in plain" for line in warnings)


def test_means_over_the_batch_in_other_dialects(checked):
    text = changed(TORCH7, ("gradOutput.sum(axis=0)", "gradOutput.mean(axis=0)"))
    assert checked(text).warnings == ("Linear: gradb is the mean over the batch here, the sum in torch7",)
    text = changed(SNAKE, ("input.T @ grad_output", "input.T @ grad_output / len(input)"))
    assert checked(text).warnings == ("Linear: gradW is divided by len(input) here, the sum in snake",)
    text = changed(
        TORCH7_2017, ("gradOutput.sum(axis=0)\n", "gradOutput.sum(axis=0)\n        self.gradW /= len(input)\n")
    )
    assert checked(text).warnings == ("Linear: gradW is divided by len(input) here, the sum in torch7_2017",)
    own = changed(SNAKE, ("input.T @ grad_output", "input.mean()"), ("n_in, n_out):", "n_in, n_out, bias):"))
    assert checked(own).warnings == ()  # it stays Python


def test_gradients_that_plain_adds_to(checked):
    text = changed(PLAIN, ("\nclass MSE(Module)", BACKWARD.format(b=SUM_B, W=SUM_W.replace("=", "+=", 1))))
    assert checked(text).warnings == ("Linear adds to its gradients here and overwrites them in plain",)


# ---------------------------------------------------------------------------------------------------------------
# Sequential
# ---------------------------------------------------------------------------------------------------------------

LOOP = "found = []\n        for module in self.modules:\n            {}\n        return found"
ASKED = "module.getParameters()"


@pytest.mark.parametrize(
    ("body", "is_flat"),
    [
        (LOOP.format(f"found.extend({ASKED})"), True),
        (LOOP.format(f"found += {ASKED}"), True),
        (LOOP.format(f"found = found + {ASKED}"), True),
        (LOOP.format(f"p = {ASKED}\n            found += p"), True),
        (LOOP.format(f"for p in {ASKED}:\n                found.append(p)"), True),
        (LOOP.format(f"found += [*{ASKED}]"), True),
        (f"return [p for module in self.modules for p in {ASKED}]", True),
        (f"return sum([{ASKED} for module in self.modules], [])", True),
        (f"return list(itertools.chain(*[{ASKED} for module in self.modules]))", True),
        (LOOP.format(f"found.append({ASKED})"), False),
        (LOOP.format(f"found += [{ASKED}]"), False),
        (LOOP.format(f"p = {ASKED}\n            found.append(p)"), False),
        (f"found = []\n        found.extend({ASKED} for module in self.modules)\n        return found", False),
        (f"return [{ASKED} for module in self.modules]", False),
        ("return self.everything", None),
    ],
)
def test_parameters_in_one_list_or_a_list_a_layer(checked, body, is_flat):
    nested = "return [module.getParameters() for module in self.modules]"
    line = "Sequential.getParameters() is one flat list here, a list a layer in torch7"
    assert checked(changed(TORCH7, (nested, body))).warnings == ((line,) if is_flat else ())
    start = "        self.layers = layers\n"
    method = f"{start}\n    def parameters(self):\n        {body}\n".replace("getParameters", "parameters")
    line = "Sequential.parameters() is a list a layer here, one flat list in plain"
    assert checked(changed(PLAIN, (start, method))).warnings == ((line,) if is_flat is False else ())


# ---------------------------------------------------------------------------------------------------------------
# arguments and states
# ---------------------------------------------------------------------------------------------------------------

ADAM = TORCH7.replace("def sgd_momentum", "def adam_optimizer").replace("config, state)", "config, state=None)")
NO_DEFAULT = "adam_optimizer: state=None by default here, no default in torch7: give it in each call"


def test_a_default_that_the_dialect_lacks(checked):
    report = checked(ADAM)
    assert ("adam_optimizer" in report.served, report.own, report.warnings) == (True, (), (NO_DEFAULT,))
    start = "from modules import *\nLinear(2, 3).getParameters()\n"
    assert checked(start, "train.py").warnings == ()
    for call in ("adam_optimizer(w, g, c, s)", "adam_optimizer(w, g, c, state=s)", "adam_optimizer(*a)", "f(**a)"):
        report = checked(f"{start}f = adam_optimizer\n{call}\n", "train.py")
        assert (report.own, report.warnings) == ((), (NO_DEFAULT,))
        assert "adam_optimizer" in report.served


def test_a_default_that_a_call_needs(checked):
    report = checked("from modules import *\nadam_optimizer(w, g, c)\n", "train.py", modules=ADAM)
    assert report.own == (
        "adam_optimizer: arguments (variables, gradients, config, state=None), "
        "(variables, gradients, config, state) in torch7",
    )
    assert (report.served, report.warnings) == ((), ())
    text = changed(TORCH7, ("self, n_in, n_out):", "self, n_in, n_out=2):"))
    line = "Linear: n_out=2 by default here, no default in torch7: give it in each call"
    assert checked(text + "Linear(2, 3)\n").warnings == (line,)
    own = checked(text + "Linear(2)\n").own
    assert own == ("Linear: constructor arguments (n_in, n_out=2), (n_in, n_out) in torch7",)


def test_the_early_name_of_the_state(checked):
    line = "state['old_grad'] is not there in torch7_2017: sgd_momentum keeps state['accumulated_grads']"
    program = "from modules import *\nsgd_momentum(net.getParameters(), g, c, s)\nprint(s['old_grad'])\n"
    alone = checked(program, "train.py")
    assert (alone.dialect, alone.warnings) == ("torch7_2017", (line,))
    assert checked(program, "train.py", modules=TORCH7_2017).warnings == (line,)
    assert checked(notebook(TORCH7_2017, "s['old_grad']"), "all.ipynb").warnings == (line,)
    assert checked(TORCH7_2017).warnings == ()  # sgd_momentum's own use
    in_torch7 = checked("s['old_grad']\n" + TORCH7)
    assert line.replace("torch7_2017", "torch7") in in_torch7.warnings


# ---------------------------------------------------------------------------------------------------------------
# nets that are built in another file
# ---------------------------------------------------------------------------------------------------------------

NET = """\
from modules import *

def head():
    return Linear(3, 2)

def _body():
    return [ReLU(), BatchNormalization(), Sequential(), ClassNLLCriterion()]

def get_model(n):
    net = Sequential()
    net.add(_body())
    net.add(head())
    return net

def scale(x):
    return x / x.max()
"""
USES = "uses BatchNormalization, ClassNLLCriterion, Linear, ReLU, ... there: port net.py too"


@pytest.mark.parametrize(
    "program",
    [
        "from modules import *\nfrom net import get_model, scale\nget_model(2)\nscale(X)\n",
        "from net import *\nget_model(2), scale(X)\n",
        "from modules import *\nimport net\nmodel = net.get_model(2)\n",
        "from modules import *\nimport net as builders\nmap(builders.get_model, [2])\n",
    ],
)
@pytest.mark.parametrize("star", ["from modules import *", "from modules import Linear, ReLU"])
def test_a_net_that_another_file_builds(checked, program, star):
    text = f"{program}ClassNLLCriterion().zeroGradParameters()\n"
    report = checked(text, "train.py", modules=TORCH7, net=NET)
    assert report.warnings == (f"get_model, kept from net.py, {USES}",)
    short = checked(text, "train.py", net=NET.replace("from modules import *", star)).warnings
    assert short == report.warnings if "*" in star else "uses Linear, ReLU there: port net.py too" in short[0]
    in_one_file = checked(text.replace("net import", "modules import"), "train.py", modules=TORCH7, net="")
    assert in_one_file.warnings == ()


def test_a_net_of_modules_by_another_name(checked):
    net = "import modules as m\ndef get_model():\n    return m.Linear(2, 3)\n"
    report = checked("import net\nnet.get_model().zeroGradParameters()\n", "train.py", modules=TORCH7, net=net)
    assert report.dialect == "torch7"
    assert report.warnings == ("get_model, kept from net.py, uses Linear there: port net.py too",)


def test_a_net_of_a_file_that_is_ported(checked, tmp_path):
    program = "from modules import *\nfrom net import *\nget_model(2).zeroGradParameters()\nReLU()\n"
    assert checked(program, "train.py", modules=TORCH7, net=NET).warnings
    port("net.py", write=True)
    assert check("train.py").warnings == ()
    (tmp_path / "net.py").write_text(NET)
    port("train.py", write=True)
    assert check("train.py").warnings == (f"get_model, kept from net.py, {USES}",)
    port("modules.py", write=True)
    assert check("train.py").warnings == ()


def test_what_is_kept_without_layers_is_not_warned_of(checked):
    beside = TORCH7 + OWN_LAYER + "\ndef plot(): pass\n"
    assert checked("from modules import *\nTwice(), plot(), Linear(2, 3)\n", "train.py", modules=beside).warnings == ()
    torch = "from torch import nn\nfrom torch.nn import ReLU\ndef make():\n    return nn.Linear(2, 3), ReLU()\n"
    program = "from modules import *\nfrom other import make\nmake(), Linear(2, 3)\n"
    assert checked(program, "train.py", other=torch).warnings == ()


def test_the_file_to_port_is_named_as_the_program_is(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("")
    (tmp_path / "modules.py").write_text(TORCH7)
    (tmp_path / "src" / "net.py").write_text(NET)
    (tmp_path / "src" / "train.py").write_text("from src.net import *\nget_model(2), Linear(2, 3)\n")
    monkeypatch.chdir(tmp_path)
    assert "kept from src/net.py, uses" in check("src/train.py").warnings[0]
    monkeypatch.chdir(tmp_path / "src")
    assert "kept from net.py, uses" in check("train.py").warnings[0]
    (tmp_path / "src" / "run.py").write_text("from src.net import get_model\nget_model(2)\n")
    with pytest.raises(
        ValueError, match=r"none that fastnn serves: get_model, kept from net\.py, uses .*: port net\.py"
    ):
        port("run.py")

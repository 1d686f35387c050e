"""`Module.summary` and the tree for notebooks: the numbers, and that a look at a model leaves it as it is."""

import copy
import random
import threading
from html.parser import HTMLParser

import numpy as np
import pytest
from cases import LAYERS
from support import same_bits

import fastnn
from fastnn import nn


def network():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(12, 8, rng=0),
        nn.BatchNorm1d(8),
        nn.Sequential(nn.Dropout(0.2, rng=0), nn.GELU(), nn.Linear(8, 5, bias=False, rng=1)),
        nn.LogSoftmax(),
    )


class Noisy(nn.Module):
    """Draws from every generator there is, keeps its input, counts its forwards, and has a module as an attribute."""

    param_names = ("scale",)

    def __init__(self):
        self.scale, self.grad_scale = np.ones(3, np.float64), np.zeros(3, np.float64)
        self.inner = nn.Linear(3, 3, rng=0)
        self.count, self.rng = 0, np.random.default_rng(0)

    def update_output(self, input):
        self.count += 1
        self.kept = input
        self.scale *= 2
        noise = self.rng.random() + np.random.rand() + fastnn.random.generator(None).random()  # noqa: NPY002
        return self.inner.forward(self.inner(input)) * self.scale + noise


def test_the_numbers():
    summary = network().summary((3, 4))
    got = [(layer.name, layer.type, layer.output_shape, layer.parameters, layer.macs) for layer in summary.layers]
    assert got == [
        ("", "Sequential", (2, 5), 0, 0),
        ("0", "Flatten", (2, 12), 0, 0),
        ("1", "Linear", (2, 8), 104, 96),
        ("2", "BatchNorm1d", (2, 8), 16, 8),
        ("3", "Sequential", (2, 5), 0, 0),
        ("3.0", "Dropout", (2, 8), 0, 0),
        ("3.1", "GELU", (2, 8), 0, 0),
        ("3.2", "Linear", (2, 5), 40, 40),
        ("4", "LogSoftmax", (2, 5), 0, 0),
    ]
    assert (summary.parameters, summary.macs, summary.parameter_bytes) == (160, 144, 640)
    assert (summary.dtypes, summary.input_shape, summary.input_dtype) == (("float32",), (3, 4), "float32")
    assert network().astype(np.float64).summary((12,)).parameter_bytes == 1280
    text = str(summary)
    assert (
        text == repr(summary) and "3.2" in text and "(N, 5)" in text and "parameters: 160 (float32, 640 bytes)" in text
    )


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
def test_every_layer(row):
    for shape in row.shapes:
        if len(shape) < 2:
            continue
        layer = row.layer(np.float32)
        x = np.zeros((2, *shape[1:]), np.int64 if row.indices else np.float32)
        summary = layer.summary(shape[1:], x.dtype)
        assert summary.parameters == sum(array.size for array in layer.parameters())
        output = layer.eval().forward(x)
        assert summary.layers[0].output_shape == output.shape
        size, work = np.prod(shape[1:]), 0
        for part in layer.modules():
            work += part.weight.size if isinstance(part, nn.Linear) else 0
            work += size if isinstance(part, (nn.ChannelwiseScale, nn.BatchNorm2d)) else 0
            work += np.prod([part.num_features, *shape[2:]]) if isinstance(part, nn.BatchNorm1d) else 0
            work += 2 * size if isinstance(part, (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)) else 0
            work += part.weight.size * np.prod(output.shape[2:]) if isinstance(part, (nn.Conv1d, nn.Conv2d)) else 0
            work += part.weight.size * np.prod(shape[2:]) if isinstance(part, nn.ConvTranspose2d) else 0
        assert summary.macs == work


def test_layers_used_twice_count_their_parameters_once_and_their_work_twice():
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer), nn.Linear(6, 2))
    summary = model.summary(6)
    assert [layer.parameters for layer in summary.layers] == [0, 42, 0, 0, 0, 14]
    assert [layer.macs for layer in summary.layers] == [0, 36, 0, 0, 36, 12]
    assert summary.parameters == sum(array.size for array in model.parameters()) == 56
    tied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    tied[1].weight = tied[0].weight
    assert tied.summary(6).parameters == 36 + 6 + 6


def test_layers_of_ones_own():
    summary = nn.Sequential(nn.Linear(3, 3), Noisy()).summary(3)
    assert [(s.name, s.output_shape, s.parameters, s.macs) for s in summary.layers] == [
        ("", (2, 3), 0, 0),
        ("0", (2, 3), 12, 9),
        ("1", (2, 3), 3, 0),
        ("1.inner", (2, 3), 12, 18),  # used twice in one forward
    ]
    assert summary.dtypes == ("float32", "float64")

    class Listed(nn.Module):  # with methods instead of names, and a child that is never called
        def __init__(self):
            self.array, self.unused = np.ones(7, np.float32), nn.Linear(2, 2)

        def parameters(self):
            return [self.array]

        def grad_parameters(self):
            return [self.array]

        def macs(self, shape):
            return 100 * shape[0]

        def forward(self, input):
            return input[:, :1]

    summary = Listed().summary((3,))
    assert (summary.layers[0].parameters, summary.layers[0].macs) == (7, 300)
    assert summary.layers[1].output_shape is None and " -" in str(summary)
    assert "(itself)" in str(summary)


def test_the_dtype_of_the_input():
    class Lookup(nn.Module):
        def update_output(self, input):
            return np.eye(5, dtype=np.float32)[input]

    model = nn.Sequential(Lookup(), nn.Flatten(), nn.Linear(20, 2))
    with pytest.raises(IndexError):
        model.summary((4,))
    summary = model.summary((4,), dtype=np.int64)
    assert summary.input_dtype == "int64" and summary.layers[1].output_shape == (2, 4, 5)


def states():
    return random.getstate(), str(np.random.get_state()), str(fastnn.random.generator(None).bit_generator.state)  # noqa: NPY002


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_changes(mode):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5, rng=0), Noisy(), nn.BatchNorm1d(3)).train(mode)
    model[0].eval()
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    model.forward(x)
    before, kept, drawn = copy.deepcopy(model), [vars(m).copy() for m in model.modules()], states()
    model.summary(3)
    model._repr_html_()
    assert states() == drawn
    for module, attributes in zip(model.modules(), kept, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[name] is value for name, value in attributes.items() if name != "rng")
    for one, other in zip(model.modules(), before.modules(), strict=True):
        assert one.training == other.training
    for name, array in model.state_dict().items():
        assert same_bits(array, before.state_dict()[name])
    assert model[2].count == 1 and model[1].step == mode
    assert model[2].rng.random() == before[2].rng.random()


def test_the_shapes_are_those_of_evaluation():
    class Doubled(nn.Module):
        def update_output(self, input):
            return np.concatenate([input, input], axis=1) if self.training else input

    assert nn.Sequential(Doubled()).summary(3).layers[1].output_shape == (2, 3)


def test_nothing_changes_when_a_layer_refuses():
    model, drawn = nn.Sequential(Noisy(), nn.Sequential(nn.ReLU(), nn.Linear(7, 2))), states()
    with pytest.raises(ValueError) as caught:
        model.summary(3)
    assert str(caught.value) == "Linear: expected input of shape (N, 7), got (2, 3)"
    assert caught.value.__notes__ == ["in Sequential[1] (Linear)", "in Sequential[1] (Sequential)"]
    assert states() == drawn and model.output is None and model[0].count == 0


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ("784", TypeError, "Linear.summary: expected input_shape as the sizes of a row, got str"),
        (None, TypeError, "Linear.summary: expected input_shape as the sizes of a row, got NoneType"),
        ((-1,), ValueError, "Linear.summary: expected input_shape of sizes from 0, without the rows, got (-1,)"),
        (
            (None, 3),
            ValueError,
            "Linear.summary: expected input_shape of sizes from 0, without the rows, got (None, 3)",
        ),
        (True, ValueError, "Linear.summary: expected input_shape of sizes from 0, without the rows, got True"),
        ((3.0,), ValueError, "Linear.summary: expected input_shape of sizes from 0, without the rows, got (3.0,)"),
        ((2, 3), ValueError, "Linear: expected input of shape (N, 3), got (2, 2, 3)"),
        ((), ValueError, "Linear: expected input of shape (N, 3), got (2,)"),
    ],
)
def test_shapes_that_are_none(shape, error, text):
    with pytest.raises(error) as caught:
        nn.Linear(3, 2).summary(shape)
    assert str(caught.value) == text


def test_models_that_cannot_be_copied_are_named():
    model = nn.Sequential(nn.ReLU())
    model[0].lock = threading.Lock()
    with pytest.raises(TypeError, match=r"^Sequential\.summary: expected a model that copy\.deepcopy copies, got "):
        model.summary(3)


def test_sizes_are_readable():
    text = str(nn.Sequential(nn.Linear(1000, 1000)).summary(1000))
    assert "parameters: 1,001,000 (float32, 3.8 MB)" in text and "multiply-adds for a row: 1,000,000" in text
    assert "parameters: 0\n" in str(nn.ReLU().summary((2, 2)))
    assert str(nn.Sequential().summary(3)).count("\n") == 7


# ---------------------------------------------------------------------------------------------------------------
# Notebooks
# ---------------------------------------------------------------------------------------------------------------


class Balanced(HTMLParser):
    """Asserts that tags nest; collects the text and the names of the tags."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_tree_for_notebooks():
    page = Balanced(network()._repr_html_())
    assert page.tags.count("details") == 2
    assert "Sequential 160 parameters" in page.text
    assert "(1) Linear(in_features=12, out_features=8, bias=True) 104 parameters" in page.text
    assert "(2) Linear(in_features=8, out_features=5, bias=False) 40 parameters" in page.text
    assert "(0) Flatten(start_dim=1, end_dim=-1)" in page.text
    layer = nn.Linear(2, 2)
    assert "Sequential 6 parameters" in Balanced(nn.Sequential(layer, layer)._repr_html_()).text


def test_the_table_for_notebooks():
    page = Balanced(network().summary((3, 4))._repr_html_())
    assert page.tags.count("tr") == 9 and page.tags.count("table") == 1
    assert "multiply-adds for a row: 144" in page.text


def test_names_are_escaped():
    Evil = type("<script>alert(1)</script>", (nn.Module,), {"update_output": lambda self, input: input,
                                                            "extra_repr": lambda self: "<b>&"})  # fmt: skip
    model = Evil()
    vars(model)["<i>"] = Evil()
    for html in (model._repr_html_(), model.summary(2)._repr_html_()):
        assert "<script" not in html and "<b>" not in html and "<i>" not in html
        assert "<script>alert(1)</script>" in Balanced(html).text

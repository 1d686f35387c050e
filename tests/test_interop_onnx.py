"""ONNX files: every layer and random models against ONNX Runtime, what the file says, and what is refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
from architectures import models, randomised
from cases import CONTAINERS, LAYERS
from hypothesis import given, settings
from support import assert_same_bits

import fastnn
from fastnn import nn
from fastnn.interop import to_onnx
from fastnn.interop.onnx import FORMS

TOLERANCE = {"float32": 1e-5, "float64": 1e-9}  # of the largest output, or of 1
ERF = 1e-6  # its operator is float32 alone
SINGLE = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.AvgPool2d)  # their operators are float32 alone too
OPSETS = (15, 17, 18, 21)


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture(scope="module")
def runtime(onnx):
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def run(runtime, proto, x):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def same_output(runtime, proto, model, x, bound):
    expected = model.eval().forward(x)
    got = run(runtime, proto, x)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=bound * max(1, np.abs(expected).max(initial=0)))


def bound_of(model, x):
    if any(isinstance(module, SINGLE) for module in model.modules()):
        return TOLERANCE["float32"]
    exact = any(isinstance(module, nn.GELU) and module.approximate == "none" for module in model.modules())
    return max(TOLERANCE.get(str(x.dtype), 0), ERF if exact else 0)


# ---------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------


def test_every_layer_has_a_form():
    """A new layer gets a function and a line in FORMS, interop/layers.py or interop/images.py."""
    assert {row.name for row in LAYERS if row.name not in CONTAINERS} == set(FORMS)


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer(runtime, row, dtype):
    for shape in row.shapes:
        layer, x = row.layer(dtype), row.input(shape, dtype, seed=3) * (1 if row.indices else 3)
        if len(shape) < 2:
            continue
        for opset in OPSETS:
            proto = to_onnx(layer, input_shape=shape[1:], dtype=x.dtype, opset=opset)
            same_output(runtime, proto, layer, x, bound_of(layer, x))
        again = np.concatenate([x, x, x])
        same_output(runtime, proto, layer, again, bound_of(layer, x))


@settings(max_examples=150)
@given(models())
def test_random_models(runtime, case):
    model, x, rng = case
    before = model.state_dict()
    proto = to_onnx(model, input_shape=x.shape[1:], dtype=x.dtype, opset=int(rng.choice(OPSETS)))
    assert model.training and model.output is None
    assert_same_bits([*model.state_dict().values()], [*before.values()])
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    if any(module.running_mean is None for module in norms) and x.dtype == np.float32:
        # almost equal values divided by their deviation: float32 has no digits of that in common
        model, x = model.astype(np.float64), x.astype(np.float64)
        proto = to_onnx(model, input_shape=x.shape[1:], dtype=x.dtype)
    bound = bound_of(model, x)
    bound = 1e-4 if norms and bound == ERF else bound  # which makes the deviation larger
    same_output(runtime, proto, model, x, bound)
    same_output(runtime, to_onnx(model, input_shape=x.shape[1:], dtype=x.dtype, batch=len(x)), model, x, bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_small_numbers(runtime, dtype):
    x = np.array([[-1e30, -1e4, -800, -100, -30, -1e-3, 0, 1e-3, 19, 21, 100, 800, 1e4, 1e30]], dtype)
    for name in ("ELU", "SELU", "Softplus", "Mish", "GELU", "SiLU", "Sigmoid", "Tanh", "LeakyReLU", "Hardtanh", "ReLU"):
        layer = getattr(nn, name)()
        got, expected = run(runtime, to_onnx(layer, input_shape=x.shape[1:], dtype=dtype), x), layer.forward(x)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_ends_at_its_threshold(runtime, dtype):
    x = np.array([[1.9, 2.1]], dtype)
    got = run(runtime, to_onnx(nn.Softplus(1, 2), input_shape=2, dtype=dtype), x)
    np.testing.assert_allclose(got, [[np.log1p(np.exp(1.9)), 2.1]], rtol=1e-6)


def test_layers_compute_in_the_wider_dtype(runtime):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4).astype(np.float64), nn.ReLU(), nn.BatchNorm1d(4))
    randomised(model, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    proto = to_onnx(model)
    assert proto.graph.output[0].type.tensor_type.elem_type == 11
    same_output(runtime, proto, model, x, 1e-6)
    same_output(runtime, to_onnx(model, dtype=np.float64), model, x.astype(np.float64), 1e-9)


# ---------------------------------------------------------------------------------------------------------------
# What the file says
# ---------------------------------------------------------------------------------------------------------------


def dimensions(value):
    return [dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else None)
            for dim in value.type.tensor_type.shape.dim]  # fmt: skip


def model_of_all():
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), nn.Linear(8, 3)
    )
    return randomised(model, np.random.default_rng(0))


def test_the_graph(onnx):
    model = model_of_all()
    proto = to_onnx(model, input_shape=(3, 4), metadata={"classes": "a b ü", "": ""}, name="digits")
    assert (proto.ir_version, proto.producer_name, proto.producer_version) == (8, "fastnn", fastnn.__version__)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"classes": "a b ü", "": ""}
    graph = proto.graph
    assert graph.name == "digits"
    assert [node.op_type for node in graph.node] == ["Reshape", "Gemm", "BatchNormalization", "Relu", "Gemm"]
    assert [(value.name, dimensions(value)) for value in (*graph.input, *graph.output)] == [
        ("input", ["N", 3, 4]),
        ("output", ["N", 3]),
    ]
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    for name, array in model.state_dict().items():
        if not name.endswith("tracked"):
            np.testing.assert_array_equal(arrays.pop(name), array)
    assert list(arrays) == ["constant_int64_0_12"]


def test_names_and_axes(onnx):
    model = nn.Sequential(nn.Linear(4, 3))
    proto = to_onnx(model, batch="rows", input_name="x", output_name="y", opset=19)
    assert proto.ir_version == 9  # what this opset asks for
    assert [(v.name, dimensions(v)) for v in (*proto.graph.input, *proto.graph.output)] == [
        ("x", ["rows", 4]),
        ("y", ["rows", 3]),
    ]
    assert to_onnx(model, ir_version=10).ir_version == 10
    proto = to_onnx(model, batch=5)
    assert dimensions(proto.graph.input[0]) == [5, 4] and dimensions(proto.graph.output[0]) == [5, 3]
    for layer, row, expected in (
        (nn.Flatten(0, -1), (2, 3), [None]),
        (nn.Flatten(0, 1), (1, 3), ["N", 3]),
        (nn.Flatten(-2, -1), (2, 3), ["N", 6]),
        (nn.Flatten(1, 1), (2, 3), ["N", 2, 3]),
        (nn.Flatten(0, 0), (), ["N"]),
    ):
        assert dimensions(to_onnx(layer, input_shape=row).graph.output[0]) == expected
    assert dimensions(to_onnx(nn.Flatten(0, -1), input_shape=(2, 3), batch=4).graph.output[0]) == [24]


@pytest.mark.parametrize("model", [nn.Sequential(), nn.Identity(), nn.Sequential(nn.Dropout(), nn.Flatten(1, 1))])
def test_models_that_do_nothing(runtime, model):
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    proto = to_onnx(model, input_shape=3)
    assert [node.op_type for node in proto.graph.node] == ["Identity"]
    np.testing.assert_array_equal(run(runtime, proto, x), x)


def test_layers_used_twice_have_their_arrays_once(runtime):
    linear, scale = nn.Linear(4, 4, rng=0), randomised(nn.ChannelwiseScale(4), np.random.default_rng(0))
    model = nn.Sequential(linear, nn.Tanh(), nn.Sequential(linear, scale), scale)
    proto = to_onnx(model)
    names = [array.name for array in proto.graph.initializer]
    assert sorted(names) == ["0.bias", "0.weight", "2.1.bias", "2.1.weight"]
    same_output(runtime, proto, model, np.ones((3, 4), np.float32), 1e-6)
    wide = nn.Sequential(scale, nn.Linear(4, 4, rng=1).astype(np.float64), scale)  # in both dtypes
    x = np.ones((3, 4), np.float32)
    same_output(runtime, to_onnx(wide, dtype=np.float32), wide, x, 1e-9)


def test_the_size_of_a_row_is_told_by_a_linear(onnx):
    for model, expected in (
        (nn.Linear(7, 2), 7),
        (nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(5)), nn.ReLU(), nn.Linear(5, 2)), 5),
    ):
        assert dimensions(to_onnx(model).graph.input[0]) == ["N", expected]
    for model in (nn.ReLU(), nn.BatchNorm1d(3), nn.Sequential(nn.Flatten(), nn.Linear(5, 2))):
        assert refusal(model) == (
            ValueError,
            "to_onnx: expected input_shape for a model without a Linear that tells it, got none",
        )


def test_the_checker_of_onnx_is_asked(onnx, monkeypatch):
    seen = []
    check = onnx.checker.check_model
    monkeypatch.setattr(onnx.checker, "check_model", lambda *a, **b: seen.append(b) or check(*a, **b))
    to_onnx(nn.Linear(2, 2))
    assert seen == [{"full_check": True}]


# ---------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------


def test_the_file_is_written_whole_or_not_at_all(onnx, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    proto = to_onnx(model_of_all(), path, input_shape=(3, 4))
    assert onnx.load(path) == proto and list(tmp_path.iterdir()) == [path]
    kept = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        to_onnx(nn.Linear(2, 2), path)
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        to_onnx(nn.Linear(2, 2), tmp_path / "none" / "model.onnx")


# ---------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------


def refusal(model, **options):
    """The error of a call: its type and text."""
    with pytest.raises((TypeError, ValueError)) as caught:
        to_onnx(model, **options)
    assert "\n" not in str(caught.value)
    return type(caught.value), str(caught.value)


class Shift(nn.Module):
    def update_output(self, input):
        return input + 1


class Rectifier(nn.ReLU):
    pass


@pytest.mark.parametrize("layer", [Shift(), Rectifier(), type("Sequential", (nn.Sequential,), {})()])
def test_layers_of_ones_own_are_named_with_their_place(onnx, layer):
    kind, text = refusal(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2), layer)))
    assert kind is TypeError and text.startswith("to_onnx: at 1.1: expected a layer with an ONNX form, got ")
    assert text.endswith(type(layer).__name__)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"input_shape": (3,)}, ValueError, "Linear: expected input of shape (N, 4), got (2, 3)"),
        ({"input_shape": (0,)}, ValueError,
         "to_onnx: expected input_shape of sizes from 1, without the rows, got (0,)"),
        ({"input_shape": "4"}, TypeError, "to_onnx: expected input_shape as the sizes of a row, got str"),
        ({"batch": 0}, ValueError, "to_onnx: expected batch >= 1, got 0"),
        ({"batch": ""}, TypeError, "to_onnx: expected batch as an integer, got ''"),
        ({"batch": None}, TypeError, "to_onnx: expected batch as an integer, got None"),
        ({"dtype": np.float16}, TypeError,
         "to_onnx: expected dtype float32 or float64, got <class 'numpy.float16'>"),
        ({"opset": 14}, ValueError, "to_onnx: expected opset >= 15, got 14"),
        ({"opset": 17.0}, TypeError, "to_onnx: expected opset as an integer, got 17.0"),
        ({"opset": 19, "ir_version": 8}, ValueError, "to_onnx: expected ir_version for opset 19 >= 9, got 8"),
        ({"name": ""}, TypeError, "to_onnx: expected name as a text, got ''"),
        ({"input_name": 3}, TypeError, "to_onnx: expected input_name as a text, got 3"),
        ({"metadata": {"epochs": 3}}, TypeError, "to_onnx: expected metadata as strings, got 'epochs': 3"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(onnx, options, error, text):
    assert refusal(nn.Sequential(nn.Linear(4, 3)), **options) == (error, text)


def test_other_things_are_refused(onnx):
    assert refusal([]) == (TypeError, "to_onnx: expected a fastnn.nn.Module, got list")
    assert "expected opset <= " in refusal(nn.Linear(2, 2), opset=1000)[1]
    for options in ({"input_name": "output"}, {"input_name": "weight"}, {"output_name": "weight"}):
        ((argument, name),) = options.items()
        expected = f"to_onnx: expected {argument} that nothing else has, got {name!r}"
        assert refusal(nn.Linear(2, 2), **options) == (ValueError, expected)


@pytest.mark.parametrize("place", [0, None])
def test_methods_that_are_assigned_are_no_layers(onnx, place):
    model = nn.Sequential(nn.ReLU())
    (model if place is None else model[place]).forward = abs
    kind, text = refusal(model, input_shape=3)
    assert kind is TypeError and text.endswith(" with a method assigned to it")
    assert text.startswith("to_onnx: at 0: " if place == 0 else "to_onnx: expected ")


def test_errors_have_their_place(onnx):
    with pytest.raises(ValueError) as caught:
        to_onnx(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(5, 2))))
    assert caught.value.__notes__ == ["in Sequential[0] (Linear)", "in Sequential[1] (Sequential)"]


def test_parameters_that_a_file_cannot_hold(onnx, monkeypatch):
    monkeypatch.setattr(fastnn.interop.onnx, "MOST_BYTES", 50)
    assert refusal(nn.Linear(4, 3)) == (ValueError, "to_onnx: expected parameters of at most 2 GB, got more")
    to_onnx(nn.Linear(3, 3))


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError) as caught:
        to_onnx(nn.ReLU(), input_shape=3)
    text = str(caught.value)
    assert text.startswith("to_onnx: expected onnx, got ")
    assert text.endswith(": pip install 'fastnn[onnx]' installs it")


def test_fastnn_imports_neither_package():
    code = "import fastnn, sys; fastnn.interop.to_onnx; print({'torch', 'onnx', 'google'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"

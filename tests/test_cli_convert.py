"""`fastnn convert`: every pair of files, scaling in the graph, files that would run code."""

import json
import os
import pickle
import sys

import numpy as np
import pytest
from cli_support import SMALL, flowers, write

from fastnn import data, nn, serialization
from fastnn.cli.preparation import METADATA
from fastnn.cli.saved import load, outputs

QUICK = ["--quiet", "--epochs", "3"]


@pytest.fixture
def model(works):
    works("train", flowers("f.csv"), *SMALL, "--quiet", "--out", "m.safetensors")
    return "m.safetensors"


def tensors_of(path):
    return serialization.load_tensors(path)[0]


def assert_same_tensors(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, strict=True)


def run_onnx(path, X):
    """The output of the file for rows."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: X})
    return output


# NumPy's archives


def test_npz_keeps_the_model(works, model):
    works("convert", model, "m.npz")
    works("convert", "m.npz", "again.safetensors")
    assert_same_tensors(tensors_of("again.safetensors"), tensors_of(model))
    assert works("predict", "again.safetensors", "f.csv") == works("predict", model, "f.csv")
    with np.load("m.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {*tensors_of(model), "__metadata__"}


def test_npz_of_arrays_alone(run, works):
    arrays = {"file": np.arange(3), "b.c": np.float32(2)}
    serialization.save_tensors(arrays, "t.safetensors")
    works("convert", "t.safetensors", "t.npz")
    status, out, err = run("convert", "t.npz", "u.safetensors")
    assert status == 0 and out == "u.safetensors: tensors alone, 2 tensors\n"
    assert err == "note: there are no layers in it (--like or --activation gives it some)\n"
    assert_same_tensors(tensors_of("u.safetensors"), tensors_of("t.safetensors"))


def test_damaged_npz(refused, model):
    write("a.npz", "no zip")
    assert refused(1, "convert", "a.npz", "b.safetensors").startswith("a.npz: expected an .npz file of plain arrays")
    np.savez("b.npz", a=np.array([{}], object))
    assert refused(1, "convert", "b.npz", "b.safetensors").startswith("b.npz: expected an .npz file of plain arrays")
    np.savez("c.npz", __metadata__=np.array("[]"))
    assert refused(1, "convert", "c.npz", "b.safetensors").startswith("c.npz: expected an .npz file of plain arrays")
    with open("d.npz", "wb") as file:
        np.save(file, np.zeros(3))
    assert refused(1, "convert", "d.npz", "b.safetensors").startswith("d.npz: expected an .npz file of plain arrays")


# ONNX


def test_onnx_takes_features_as_they_are_in_the_data(works, model):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out = works("convert", model, "m.onnx")
    assert "input: 2 features, as in the data: width, length\n" in out and "output: scores of ['lily', 'rose'" in out
    rows = [line.split(",")[:2] for line in open("f.csv")][1:]  # noqa: SIM115
    X = np.array(rows, np.float32)
    saved = load(model)
    expected = outputs(model, saved, X)
    np.testing.assert_allclose(run_onnx("m.onnx", X), expected, rtol=1e-5, atol=1e-5)
    works("convert", model, "p.onnx", "--probabilities")
    np.testing.assert_allclose(run_onnx("p.onnx", X), saved.preparation.probabilities(expected), rtol=1e-5, atol=1e-6)
    assert "scaled as in training" in works("convert", model, "s.onnx", "--no-scaling")
    np.testing.assert_allclose(run_onnx("s.onnx", saved.preparation.inputs(X)), expected, rtol=1e-5, atol=1e-5)


def test_onnx_of_a_regression_gives_the_unit_of_the_target(works):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    X = rng.normal(2020, 0.3, size=(200, 2)).astype(np.float32)  # far from 0, near each other
    y = 1e5 + 1e4 * (X[:, 0] - 2020)
    np.savez("f.npz", X=X, y=y)
    works("train", "f.npz", *QUICK, "--out", "m.safetensors")
    works("convert", "m.safetensors", "m.onnx")
    expected = np.array(works("predict", "m.safetensors", "f.npz").split(), float)
    np.testing.assert_allclose(run_onnx("m.onnx", X)[:, 0], expected, rtol=1e-6)
    assert np.ptp(expected) > 1000


def test_onnx_names_the_features_of_categories(run, works):
    onnx = pytest.importorskip("onnx")
    write("f.csv", "a,kind,y\n" + "".join(f"{i if i else ''},{'uv'[i % 2]},{i % 2}\n" for i in range(20)))
    works("train", "f.csv", *SMALL, "--quiet", "--missing", "mean", "--out", "m.safetensors")
    status, out, err = run("convert", "m.safetensors", "m.onnx", "--json")
    assert status == 0 and "note: missing values have no place in an .onnx file" in err
    found = json.loads(out)
    assert found["features"] == ["a", "kind=u", "kind=v"] and found["classes"] == [0, 1] and found["scaling"] is True
    told = {entry.key: entry.value for entry in onnx.load("m.onnx").metadata_props}
    assert json.loads(told["features"]) == found["features"] and told["task"] == "classification"


def test_onnx_of_a_model_without_preparation(works, refused):
    pytest.importorskip("onnx")
    serialization.save(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "m.safetensors")
    works("convert", "m.safetensors", "m.onnx")
    works("convert", "m.safetensors", "p.onnx", "--probabilities")
    assert refused(1, "convert", "m.safetensors", "s.onnx", "--scaling").startswith(
        "m.safetensors: expected a model of"
    )


# PyTorch


def test_state_dicts_both_ways(run, works, model):
    torch = pytest.importorskip("torch")
    status, _, err = run("convert", model, "m.pt")
    assert status == 0 and err.startswith("note: the scaling of the features is left out; ")
    state = torch.load("m.pt", weights_only=True)
    assert_same_tensors({name: tensor.numpy() for name, tensor in state.items()}, tensors_of(model))
    works("convert", "m.pt", "like.safetensors", "--like", model)
    assert works("predict", "like.safetensors", "f.csv") == works("predict", model, "f.csv")
    works("convert", "m.pt", "relu.safetensors", "--activation", "relu")
    assert [type(layer) for layer in serialization.load("relu.safetensors").modules()][1:] == [
        nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear
    ]  # fmt: skip
    X = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    expected = serialization.load(model).eval().forward(X)
    np.testing.assert_allclose(serialization.load("relu.safetensors").eval().forward(X), expected, rtol=1e-6)
    works("convert", "m.pt", "t.npz")
    works("convert", "t.npz", "back.pth")
    assert torch.load("back.pth", weights_only=True).keys() == state.keys()


def test_state_dicts_of_pytorch(works):
    torch = pytest.importorskip("torch")
    twin = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.Tanh(), torch.nn.Linear(8, 10))
    torch.save({"epoch": 3, "model_state_dict": twin.state_dict()}, "checkpoint.pt")
    works("convert", "checkpoint.pt", "m.safetensors", "--activation", "tanh")
    X, _ = data.load_digits()
    np.testing.assert_allclose(
        serialization.load("m.safetensors").forward(X[:5]), twin(torch.from_numpy(X[:5])).detach().numpy(), rtol=1e-4
    )
    torch.save(twin.to(torch.bfloat16).state_dict(), "half.pt")
    works("convert", "half.pt", "half.safetensors")
    assert tensors_of("half.safetensors")["0.weight"].dtype == np.float32


class Evil:
    """What must not be unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_pickles_are_refused(refused, empty_folder):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), "module.pt")
    torch.save({"a": Evil()}, "evil.pt")
    with open("plain.pt", "wb") as file:
        pickle.dump(Evil(), file)
    for name in ("module.pt", "evil.pt", "plain.pt"):
        text = refused(1, "convert", name, "m.safetensors")
        assert text.startswith(f"{name}: expected a state_dict, got a pickled module or other objects")
    assert not os.path.exists("ran") and not os.path.exists("m.safetensors")
    write("text.pt", "no file of torch")
    assert refused(1, "convert", "text.pt", "m.safetensors").startswith("text.pt: expected a ")
    torch.save([1, 2], "list.pt")
    assert refused(1, "convert", "list.pt", "m.safetensors").startswith("list.pt: expected a state_dict of tensors")
    torch.save({}, "empty.pt")
    assert refused(1, "convert", "empty.pt", "m.safetensors").startswith("empty.pt: expected a state_dict of tensors")
    assert refused(1, "convert", "none.pt", "m.safetensors") == "none.pt: No such file or directory"


# What does not go together


@pytest.mark.parametrize(("package", "ending"), [("torch", "pt"), ("onnx", "onnx")])
def test_packages_that_are_not_there(refused, monkeypatch, model, package, ending):
    monkeypatch.setitem(sys.modules, package, None)
    text = refused(1, "convert", model, f"m.{ending}", *(["--json"] if ending == "onnx" else []))
    assert package in text.lower() or "PyTorch" in text
    assert "pip install" in text and not os.path.exists(f"m.{ending}")


def test_refusals(refused, model):
    assert refused(2, "convert", model, "m").startswith("expected a name that ends in .safetensors, .onnx, ")
    assert refused(2, "convert", "m.onnx", "m.npz").startswith(
        "expected IN of another kind, since ONNX is written alone"
    )
    assert refused(2, "convert", model, model).startswith("expected different files to read and to write")
    assert refused(2, "convert", model, "m.npz", "--probabilities").startswith("argument --probabilities: expected an")
    assert refused(2, "convert", model, "m.npz", "--scaling").startswith("argument --scaling: expected an .onnx file")
    assert refused(2, "convert", model, "n.npz", "--activation", "relu").startswith(
        "argument --activation: expected IN"
    )
    assert refused(2, "convert", model, "n.npz", "--like", "m.safetensors").startswith("argument --like: expected IN")
    assert "not allowed with argument" in refused(2, "convert", model, "n.npz", "--like", "a", "--activation", "relu")
    assert refused(1, "convert", model, "none/m.npz") == "none/m.npz: No such file or directory"
    assert sorted(os.listdir()) == ["f.csv", "m.safetensors"]


def test_tensors_that_do_not_fit(refused, model):
    for name, arrays, more, text in (
        ("a", {"0.weight": np.zeros((2, 3, 4))}, ["--activation", "relu"], "a.npz: expected the tensors of Linear or"),
        ("b", {"0.bias": np.zeros(3)}, ["--activation", "relu"], "b.npz: expected the tensors of Linear or"),
        ("c", {"0.weight": np.zeros((2, 3)), "0.bias": np.zeros(4)}, ["--activation", "relu"], "c.npz: 0: "),
        ("d", {"0.weight": np.zeros((2, 3))}, ["--like", model], f"d.npz: expected tensors that fit {model}: "),
        ("e", {"0.weight": np.zeros((2, 3), int)}, ["--activation", "relu"], "e.npz: 0: "),
    ):
        np.savez(f"{name}.npz", **arrays)
        assert refused(1, "convert", f"{name}.npz", "n.safetensors", *more).startswith(text)
    np.savez("f.npz", a=np.zeros(3))
    pytest.importorskip("onnx")
    assert refused(1, "convert", "f.npz", "n.onnx") == (
        "f.npz: expected a model for ONNX, got tensors alone (--like, --activation)"
    )
    assert METADATA in serialization.load_tensors(model)[1]

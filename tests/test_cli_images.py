"""`fastnn train --model lenet` and `resnet`: on which data, what is built, and what the other commands make of it."""

import json
import re

import numpy as np
import pytest
from cli_support import flowers, images, percentage

from fastnn import data, nn, serialization
from fastnn.cli import architectures


@pytest.mark.parametrize(("model", "epochs", "least"), [("lenet", 10, 80), ("resnet", 2, 85)])
def test_digits_from_training_to_evaluation(run, works, model, epochs, least):
    out = works("train", "digits", "--model", model, "--epochs", epochs, "--lr", 0.005, "--out", "m", "--quiet")
    normalised = "batch normalisation, " if model == "resnet" else ""
    assert re.search(rf"^network: {model}, 8x8 to 10, {normalised}[\d,]+ parameters, adam", out, re.M)
    assert percentage(out) > least
    status, printed, err = run("predict", "m", "digits")
    X, _ = data.load_digits()
    expected = serialization.load("m").eval().forward(X / 16).argmax(axis=1)
    assert status == 0 and [int(line) for line in printed.split()] == expected.tolist() and percentage(err) > least
    assert json.loads(works("evaluate", "m", "digits", "--json"))["accuracy"] > least / 100
    info = works("info", "m")
    assert "Unflatten" in info and "Conv2d" in info and "features: 64" in info


def test_a_model_of_images_as_an_onnx_file(works):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    works("train", "digits", "--model", "resnet", "--epochs", 1, "--out", "m.safetensors", "--quiet")
    assert "input: 64 features, as in the data" in works("convert", "m.safetensors", "m.onnx")
    X, _ = data.load_digits()
    session = runtime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X[:20]})
    np.testing.assert_allclose(found, serialization.load("m.safetensors").eval().forward(X[:20] / 16), atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "image", "words"), [((4, 6), [1, 4, 6], "4x6"), ((3, 13, 12), [3, 13, 12], "3x13x12")]
)
@pytest.mark.parametrize("model", ["lenet", "resnet"])
def test_arrays_of_images(works, model, shape, image, words):
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, *shape)) + y.reshape(-1, *(1,) * len(shape))
    np.savez("f.npz", X=X, y=y)
    found = json.loads(works("train", "f.npz", "--model", model, "--epochs", 1, "--out", "m", "--quiet", "--json"))
    assert found["network"]["model"] == model and found["network"]["image"] == image
    assert found["training"]["batch_norm"] is (model == "resnet")
    loaded = serialization.load("m")
    assert loaded[0].unflattened_size == tuple(image)
    assert f"{model}, {words} to 2, " in works("train", "f.npz", "--model", model, "--epochs", 1, "--quiet")


def test_a_folder_of_images_and_numbers_to_predict(works):
    images("folder", "train", 80)
    images("folder", "t10k", 20, seed=1)
    assert percentage(works("train", "folder", "--model", "resnet", "--epochs", 30, "--quiet")) > 90
    rng = np.random.default_rng(0)
    np.savez("f.npz", X=rng.normal(size=(40, 5, 5)), y=rng.normal(size=40))
    assert "test error" in works("train", "f.npz", "--model", "lenet", "--epochs", 1, "--quiet")


def test_a_training_goes_on_with_the_same_model_alone(run, works):
    same = ("train", "digits", "--checkpoint", "c", "--epochs", 1, "--quiet")
    works(*same, "--model", "lenet")
    status, _, err = run(*same, "--model", "resnet", "--resume")
    assert status == 1 and "c: expected a checkpoint that fits, got for model" in err
    works(*same, "--model", "lenet", "--resume")


def test_what_is_built():
    rng = np.random.default_rng(0)
    five = [layer for layer in architectures.lenet((1, 28, 28), 10, rng) if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.kernel_size) for layer in five] == [(6, (5, 5)), (16, (5, 5))]
    parameters = sum(array.size for array in architectures.lenet((1, 28, 28), 10, rng).parameters())
    assert parameters == 61706  # LeNet-5's, with all inputs of the second convolution
    for image in ((1, 4, 4), (1, 5, 11), (3, 12, 12), (2, 13, 40), (1, 1, 1), (3, 16, 17)):
        x = rng.standard_normal((3, int(np.prod(image)))).astype(np.float32)
        for make in (architectures.lenet, architectures.resnet):
            if make is architectures.resnet or min(image[1:]) >= 4:
                assert make(image, 7, rng).forward(x).shape == (3, 7)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--hidden", "3"], "argument --hidden: expected --model mlp for it, got --model lenet"),
        (["--hidden", "none"], "argument --hidden: expected --model mlp for it, got --model lenet"),
        (["--activation", "relu"], "argument --activation: expected --model mlp for it, got --model lenet"),
        (["--dropout", "0"], "argument --dropout: expected --model mlp for it, got --model lenet"),
        (["--no-batch-norm"], "argument --batch-norm: expected --model mlp for it, got --model lenet"),
        (["--model", "vgg"], "argument --model: invalid choice: 'vgg'"),
    ],
)
def test_options_of_rows_are_refused(refused, arguments, text):
    assert text in refused(2, "train", "digits", "--model", "lenet", *arguments)


def test_data_that_is_no_images_is_refused(refused):
    np.savez("flat.npz", X=np.eye(40), y=np.arange(40) % 2)
    for name in (flowers("f.csv"), "flat.npz"):
        assert refused(1, "train", name, "--model", "resnet") == (
            f"{name}: expected images for --model resnet: digits, a folder of IDX files, or an .npz with X of shape "
            "(N, H, W) or (N, C, H, W); got rows"
        )
    images("folder", "t10k", 20)
    text = "folder: expected images of 4 x 4 pixels or more for --model lenet, got 2 x 4"
    assert refused(1, "train", "folder", "--model", "lenet") == text

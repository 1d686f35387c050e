"""The programs whose types are checked also run."""

import typing_examples

from fastnn import nn


def test_the_programs_run(tmp_path):
    assert typing_examples.loop() < 2.3
    assert typing_examples.compiled().shape == (256, 10)
    losses = typing_examples.trainer().history["loss"]
    assert losses[1] < losses[0]
    assert typing_examples.settings()["default dtype"] == "float32"
    assert isinstance(typing_examples.saved(str(tmp_path / "model.safetensors")), nn.Module)

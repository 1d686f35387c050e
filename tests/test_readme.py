"""The README's Python examples run, in order, in one namespace."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run(tmp_path, monkeypatch):
    if not README.exists():
        pytest.skip("README.md is not beside the tests")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    namespace = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["accuracy"] > 0.95
    assert (tmp_path / "model.safetensors").stat().st_size > 0
    shifted = namespace["Shift"](3)
    assert shifted.backward(np.zeros((2, 3)), np.ones((2, 3))).shape == (2, 3)
    assert shifted.grad_bias.tolist() == [2, 2, 2]

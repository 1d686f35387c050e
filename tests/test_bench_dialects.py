"""The benchmark of the dialects runs: one chunk of one net."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from course import VOICES

SCRIPT = Path(__file__).parents[1] / "bench" / "dialects.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="bench/ is not beside the tests")
@pytest.mark.parametrize("dialect", VOICES)
def test_the_table_has_numbers(dialect):
    command = [sys.executable, SCRIPT, "--quick", "--float32", "--only", "2-4-2, batch 128", "--dialect", dialect]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    number, ratio = r"\d+\.\d", r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]"
    assert re.search(rf"^\| 2-4-2, batch 128 \| {number} \| {number} \| {ratio} \| {ratio} \|$", done.stdout, re.M)

"""The pages of docs/dialects: their examples run and print what the pages say.

A ```python block that begins with `# name.py` is a file; others run, in one namespace a page, and print the ```text
block behind them. A ```console block is a command `fastnn` and what it prints. Everything else is for the reader.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from course import VOICES

from fastnn.cli import main

PAGES = sorted((Path(__file__).parent.parent / "docs" / "dialects").glob("*.md"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """An empty folder; the global generator is given back."""
    monkeypatch.chdir(tmp_path)
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


def printed(run, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(*args)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_print_what_the_page_says(page):
    namespace = {"__name__": page.stem}
    for kind, text, shown in BLOCK.findall(page.read_text()):
        first, rest = text.split("\n", 1)
        if kind == "console":
            assert printed(main, shlex.split(first.removeprefix("$ fastnn"))) == rest.splitlines()
        elif name := re.fullmatch(r"# (\w+\.py)", first):
            Path(name[1]).write_text(text)
        else:
            assert printed(exec, compile(text, page, "exec"), namespace) == shown.splitlines()


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in VOICES], ids=lambda page: page.stem)
def test_the_program_of_a_dialect_prints_the_same_on_plain_numpy(page):
    _, text, shown = BLOCK.search(page.read_text()).groups()
    assert f"from fastnn.compat.{page.stem} import *\n" in text
    assert printed(exec, compile(text.replace("fastnn.compat", "course"), page, "exec"), {}) == shown.splitlines()


def test_every_dialect_has_a_page():
    if not PAGES:
        pytest.skip("docs is not beside the tests")
    assert {page.stem for page in PAGES} == {"README", *VOICES}

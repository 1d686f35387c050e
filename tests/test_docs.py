"""The pages of docs: their examples run and print what the pages say, and the reference has a place for everything.

A ```python block that begins with `# name.py` is a file; others run, in one namespace a page, and print the ```text
block behind them. A ```console block is commands `fastnn` and what they print. `...` stands for any text. The line
`<!-- needs torch, onnx -->` above a block says which packages it takes to run it, and `<!-- from csrc/unary.def -->`
whose lines it quotes, with `...` where some are left out; of a ```diff, those that are there before it. Everything else
is for the reader.
"""

import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import operator
import pkgutil
import re
import shlex
import types
from pathlib import Path

import numpy as np
import pytest
from course import VOICES

import fastnn
from fastnn.cli import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "generated" not in page.parts)
DIALECTS = [page for page in PAGES if page.parent.name == "dialects"]
BLOCK = re.compile(
    r"(?:^<!-- (needs|from) ([^>]+) -->\n+)?^```(\w+)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
LEFT_OUT = re.compile(r"^\s*(?:/\* )?\.\.\.(?: \*/)?\n", re.MULTILINE)
beside = pytest.mark.skipif(not PAGES, reason="docs is not beside the tests")


def pages(chosen):
    named = [pytest.param(page, id=str(page.relative_to(DOCS).with_suffix(""))) for page in chosen]
    return pytest.mark.parametrize("page", named or [pytest.param(None, marks=beside)])


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """An empty folder, and settings and generators that are given back."""
    monkeypatch.chdir(tmp_path)
    state, threads = np.random.get_state(), fastnn.get_num_threads()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002
    fastnn.set_num_threads(threads)


def printed(run, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(*args)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def check(shown, got, what):
    assert doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS), f"{what}\nexpected\n{shown}\ngot\n{got}"


def commands(text):
    """The commands of a console block, without the name of the program, and what each prints."""
    for part in re.split(r"^\$ fastnn ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield shlex.split(command), shown


@pages(PAGES)
def test_the_examples_print_what_the_page_says(page):
    namespace, lacking, skipped = {"__name__": page.stem}, set(), 0
    for tag, names, kind, text, shown in BLOCK.findall(page.read_text()):
        absent = {name for name in names.split(", ") if tag == "needs" and importlib.util.find_spec(name) is None}
        if absent and kind in ("python", "console"):
            lacking, skipped = lacking | absent, skipped + 1
        elif kind == "console":
            assert text.startswith("$ fastnn "), text
            for command, output in commands(text):
                check(output, printed(main, command), command)
        elif kind == "python" and (name := re.match(r"# (\w+\.py)\n", text)):
            Path(name[1]).write_text(text)
        elif kind == "python":
            check(shown, printed(exec, compile(text, page, "exec"), namespace), text)
    if skipped:
        pytest.skip(f"{skipped} examples need {', '.join(sorted(lacking))}")


@pages(PAGES)
def test_what_a_page_quotes_stands_in_the_sources(page):
    for tag, path, kind, text, _ in BLOCK.findall(page.read_text()):
        if tag == "from":
            if kind == "diff":
                text = "".join(line[1:] for line in text.splitlines(keepends=True) if line[0] in " -")
            source = (ROOT / path).read_text()
            for part in LEFT_OUT.split(text):
                assert part in source, f"{path} does not have\n{part}"


@pages([page for page in DIALECTS if page.stem in VOICES])
def test_the_program_of_a_dialect_prints_the_same_on_plain_numpy(page):
    text, shown = next((text, shown) for _, _, kind, text, shown in BLOCK.findall(page.read_text()) if kind == "python")
    assert f"from fastnn.compat.{page.stem} import *\n" in text
    check(shown, printed(exec, compile(text.replace("fastnn.compat", "course"), page, "exec"), {}), text)


@pages([page for page in DIALECTS if page.stem in VOICES])
def test_a_dialect_names_all_that_it_has(page):
    names = set(importlib.import_module(f"fastnn.compat.{page.stem}").__all__) - {"np"}
    assert names <= set(re.findall(r"`(\w+)[(`]", page.read_text()))


@beside
def test_every_dialect_has_a_page():
    assert {page.stem for page in DIALECTS} == {"README", *VOICES}


# Modules whose public names are those that they define, since they have no __all__.
PLAIN = ("fastnn.backend", "fastnn.nn.utils", "fastnn.optim.lr_scheduler")


def module(name):
    """A module, or None where it is for an optional package that is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if not name.startswith(("fastnn.sklearn", "fastnn.interop.torch_containers")):
            raise
        return None


def documented():
    """The names in the lists of the reference's pages, and what they are."""
    for page in (DOCS / "reference").glob("*.md"):
        current = None
        for line in page.read_text().splitlines():
            if found := re.match(r"\.\. module:: (\S+)$", line):
                current = found[1]
            elif (found := re.match(r" {3}([A-Za-z][\w.]*)$", line)) and module(current):
                yield f"{current}.{found[1]}", operator.attrgetter(found[1])(module(current))


def public():
    """The public names of all modules, and what they are."""
    names = ["fastnn", *(found.name for found in pkgutil.walk_packages(fastnn.__path__, "fastnn."))]
    for name in names:
        if name in ("fastnn.__main__", *(f"fastnn.compat.{voice}" for voice in VOICES)) or not (home := module(name)):
            continue
        own = [n for n, value in vars(home).items() if getattr(value, "__module__", None) == name and n[0] != "_"]
        for exported in own if name in PLAIN else getattr(home, "__all__", ()):
            if not isinstance(value := getattr(home, exported), types.ModuleType):
                yield f"{name}.{exported}", value


@beside
def test_the_reference_has_all_that_is_public():
    known = [value for _, value in documented()]
    missing = [name for name, value in public() if not any(value is other for other in known)]
    assert not missing and len(known) > 80


@beside
def test_all_that_the_reference_has_is_explained():
    for name, value in documented():
        assert inspect.getdoc(value), name


@beside
def test_a_name_stands_in_the_reference_once():
    names = [name for name, _ in documented()]
    assert not {name for name in names if names.count(name) > 1}

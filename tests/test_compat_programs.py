"""Programs as people write them against the course frameworks, run there and, with one import changed, on fastnn.

Each file of `programs/<dialect>/` runs on `fastnn.compat.<dialect>` as it stands and, the import turned back, on
`course.<dialect>`. Both must print the same words and the same numbers: 1e-9 is far below one row in any accuracy.
"""

import contextlib
import importlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*/*.py"))
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?|\b(?:nan|inf)\b")


@pytest.fixture
def framework(request):
    """Gives back the imported modules that a program reloads, and the global generator."""
    dialect = request.getfixturevalue("program").parent.name
    modules = [importlib.import_module(f"{package}.{dialect}") for package in ("course", "fastnn.compat")]
    kept = [dict(vars(module)) for module in modules]
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002
    for module, names in zip(modules, kept, strict=True):
        vars(module).update(names)


def printed(program, package):
    """What the program prints when its framework comes from `package`."""
    text = program.read_text()
    assert "fastnn.compat." in text
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), np.printoptions(precision=17):
        exec(compile(text.replace("fastnn.compat", package), program, "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_program_prints_the_same_on_both(program, framework):
    expected, got = printed(program, "course"), printed(program, "fastnn.compat")
    assert "".join(NUMBER.sub("#", got).split()) == "".join(NUMBER.sub("#", expected).split())
    numbers = [np.array([float(word) for word in NUMBER.findall(text)]) for text in (got, expected)]
    np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-12)
    assert len(expected.splitlines()) >= 1 and "False" not in expected

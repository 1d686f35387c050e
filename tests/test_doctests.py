"""The examples in the docstrings of the package run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import fastnn

NAMES = ["fastnn", *(module.name for module in pkgutil.walk_packages(fastnn.__path__, "fastnn."))]
MODULES = [name for name in NAMES if name not in ("fastnn._core", "fastnn.__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    if name.startswith("fastnn.sklearn"):
        pytest.importorskip("sklearn", minversion="1.6")
    if name == "fastnn.interop.torch_containers":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)  # what an example writes goes there
    fastnn.manual_seed(0)
    failed, _ = doctest.testmod(importlib.import_module(name), report=True)
    assert failed == 0


def test_there_are_examples():
    """Of every layer, criterion, optimiser and scheduler."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in (fastnn.nn, fastnn.optim, fastnn.optim.lr_scheduler):
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__.startswith(module.__name__) and name != "Optimizer":
                assert any(test.examples for test in finder.find(value, name)), name

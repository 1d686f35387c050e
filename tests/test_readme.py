"""The README's Python examples run, in order, in one namespace; its table is that of docs/performance.md; versions."""

import re
from pathlib import Path

import pytest

import fastnn

README = Path(__file__).parent.parent / "README.md"

if not README.exists():
    pytest.skip("README.md is not beside the tests", allow_module_level=True)


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    namespace = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["accuracy"] > 0.95
    assert (tmp_path / "model.safetensors").stat().st_size > 0
    assert (namespace["scores"].argmax(axis=1) == namespace["y_test"]).mean() > 0.95


def test_the_numbers_are_those_of_the_measurements():
    measured = (README.parent / "docs" / "performance.md").read_text().splitlines()
    rows = re.findall(r"^\| (\d[\d-]+, batch .*?) \| (.*) \|$", README.read_text(), re.MULTILINE)
    assert len(rows) == 7
    for name, numbers in rows:
        time, *ratios = numbers.split(" | ")
        of_roof = re.compile(
            rf"\| {re.escape(name)} \| {re.escape(time)} \| [\d.]+ \| {re.escape(' | '.join(ratios))} \|"
        )
        assert any(of_roof.fullmatch(line) for line in measured), name


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert len(links) > 10
    assert not [link for link in links if not (README.parent / link).exists()]


@pytest.mark.parametrize("name, form", [("CHANGELOG.md", "## {} "), ("CITATION.cff", "version: {}\n")])
def test_the_version_has_its_entry(name, form):
    assert form.format(fastnn.__version__) in (README.parent / name).read_text()

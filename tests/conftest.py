"""Fixtures that are shared, the settings of hypothesis, and what a run says about itself.

Operations are tested on every instruction set that this CPU has, whatever the environment says; layers and everything
above them run on the back end that it asks for (FASTNN_BACKEND, FASTNN_ISA, FASTNN_NUM_THREADS).
"""

from __future__ import annotations

import os
import signal

import pytest
from cli_support import empty_folder, refused, run, works  # noqa: F401 (fixtures)
from hypothesis import settings
from support import ISAS, why_not

from fastnn import backend

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell has started in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_report_header():
    config = backend.config()
    return ["fastnn: " + ", ".join(f"{name} {value}" for name, value in config.items())]


def pytest_terminal_summary(terminalreporter):
    missing = [why_not(isa) for isa in ISAS if why_not(isa)]
    ran = [isa for isa in ISAS if not why_not(isa)]
    write = terminalreporter.write_line
    write(
        f"operations ran on: reference{''.join(f', native {isa}' for isa in ran)}{', 1 and 2 threads' if ran else ''}"
    )
    write(f"layers ran on: {backend.backend()}{f' {backend._core.isa()}' if backend.backend() == 'native' else ''}, "
          f"{backend.get_num_threads()} thread(s)")  # fmt: skip
    for reason in dict.fromkeys(missing):
        write(f"not run: {reason}")


@pytest.fixture(params=ISAS)
def isa(request):
    """An instruction set, in force during the test; skipped where this CPU or this build lacks it."""
    if reason := why_not(request.param):
        pytest.skip(reason)
    with backend.use_isa(request.param):
        yield request.param


@pytest.fixture
def core():
    """The native back end."""
    if backend._core is None:
        pytest.skip(f"the native back end is not available: {backend.native_error}")
    return backend._core

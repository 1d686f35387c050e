"""A process for each library that is measured: a request is a line of JSON, and so is the answer.

`Worker` is for the script that asks, `pin` and `serve` are for the one that answers: its arguments are the library and
its CPUs. The first answer is {"version": ...} or {"missing": why}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PATIENCE = 600  # seconds for an answer: torch.compile takes its time
THREADS = "FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"


class Gone(Exception):
    """A process ended, or was ended because it did not answer."""


class Worker:
    """The process of a library, on as many threads as it has CPUs."""

    def __init__(self, name, cpus, script="peer_worker.py", arguments=()):
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (close() does it)
        command = [sys.executable, Path(__file__).with_name(script), name, ",".join(map(str, cpus)), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=environment(name, len(cpus)))  # fmt: skip
        self.about = self._answer()

    def ask(self, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except OSError:
            raise Gone(self._last_words()) from None
        return self._answer()

    def _answer(self):
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise Gone(self._last_words())
        return json.loads(line)

    def _last_words(self):
        status = self.process.wait()
        self.log.seek(0)
        return f"its process ended with status {status}: {' '.join(self.log.read().split())[-200:]}"

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.log.close()


def environment(name, threads):
    """What a library reads at its import."""
    found = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    found |= {"JAX_PLATFORMS": "cpu", "FASTNN_BACKEND": "reference" if name == "reference" else "native"}
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return found


def cpus(count):
    """The last CPUs that this process may use; fewer where there are not so many."""
    return sorted(os.sched_getaffinity(0))[-count:] if hasattr(os, "sched_getaffinity") else list(range(count))


def where(cpus):
    """In words."""
    if len(cpus) == 1:
        return f"one thread on CPU {cpus[0]}"
    return f"{len(cpus)} threads on CPUs {', '.join(map(str, cpus))}"


def threads_option(parser):
    """--threads N, checked by `threads_or_error`."""
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="for every library (default: 1)")


def cpus_or_error(parser, threads):
    """As many CPUs as threads, or the end."""
    found = cpus(max(threads, 1))
    if not 1 <= threads == len(found):
        parser.error(f"expected 1 to {len(cpus(10**6))} threads on this machine, got {threads}")
    return found


def pin():
    """Stay on the CPUs that the command line names, before any library counts them; how many they are."""
    allowed = {int(cpu) for cpu in sys.argv[2].split(",")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, allowed)
    return len(allowed)


def serve(make):
    """Answer by what `make` returns, which has a `version` and answers requests."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def send(answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        library = make()
    except Exception as error:  # not installed, or installed and broken
        return send({"missing": in_short(error)})
    send({"version": library.version})
    for line in sys.stdin:
        try:
            send(library.answer(json.loads(line)))
        except Exception as error:  # of any library: the parent names it, and the others go on
            send({"error": in_short(error)})
    return None


def in_short(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

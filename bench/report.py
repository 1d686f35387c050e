"""Reads the JSON of pytest-benchmark and prints Markdown: the native time, and how many times slower the others are.

python bench/report.py build/bench.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

PEERS = ("reference", "torch")
DTYPES = {"float32": "f32", "float64": "f64"}
TRAINING = "training step"


def medians(path):
    """(operation, size) -> (dtype, library) -> median in microseconds; and the number of threads."""
    found, threads = defaultdict(dict), set()
    with open(path) as file:
        for entry in json.load(file)["benchmarks"]:
            what = entry["extra_info"]
            found[what["operation"], what["size"]][what["dtype"], what["library"]] = entry["stats"]["median"] * 1e6
            threads.add(what["threads"])
    return found, threads


def table(head, rows, peers):
    """Lines of a table; rows: label -> (dtype, library) -> microseconds."""
    heads = [head, *(f"{short} {text}" for short in DTYPES.values() for text in ("us", *(f"{p} /" for p in peers)))]
    yield heads
    yield ["---"] + ["---:"] * (len(heads) - 1)
    for label, times in rows.items():
        cells = [label]
        for dtype in DTYPES:
            native = times.get((dtype, "native"))
            cells.append(f"{native:.1f}" if native else "")
            for peer in peers:
                ratio = native and times.get((dtype, peer)) and times[dtype, peer] / native
                cells.append(f"{ratio:.2f}" if ratio else "")
        yield cells


def report(path):
    """The lines of the whole report: a table for each size of the operations, one for the training steps."""
    found, threads = medians(path)
    peers = [peer for peer in PEERS if any(library == peer for times in found.values() for _, library in times)]
    yield f"Medians of the compiled kernels on {', '.join(map(str, sorted(threads)))} thread(s), in microseconds;"
    yield f"{' and '.join(f'`{peer} /`' for peer in peers)}: how many times as long the others take."
    tables = defaultdict(dict)
    for (operation, size), times in found.items():
        head, label = ("training step", size) if operation == TRAINING else (f"operation, {size}", operation)
        tables[head][label] = times
    for head, rows in tables.items():
        yield ""
        for cells in table(head, rows, peers):
            yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(report(sys.argv[1])))

"""Reads the JSON of pytest-benchmark and prints Markdown: the native time, and how many times slower the others are.

python bench/report.py build/bench.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

PEERS = ("reference", "torch")
LETTERS = {"float32": "f32", "float64": "f64"}


def medians(path):
    """(operation, size, dtype) -> library -> median in microseconds."""
    found = defaultdict(dict)
    with open(path) as file:
        for entry in json.load(file)["benchmarks"]:
            what = entry["extra_info"]
            found[what["operation"], what["size"], what["dtype"]][what["library"]] = entry["stats"]["median"] * 1e6
    return found


def cells(times):
    """The native median and, for each peer, its ratio to it."""
    native = times.get("native")
    ratios = [f"{times[peer] / native:.2f}" if native and peer in times else "" for peer in PEERS]
    return [f"{native:.1f}" if native else "", *ratios]


def table(found, operations, columns):
    """Rows of operations; for each column (a size and a dtype) the native time and the ratios of the peers."""
    peers = [peer for peer in PEERS if any(peer in times for times in found.values())]
    heads = ["operation"]
    for size, dtype in columns:
        heads += [f"{size} {LETTERS[dtype]} us", *(f"{peer} /" for peer in peers)]
    yield heads
    yield ["---"] + ["---:"] * (len(heads) - 1)
    for operation in operations:
        row = [operation]
        for column in columns:
            row += cells(found.get((operation, *column), {}))[: 1 + len(peers)]
        yield row


def report(path):
    found = medians(path)
    groups = defaultdict(dict)  # the sizes that go together -> operations, in order
    for operation, size, _ in found:
        groups["training" if "batch" in size else "operations"].setdefault(operation, []).append(size)
    for operations in groups.values():
        sizes = list(dict.fromkeys(size for of_one in operations.values() for size in of_one))
        for size in sizes:
            columns = [(size, dtype) for dtype in LETTERS]
            yield ""
            for row in table(found, operations, columns):
                yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    print("Medians in microseconds of the compiled kernels; `reference /`, `torch /`: their median over it.")
    print("\n".join(report(sys.argv[1])))

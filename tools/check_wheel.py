"""What a finished wheel holds: no sources, a library for each that the module needs, and small enough.

python tools/check_wheel.py dist/fastnn-*.whl
"""

import sys
import zipfile
from pathlib import Path

MOST_BYTES = 10 * 1024**2
NEEDED = ("fastnn/py.typed", "fastnn/_core.pyi", "fastnn/datasets/digits.npz", "fastnn/datasets/README.md")
UNWANTED = (".pyx", ".pxi", ".c", ".h", ".def", ".pyc")


def faults(path: Path) -> list[str]:
    """What is wrong with a wheel, a line each."""
    found = []
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if path.stat().st_size > MOST_BYTES:
        found.append(f"expected at most {MOST_BYTES} bytes, got {path.stat().st_size}")
    found += [f"expected {name}, got none" for name in NEEDED if name not in names]
    found += [f"expected no sources, got {name}" for name in names if name.endswith(UNWANTED)]
    for library in ("openblas", "libgomp"):  # who brings a library brings its licence
        bundled = any(library in name and not name.endswith(".txt") for name in names)
        if bundled and (notice := f"fastnn/lib/LICENSE-{library}.txt") not in names:
            found.append(f"expected {notice} beside {library}, got none")
    return found


def main(paths: list[str]) -> int:
    bad = 0
    for path in map(Path, paths):
        print(f"{path.name}: {path.stat().st_size / 1024**2:.1f} MB")
        for line in faults(path):
            print(f"{path.name}: {line}", file=sys.stderr)
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# Everything works in an environment of its own, $(VENV), which the first command makes; PYTHON chooses the interpreter.
#   make setup           compile and install
#   make demo            train on the digits; the model and a picture of its curve in demo/
#   make test            all tests, on the compiled kernels and on NumPy (test-native, test-reference: one of the two)
#   make test-slow       every float32 through every function: minutes
#   make test-peers      install PyTorch, scikit-learn, ONNX Runtime, ... and hold fastnn against them
#   make docs            the documentation, build/docs/html/index.html
#   make lint            style, types, and the stub of the native module against what it is
#   make wheel           sdist and repaired wheel in dist/
#   make test-wheel      that wheel beside NumPy alone, away from this folder: it trains, and the tests pass
#   make bench           single operations beside NumPy and PyTorch; also bench-calls, bench-gemm, bench-threads,
#                        bench-dialects, bench-peers, bench-fit, bench-estimators, bench-scaling, bench-memory,
#                        bench-convolutions
#   make clean           remove what was made here
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
SOURCES = pyproject.toml CMakeLists.txt README.md $(wildcard csrc/*.* csrc/kernels/*) $(wildcard src/fastnn/*.* src/fastnn/*/*.*)

.PHONY: setup demo test test-native test-reference test-slow test-peers bench bench-calls bench-gemm bench-threads \
  bench-dialects bench-peers bench-fit bench-estimators bench-scaling bench-memory bench-convolutions docs lint wheel test-wheel clean

setup: $(VENV)/installed

# The tools: what builds the package, what tests it. --group needs a newer pip than Python 3.11 brings.
$(VENV)/tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install "pip>=25.1"
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
	  > $(VENV)/build-requirements.txt
	$(PIP) install -r $(VENV)/build-requirements.txt cmake ninja --group test --group lint
	touch $@

# The package itself, compiled from the sources at hand.
$(VENV)/installed: $(VENV)/tools $(SOURCES)
	FASTNN_REQUIRE_NATIVE=1 $(PIP) install --no-build-isolation --no-deps --force-reinstall \
	  -Cbuild-dir=build/$(notdir $(abspath $(VENV))) -Ccmake.define.FASTNN_WERROR=ON .
	touch $@

demo: setup
	mkdir -p demo
	$(BIN)/fastnn train digits --out demo/digits.safetensors --plot demo/digits.png

# The suite runs twice: on the compiled kernels (every instruction set of this CPU) and on their NumPy twin.
test: test-native test-reference

test-native: setup
	$(BIN)/python -m pytest

test-reference: setup
	FASTNN_BACKEND=reference $(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

# The tests that skip without a package that is not installed otherwise.
PEER_TESTS = $(wildcard $(foreach peer,torch sklearn interop convert metrics pickling,tests/test_*$(peer)*.py))
test-peers: setup
	$(PIP) install --group test-peers
	$(BIN)/python -m pytest $(PEER_TESTS)

bench: setup
	mkdir -p build
	$(BIN)/python -m pytest bench --benchmark-only --benchmark-json=build/bench.json
	$(BIN)/python bench/report.py build/bench.json

bench-calls: setup
	$(BIN)/python bench/calls.py

bench-gemm: setup
	$(BIN)/python bench/gemm.py

bench-threads: setup
	$(BIN)/python bench/threads.py

bench-dialects: setup
	$(BIN)/python bench/dialects.py

bench-peers: setup
	$(PIP) install --group bench-peers
	mkdir -p build
	$(BIN)/python bench/peers.py --plot build/peers.png

# DATA: a folder with MNIST's IDX files; without it the small digits that come with fastnn.
bench-fit: setup
	$(PIP) install --group bench-peers
	$(BIN)/python bench/fit.py $(DATA)

bench-estimators: setup
	$(PIP) install --group bench-peers
	$(BIN)/python bench/estimators.py

bench-scaling: setup
	$(PIP) install --group bench-peers
	mkdir -p build
	$(BIN)/python bench/scaling.py --plot build/scaling.png

bench-memory: setup
	$(PIP) install --group bench-peers
	$(BIN)/python bench/memory.py

bench-convolutions: setup
	$(PIP) install --group bench-peers
	$(BIN)/python bench/convolutions.py

# The documentation, build/docs/html/index.html; a warning is an error.
docs: setup
	$(PIP) install --group docs
	$(BIN)/python -m sphinx -n -W --keep-going -b html docs build/docs/html

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src
	$(BIN)/python -m mypy.stubtest fastnn._core --allowlist tools/stubtest-allowlist.txt

# The sdist, a wheel from it in isolation, and of that one a wheel with all that it needs beside Python: a manylinux one.
wheel: $(VENV)/tools
	$(PIP) install --group wheel
	rm -rf dist build/wheel
	FASTNN_REQUIRE_NATIVE=1 $(BIN)/python -m build --outdir build/wheel .
	mkdir -p dist && cp build/wheel/*.tar.gz dist
	PATH="$(abspath $(BIN)):$$PATH" auditwheel repair --strip --wheel-dir dist build/wheel/*.whl
	$(BIN)/python tools/check_wheel.py dist/*.whl

# That wheel beside NumPy alone: it trains; and with the tests' packages, away from this tree: the tests pass.
WHEEL_TEST = build/wheel-test
test-wheel: wheel
	rm -rf $(WHEEL_TEST) && $(PYTHON) -m venv $(WHEEL_TEST)/venv
	$(WHEEL_TEST)/venv/bin/python -m pip --disable-pip-version-check -q install dist/*.whl
	cp -r tests pyproject.toml $(WHEEL_TEST)
	cd $(WHEEL_TEST) && venv/bin/fastnn info && venv/bin/fastnn train digits --epochs 5
	$(WHEEL_TEST)/venv/bin/python -m pip --disable-pip-version-check -q install "pip>=25.1"
	cd $(WHEEL_TEST) && venv/bin/python -m pip --disable-pip-version-check -q install --group test
	cd $(WHEEL_TEST) && venv/bin/python -m pytest

clean:
	rm -rf build dist demo docs/reference/generated $(VENV)

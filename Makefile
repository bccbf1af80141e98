# On a fresh machine: `make report` or `make test`; each first sets up .venv by itself.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# a peer in tests; without what it asks for, of which its neurons need tqdm, and torchvision would bring its own torch
SPIKINGJELLY := spikingjelly==0.0.0.0.14
BIN := .venv/bin
SMALL := not compiled and not slow

.PHONY: setup report test test-slow test-nojit lint bench notebooks clean
.DELETE_ON_ERROR:

setup: .venv/ready

.venv/ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'xbarsim needs Python 3.11 or newer: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(SPIKINGJELLY)
	touch $@

report: setup
	$(BIN)/xbarsim report

test: setup
	$(BIN)/python -m pytest -n 2

test-slow: setup
	$(BIN)/python -m pytest -n 2 -m slow

test-nojit: setup
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "$(SMALL)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=2 $(BIN)/python benchmarks/circuit.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/devices.py
	OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 $(BIN)/python benchmarks/training.py
	OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 $(BIN)/python benchmarks/inference.py
	OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 $(BIN)/python benchmarks/studies.py

notebooks: setup
	for script in notebooks/*.py; do env -u XBARSIM_QUICK $(BIN)/jupytext --quiet --to ipynb --execute $$script || exit 1; done

clean:
	rm -rf .venv

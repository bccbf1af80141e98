# On a fresh machine: `make report` or `make test`; each first sets up .venv by itself.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# peers in tests, and a data set; without what they ask for: neurons of SpikingJelly and Norse need tqdm and nirtorch, and
# torchvision would bring its own torch
BARE := spikingjelly==0.0.0.0.14 norse==1.1.0 nirtorch==2.6 aeon==1.6.0
BIN := .venv/bin
SMALL := not compiled and not slow

.PHONY: setup report test test-slow test-nojit test-lowest test-circuits test-wheel lint bench notebooks clean
.DELETE_ON_ERROR:

setup: .venv/ready

.venv/ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'xbarsim needs Python 3.11 or newer: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(BARE)
	touch $@

report: setup
	$(BIN)/xbarsim report

test: setup
	$(BIN)/python -m pytest -n 2

# campaigns: kills, damaged files, goldens of shipped networks and studies
test-slow: setup
	$(BIN)/python -m pytest -n 2 -m slow

# kernels as plain Python, by the tests of the rooms that have some or build on them at once
test-nojit: setup
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "$(SMALL)" tests/unit \
		$(addprefix --ignore tests/unit/,xbarsim/study mapping/cli mapping/figures mapping/study mapping/training)

# the tests of each room with the lowest versions that pyproject.toml allows, but for torch; their own warnings of what is
# deprecated are old
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	grep -o '"[a-z][a-z0-9-]*>=[0-9.]*' pyproject.toml | sed 's/"//; s/>=/==/; /^torch=/d' | sort -u > .venv-lowest/lowest.txt
	echo "pyparsing<3.3" >> .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet "$(TORCH)" -c .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet -e ".[dev]" -c .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet --no-deps $(BARE)
	.venv-lowest/bin/python -m pytest -n 2 tests/unit \
		-W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning \
		-W default::pytest.PytestUnraisableExceptionWarning

# the tests of circuits and devices, without torch, by another Python: make test-circuits PYTHON=python3.14
test-circuits:
	$(PYTHON) -m venv --clear .venv-circuits
	.venv-circuits/bin/python -m pip install --quiet --only-binary :all: -e ".[files,cluster]" \
		pytest pytest-xdist hypothesis mpmath
	.venv-circuits/bin/python -m pytest -n 2 tests/unit/xbarsim

# a wheel in an environment of its own, outside this folder, at first without torch
test-wheel: setup
	$(PYTHON) -m venv --clear .venv-wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w .venv-wheel/dist .
	.venv-wheel/bin/python -m pip install --quiet .venv-wheel/dist/*.whl
	cd .venv-wheel && env -u PYTHONPATH ../.ci/bare
	.venv-wheel/bin/python -m pip install --quiet "$(TORCH)"
	.venv-wheel/bin/python -m pip install --quiet "$$(echo .venv-wheel/dist/*.whl)[networks]"
	cd .venv-wheel && env -u PYTHONPATH bin/xbarsim report --images 50

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
	rm -rf .venv .venv-*

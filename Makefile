# demo and test set themselves up: they need Python >= 3.10, pip and make, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Small matrix products gain nothing from a thread pool, and two pools on one machine fight for its cores.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test fuzz crash test-minimum test-python lint audit lock docs bench clean

demo: $(VENV)/.installed-all
	$(BIN)/linmem demo --out demo $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 $(ARGS)

# Mutated and generated inputs through every door; docs/reliability.md has the figures: make fuzz PROCESSES=2
CASES ?= 1250
PROCESSES ?= 2
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz --cases $(CASES) --processes $(PROCESSES) $(ARGS)

# 50 kills and 20 interrupts at random moments, and the slow tests of the crash suite; docs/reliability.md has the figures.
crash: $(VENV)/.installed-dev
	$(BIN)/python -m tests.crash.random_kills --kills 50 --seed 0 $(ARGS)
	$(BIN)/python -m tests.crash.random_kills --kills 20 --seed 0 --interrupt $(ARGS)
	$(BIN)/python -m pytest -m "slow or not slow" tests/crash tests/test_lost_workers.py

# The oldest version of every dependency that pyproject.toml admits: make test-minimum PYTHON=python3.10
test-minimum:
	$(PYTHON) -m venv .venv-minimum
	$(PYTHON) tools/minimum_versions.py pyproject.toml > .venv-minimum/constraints.txt
	.venv-minimum/bin/python -m pip install --quiet --constraint .venv-minimum/constraints.txt --editable ".[test]"
	.venv-minimum/bin/python -m pytest $(ARGS)

# The versions of constraints.txt on another Python: make test-python PYTHON=python3.13
test-python:
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON)) PYTHON=$(PYTHON)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Pins that are not the newest, from the package registry; then known vulnerabilities, where their database is reached.
audit: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv pip-audit
	$(BIN)/python tools/newest_versions.py constraints.txt
	-$(BIN)/python -m pip_audit --strict --local --progress-spinner off --skip-editable

# requirements-dev.lock: every package of the development environment with hashes, except torch (see its first lines).
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python tools/lock.py > requirements-dev.lock.new
	mv requirements-dev.lock.new requirements-dev.lock

docs: $(VENV)/.installed-docs
	rm -rf docs/api/generated
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html $(ARGS)
	$(BIN)/python tools/check_links.py docs/_build/html

bench: $(VENV)/.installed-dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .venv-* demo dist build docs/_build docs/gallery docs/api/generated docs/capabilities_table.md .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[$*]"
	@touch $@

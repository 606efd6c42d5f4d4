# demo and test set themselves up: they need Python >= 3.10, pip and make, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Small matrix products gain nothing from a thread pool, and two pools on one machine fight for its cores.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.installed-all
	$(BIN)/linmem demo --out demo $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	rm -rf docs/api/generated
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html $(ARGS)
	$(BIN)/python tools/check_links.py docs/_build/html

bench: $(VENV)/.installed-dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) demo dist build docs/_build docs/gallery docs/api/generated docs/capabilities_table.md .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[$*]"
	@touch $@

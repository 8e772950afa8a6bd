# `make demo` and `make test` need Python 3.11 to 3.14, make and git; they install the rest into .venv,
# from wheels only.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Compile once, not in each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types soak containers charm clean

demo: $(VENV)/.installed
	$(BIN)/honeybadger local

# Four files at a time on two cores, in their order: tests of real processes, which mostly wait, come amid others.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not soak and not containers" -n 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-test
	$(BIN)/mypy

soak: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m soak

# Needs a Docker engine, Compose, and debootstrap as root; skips, and says so, where they are missing.
containers: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m containers -rs

# The second cryptographic suite: compiled, so it needs gcc and Debian's packages, which it names where they are missing.
charm: $(VENV)/.installed
	crypto/charm/build $(BIN)/python

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Python 3.11, 3.12, 3.13 or 3.14 is needed: its wheels were checked. Name one with: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml setup.py | $(VENV)/bin/python
	$(BIN)/pip install --quiet --prefer-binary --only-binary=:all: setuptools wheel
	$(BIN)/pip install --quiet --no-build-isolation --only-binary=:all: --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml setup.py examples/sequencer/pyproject.toml | $(VENV)/.installed
	$(BIN)/pip install --quiet --no-build-isolation --only-binary=:all: --editable '.[test]'
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --no-index --editable examples/sequencer
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

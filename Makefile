# Two commands: `make quickstart` runs the main job, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two tests at a time, a file's tests one after the other, and no more threads than that.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
STAMP  := $(VENV)/.installed

# Without its compiled files every process of a test would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# A CPU build of torch from its own index: make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check -q -c constraints.txt \
               $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: help install quickstart clients test test-slow check static format docs-sql clean

help:
	@echo "make quickstart  install and tune the shipped base model on an example task"
	@echo "make test        install and run the tests"
	@echo "make check       format, lint, types, import contract, tests"
	@echo "make test-slow   the tests that take longer"
	@echo "make install     create $(VENV) with everything"
	@echo "make format      rewrite the code in house format"
	@echo "make clean       remove $(VENV) and the client environments"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt setup.py $(wildcard src/modiste/nn/native/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Modiste needs Python 3.11 or newer, this is %d.%d; try: make install PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[local,data,postgres,sql,trackers,ray,qlora,gguf,dev]'
	$(BIN)/python -m compileall -q -j 0 src
	@touch $@

quickstart: install
	$(BIN)/modiste quickstart

# One virtual environment for each stock client that the journeys drive.
clients: install
	$(BIN)/python tests/journeys/make_clients.py

test: install clients
	$(PYTEST)

test-slow: install clients
	$(PYTEST) -m slow --no-loadscope-reorder --timeout 900 --durations 20

static: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: static test

docs-sql: install
	MODISTE_WRITE_PAGES=1 $(BIN)/python -m pytest -m slow -n0 tests/journeys/test_sql_page.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .clients

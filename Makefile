# From a machine with Python >= 3.11 and make to anything here; set-up is done once and redone when its inputs change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check docs bench clean
.PRECIOUS: $(VENV)/.ready-%

help:
	@echo "make demo    convert a network on real data and write a report"
	@echo "make test    run the tests"
	@echo "make check   formatting, lint, types"
	@echo "make docs    build the pages into site/"
	@echo "make bench   measure the kernels (spikeworks bench)"
	@echo "make clean   remove what these made, the environment included"

# One environment; a stamp per extra, written only when its installation has succeeded.
$(VENV)/.ready-%: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: '$(PYTHON)' is not there; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  "make: $(PYTHON) is Python %d.%d, expected 3.11 or newer; name one: make PYTHON=/path/to/python3" % v[:2])'
	@if [ -e $(VENV)/.unfinished ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf $(VENV) && mkdir $(VENV) && : > $(VENV)/.unfinished && \
	  $(PYTHON) -m venv $(VENV) && rm $(VENV)/.unfinished; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

demo: $(VENV)/.ready-demo
	$(BIN)/spikeworks demo $(DEMO)

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.ready-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.ready-demo
	$(BIN)/spikeworks bench

clean:
	rm -rf $(VENV) site dist build spikeworks-report .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

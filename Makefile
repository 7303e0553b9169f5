# make demo: examine the examples and write report.html.  make test: lint, types, import contract, tests.
PYTHON ?= python3
CORE := .venv
TEST := .venv-test
export PIP_DISABLE_PIP_VERSION_CHECK = 1
SOURCES := $(shell find src -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: demo test lint types contract unit clean

$(CORE)/.installed: pyproject.toml $(SOURCES)
	$(PYTHON) -m venv $(CORE)
	$(CORE)/bin/python -m pip install --quiet --no-compile .
	touch $@

$(TEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet 'torch==2.13.0'
	$(TEST)/bin/python -m pip install --quiet --editable '.[test,lab,index,server]'
	touch $@

demo: $(CORE)/.installed
	rm -rf out/demo
	$(CORE)/bin/veriscope examine examples --html --out out/demo --index report.html
	$(CORE)/bin/veriscope examine examples/spliced.jpg
	@echo "open report.html"

test: lint types contract unit

lint: $(TEST)/.installed
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

types: $(TEST)/.installed
	$(TEST)/bin/mypy

contract: $(TEST)/.installed
	$(TEST)/bin/lint-imports

unit: $(TEST)/.installed
	$(TEST)/bin/python -m pytest

clean:
	rm -rf $(CORE) $(TEST) out report.html

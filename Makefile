# One entry point for everything; `make help` lists the targets.
# `make demo` and `make test` set up all they need; a second call starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed.stamp
SITE_TOOLS := $(VENV)/site.stamp
LINKS := compiler:compiler passes:passes runtime:runtime error_pages:docs/errors
CHECKED := tests benchmarks examples
WORKERS ?= 2

DEMO_MODEL := build/models/resnet50.onnx
DEMO_PLAN := build/resnet50.plan
DEMO_REPORT := build/resnet50.html

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install links demo test check lint types docs format models bench backend-suite operators-page browser clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## make .venv with wsec and its tools in it

demo: $(INSTALLED) $(DEMO_MODEL) ## compile ResNet-50 for wse2, run its shards, compare with onnxruntime, write the report
	$(BIN)/wsec compile $(DEMO_MODEL) --target wse2 -o $(DEMO_PLAN)
	$(BIN)/wsec run $(DEMO_PLAN) --verify
	$(BIN)/wsec report $(DEMO_PLAN) -o $(DEMO_REPORT)

test: $(INSTALLED) ## run the tests (PYTEST_ARGS="-k placement" chooses some)
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

check: lint types docs models browser test backend-suite ## everything that must pass before a change goes in

lint: $(INSTALLED) ## style, formatting and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED) ## strict types of the package, the tests and the scripts
	$(BIN)/mypy -p wsec
	$(BIN)/mypy --explicit-package-bases $(CHECKED)

docs: $(SITE_TOOLS) ## the documentation as a site, in build/site; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

format: $(INSTALLED) ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

models: $(INSTALLED) ## fetch the real models that tests and benchmarks use into build/models
	$(BIN)/python benchmarks/real_models.py --dest build/models

browser: ## install Chromium, in which the report is tested, where it is missing and apt can do it
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else echo "THE REPORT WILL NOT BE TESTED IN A BROWSER: install chromium, or run make browser as root"; fi

bench: $(INSTALLED) models $(DEMO_MODEL) ## compile every model and print what it took
	$(BIN)/python benchmarks/compile.py

backend-suite: $(INSTALLED) ## run the ONNX backend suite through wsec and print a table by operator
	$(BIN)/python benchmarks/backend_suite.py --workers $(WORKERS) --json build/backend-suite.json

operators-page: $(INSTALLED) ## make docs/operators.md again, from the tables that the compiler works by
	$(BIN)/python -m wsec.operator_support > docs/operators.md.new
	mv docs/operators.md.new docs/operators.md

clean: ## remove what was built, except .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(DEMO_MODEL): examples/models/classic.py | $(INSTALLED)
	$(BIN)/python examples/models/classic.py resnet50 -o $@

$(INSTALLED): pyproject.toml constraints.txt | links
	@$(PYTHON) -c 'import sys; sys.exit("wsec needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	$(BIN)/python -m wsec.warm_up
	@touch $@

$(SITE_TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[docs]'
	@touch $@

# Some checkouts (archives, systems without symbolic links) lose the links that make the folders importable, and the pages of error codes part of the package.
links:
	@for pair in $(LINKS); do \
	  link=src/wsec/$${pair%%:*}; name=$${pair#*:}; \
	  if [ "$$(readlink $$link)" = "../../$$name" ]; then continue; fi; \
	  if [ -d $$link ] && [ ! -L $$link ]; then \
	    echo "$$link is a folder, and should be a link to ../../$$name: move it away"; exit 1; \
	  fi; \
	  rm -f $$link && ln -s ../../$$name $$link || exit 1; \
	done

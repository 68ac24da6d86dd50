# Everything a person types here. Each target makes the environment it needs; `make help` lists all.

PYTHON ?= python3
ARGS ?=
k ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
READY := $(VENV)/.ready
SOURCES := protocol storage node devnet tests

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup devnet test check fix wire swarm long profit crash damage bench cover lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with exactly what constraints.txt pins
	@echo "ready: $(BIN)/minesync"

devnet: $(READY) ## run a demonstration network (make devnet ARGS=--once ends by itself)
	@$(BIN)/minesync devnet demo $(ARGS)

test: check ## check, then every test but wire, bench and swarm; what CI runs (k=... selects)
	@$(BIN)/python -m pytest --ignore=tests/tidy $(if $(k),-k "$(k)") $(ARGS)

check: $(READY) ## format, lint, types, layers, shape: nothing is changed
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q tests/tidy

fix: $(READY) ## repair what format and lint can repair
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

wire: $(READY) ## tests on real sockets and real processes
	@$(BIN)/python -m pytest -m wire tests/wire $(ARGS)

swarm: $(READY) ## 20,000 simulated networks of objects, 500 of whole nodes, every check
	@$(BIN)/minesync sim run --layer core --seeds 20000 $(ARGS)
	@$(BIN)/minesync sim run --layer node --seeds 500 $(ARGS)

long: $(READY) ## histories, interleavings, store programs, cheats: the suites too long for test
	@$(BIN)/python -m pytest -m swarm tests/swarm $(ARGS)

profit: $(READY) ## what each cheat pays, with and without its defence (ARGS="--runs 4 NAME ...")
	@$(BIN)/python -m tests.swarm.profit $(ARGS)

crash: $(READY) ## kill stores and nodes, cut the power, count what is lost (ARGS=--quick)
	@$(BIN)/python -m tests.crash $(ARGS)

damage: $(READY) ## spoil files and fail writes one by one, count what goes unseen
	@$(BIN)/python -m tests.damage $(ARGS)

bench: $(READY) ## one line of JSON for each figure (k=... selects)
	@$(BIN)/python -m tests.benchmarks $(k)

cover: $(READY) ## test with branch coverage
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage report

lock: ## pin every dependency anew into constraints.txt, for every platform it is published for
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet uv
	@{ echo "# Every package of .venv by version and content. Written by \`make lock\`; never by hand."; \
	   build/lock/bin/uv pip compile pyproject.toml --extra dev --extra build --quiet \
	     --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	     --no-emit-package fastecdsa --no-emit-package colorama --no-emit-package httpx2-jsfetch; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt

clean: ## remove everything that make has made, .venv too
	@rm -rf $(VENV) build dist htmlcov .coverage .hypothesis
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp: made anew when what it depends on is newer. setuptools comes first, because the few
# dependencies that are published as source only are then built with the pinned one, not with what
# pip would fetch. pip's words go to a file, and come out only when it fails.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "minesync needs Python 3.11 or newer; name one: make setup PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "no virtual environment: install Python's venv module (python3-venv)"; exit 1; }
	@echo "installing into $(VENV), a minute or two the first time"
	@log=$(VENV)/setup.log; \
	awk '/^[a-z]/ {ours = /^setuptools==/} ours' constraints.txt > $(VENV)/setuptools.txt; \
	{ $(PIP) --require-hashes -r $(VENV)/setuptools.txt && \
	  $(PIP) --require-hashes --no-deps --no-build-isolation -r constraints.txt && \
	  $(PIP) --no-deps --no-build-isolation -e . ; } > $$log 2>&1 || { \
	  tail -n 15 $$log; echo "setup failed; all of it is in $$log"; \
	  if grep -q "Python\.h.*\(No such file\|not found\)" $$log; then \
	    echo "Python's headers are missing: install python3-dev"; fi; \
	  if grep -q "No such file or directory: '[^']*cc'\|command '[^']*cc' failed: No such" $$log; then \
	    echo "a C compiler is missing: install gcc"; fi; \
	  exit 1; }
	@touch $@

# What this project does to itself. `make help` lists it; the first of the two README commands
# that you give makes the environment, once.

# The first Python here that is new enough; another one:  make setup PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed
READY := .venv/ready
# What the demo opens; any other embedded model is fetched when something first asks for it.
DEMO_MODELS := pp-ocrv6-small-det pp-ocrv6-small-rec en-core-web-sm all-minilm-l6-v2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos bench quality clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY) ## make .venv, install everything into it, prepare the demo's models

demo: $(READY) ## make sample documents, read and annotate them, say where the result lies
	$(BIN)/gristmill demo

test: setup check ## set up, then every check

# Stops at the first check that fails, and names it.
check: $(READY) ## ruff, mypy, import rules, tests
	$(call must,ruff check)
	$(call must,ruff format --check)
	$(call must,mypy)
	$(call must,lint-imports)
	$(call must,pytest -n 2 --dist loadgroup)

chaos: $(READY) ## the long kill campaigns, and the tests that cost most
	$(BIN)/pytest -m chaos

bench: $(READY) ## speed and memory beside other ways of doing the same
	$(BIN)/python -m benchmarks.run --repeat 3 --write
	$(BIN)/python -m benchmarks.tasks --repeat 3 --write

quality: $(READY) ## how right the tasks are with the embedded models, on real data
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality --write

clean: ## remove the environment and what the tools left; models stay in their cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

must = @echo "== $(1)"; $(BIN)/$(1) || { echo "FAILED: $(1)" >&2; exit 1; }

# An installation that was cut short is begun anew: half a package can look like a whole one.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed: make setup PYTHON=..." >&2; exit 1; }
	@if test -e .venv/unfinished; then rm -rf .venv; fi
	@mkdir -p .venv && touch .venv/unfinished
	$(PYTHON) -m venv .venv
	@echo "installing into .venv; a few minutes the first time"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[embedded,diffusion,search,video,delta,iceberg,postgres,dev]'
	@rm .venv/unfinished && touch $@

# What is in the models' cache already is not fetched again.
$(READY): $(INSTALLED)
	$(BIN)/gristmill models $(DEMO_MODELS)
	@touch $@

# Each target sets up what it needs in .venv.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
MARK := .made-by-make-demo
.DEFAULT_GOAL := help

.PHONY: help env demo test test-all mutations lint generated solve format lock clean

help:  ## List these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

.venv/.ready: envs/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "overtile needs Python 3.11 to 3.13, found %d.%d; run make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $$(grep -o 'torch==[0-9.]*' pyproject.toml)
	$(BIN)/python -m pip install --quiet -r envs/requirements.txt
	touch $@

env: .venv/.ready  ## Make the environment in .venv

# In a folder of its own, marked as such: make clean removes that, and never a user's archive.
demo: env  ## Segment the demonstration archive in demo/ and score it (no GPU, no download)
	@if [ -e demo ] && [ ! -e demo/$(MARK) ]; then echo "demo/: is not the demonstration's; rename it" >&2; exit 1; fi
	mkdir -p demo && touch demo/$(MARK)
	snakemake --directory demo --configfile config/config.yaml --cores $(CORES) --resources gpu=1 --rerun-incomplete --quiet rules reason host
	@echo; cat demo/logs/write_report.log; echo "in demo/"

# The validator of RO-Crates asks for another rocrate than the workflow.
.venv/checks/.ready: envs/checks.txt | .venv/.ready
	$(BIN)/python -m venv .venv/checks
	.venv/checks/bin/python -m pip install --quiet -r envs/checks.txt
	touch $@

PYTEST = python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: env .venv/checks/.ready  ## Run the tests that a change needs (12 minutes on two cores)
	$(PYTEST) -m "not long" $(ARGS)

test-all: env .venv/checks/.ready  ## Run all tests, also long ones and those on SLURM (30 minutes)
	$(PYTEST) --hypothesis-profile thorough --reversed $(ARGS)

mutations: env  ## Change training line by line, and see that tests notice (an hour)
	python tests/mutations.py

lint: env  ## Check style, types, imports, rules, shipped configurations and environments
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	PYTHONPATH=scripts lint-imports
	mypy
	PYTHONPATH=workflow/lib python tests/lint_workflow.py
	python tests/environments.py
	python tests/code_names.py

generated: env  ## Write the schema and the tables of the configuration from its settings
	python tests/generated.py --write

solve: env  ## Ask conda-forge whether the builds of envs/*.yaml exist (lint cannot)
	python tests/solve_environments.py

format: env  ## Format code and rules
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

lock: env  ## Lock the newest versions that pyproject.toml allows
	uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --no-emit-index-url --no-annotate --upgrade --custom-compile-command "make lock" pyproject.toml --all-extras --group dev -o envs/requirements.txt

clean:  ## Remove what make demo made, and nothing else
	@if [ -e demo/$(MARK) ]; then rm -r demo; elif [ -e demo ]; then echo "demo/: is not the demonstration's; it stays"; fi

# Each target sets up what it needs in .venv.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
.DEFAULT_GOAL := help

.PHONY: help env demo test lint solve format lock clean

help:  ## List these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

.venv/.ready: envs/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "overtile needs Python 3.11 to 3.13, found %d.%d; run make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -r envs/requirements.txt
	touch $@

env: .venv/.ready  ## Make the environment in .venv

demo: env  ## Segment the demonstration archive and score it (no GPU, no download)
	snakemake --cores $(CORES) --resources gpu=1 --rerun-incomplete --quiet rules reason host
	@echo; cat logs/write_report.log

# The validator of RO-Crates asks for another rocrate than the workflow.
.venv/checks/.ready: envs/checks.txt | .venv/.ready
	$(BIN)/python -m venv .venv/checks
	.venv/checks/bin/python -m pip install --quiet -r envs/checks.txt
	touch $@

test: env .venv/checks/.ready  ## Run all tests
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: env  ## Check style, imports, rules, shipped configurations and environments
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	PYTHONPATH=scripts lint-imports
	PYTHONPATH=workflow/lib python tests/lint_workflow.py
	python tests/lint_environments.py

solve: env  ## Ask conda-forge whether the builds of envs/*.yaml exist (lint cannot)
	python tests/solve_environments.py

format: env  ## Format code and rules
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

lock: env  ## Lock the direct requirements anew
	uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --no-emit-index-url --no-annotate --upgrade --custom-compile-command "make lock" envs/requirements.in -o envs/requirements.txt

clean:  ## Remove results, logs and the demonstration archive, not the environment
	rm -rf results logs resources benchmarks/*/ benchmarks/*.tsv .snakemake .pytest_cache .hypothesis .ruff_cache

# Everything a newcomer needs: `make run` and `make test`. Each sets up .venv first.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/clients/node
ARGS ?=
BUDGET ?= 5m

.PHONY: help run setup test check types tests coverage catalogue e2e torture fuzz bench bench-query bench-peers lock clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## set up .venv and serve on 127.0.0.1:8787 (ARGS="--tag env=dev" adds flags)
	@exec $(BIN)/spiritsafe serve $(ARGS)

setup: $(VENV)/.dev  ## only the set-up: .venv with everything that runs and tests

test: $(VENV)/.dev check types tests  ## format, lint, types, tests and house rules

check: $(VENV)/.dev
	@echo "== format and lint"
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: run '$(BIN)/ruff format .'"; exit 1; }
	@$(BIN)/ruff check --quiet .

types: $(VENV)/.dev
	@echo "== types"
	@$(BIN)/mypy

tests: $(VENV)/.dev $(NODE)/node_modules/.package-lock.json .instructor/.done
	@echo "== tests and house rules"
	@scripts/test

coverage: $(VENV)/.dev  ## the tests once more, with the branches they miss
	@scripts/coverage

catalogue: $(VENV)/.dev  ## tests/CATALOGUE.md: what has to hold, and which tests prove it
	@scripts/catalogue

e2e: $(VENV)/.dev .instructor/.done  ## the proxy in front of a real llama.cpp server (compiles it once: some minutes)
	@scripts/e2e

torture: $(VENV)/.dev  ## kills and faults under load until BUDGET=5m is spent (ARGS="--seed 7" or "--list")
	@$(BIN)/python -m tests.torture --budget $(BUDGET) $(ARGS)

fuzz: $(VENV)/.dev  ## 100000 examples for each fuzz test (FUZZ_EXAMPLES=n for another number)
	@scripts/fuzz

bench: $(VENV)/.dev  ## the proxy beside its peers, 15 minutes (ARGS="--only unary"; "--only soak --seconds 300")
	@$(BIN)/python bench/run.py $(ARGS)

bench-query: $(VENV)/.dev  ## filters over 10 million exchanges, half an hour the first time (ARGS="--rows 1000000")
	@$(BIN)/python bench/query.py $(ARGS)

bench-peers:  ## install what `make bench` compares with into .bench/ (mitmproxy, LiteLLM, Portkey)
	@PYTHON=$(PYTHON) scripts/bench-peers

lock:  ## resolve requirements/*.txt anew: names, versions and hashes, a week old at least
	@scripts/lock

clean:  ## remove .venv and what tests and benches left
	rm -rf $(VENV) $(NODE)/node_modules .bench .e2e .instructor .mypy_cache .pytest_cache .ruff_cache .coverage* build dist

$(BIN)/pip:
	@scripts/venv $(PYTHON)

$(VENV)/.run: requirements/demo.txt pyproject.toml | $(BIN)/pip
	@echo "== installing what serving and the demo need (hash-pinned)"
	@scripts/install requirements/demo.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/pip
	@echo "== installing what serving and testing need (hash-pinned)"
	@scripts/install requirements/dev.txt
	@touch $@ $(VENV)/.run

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	@scripts/node

.instructor/.done: requirements/instructor.txt
	@PYTHON=$(PYTHON) scripts/instructor

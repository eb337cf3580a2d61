# The verbs are the same at the desk and in CI. `make help` explains them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# Processes of a test run: most tests that need a broker wait for it.
WORKERS ?= 3
PARALLEL = -n $(WORKERS) --dist loadgroup

.PHONY: help install run test-fast test test-all test-containers coverage check format contracts bench chaos clean lock

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the locked dependencies

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into .venv (about a minute the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock || { echo "The packages could not be installed: see the message above; a proxy or a package mirror is set as usual for pip (PIP_INDEX_URL, HTTPS_PROXY)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: install ## start everything on this machine: Kafka, SES with its mailbox, facade, replica
	@$(BIN)/pause-notifications local $(ARGS)

test-fast: install ## run the unit and contract tests and 250 simulated runs, without a broker
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not kafka and not slow" tests/unit tests/contract \
	  'tests/simulation/test_simulation.py::test_whatever_happens_the_invariants_hold[0]' $(ARGS)

test: install ## run what CI runs: every test but the slow ones, on a real Kafka
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --durations=15 $(ARGS)

test-all: install ## run every test: more simulated runs, and a short form of every chaos scenario
	@$(BIN)/python -m pytest $(PARALLEL) --durations=15 $(ARGS)

test-containers: install ## run what CI runs with Kafka in a container, or fail
	@PAUSE_NOTIFICATIONS_TEST_KAFKA=container $(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

coverage: install ## measure what the tests without a broker cover, and fail below the floor
	@$(BIN)/python -m coverage run -m pytest -q -m "not kafka and not slow" tests/unit tests/contract tests/seams tests/simulation
	@$(BIN)/python -m coverage report

check: install ## format, lint (a docstring on every test, too), types, import laws, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: install ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

contracts: install ## write the JSON Schemas, asyncapi.yaml and openapi.json anew from the models
	$(BIN)/python -m deploy.contracts.export

lock: ## resolve the dependencies anew (needs uv); what ships is what is tested, so the tests' lock comes first
	uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements-dev.lock pyproject.toml -o requirements.lock
	echo 'hatchling>=1.27' | uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate - -o deploy/image/build.lock

bench: install ## measure beside plain peers, in about twelve minutes: ARGS="--quick" is a look, "--only rest" a part
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: install ## do harm to everything on purpose and count the mails: [SCENARIO=name] [SEED=n] [ARGS=--list or --short]
	@$(BIN)/python -m tests.chaos $(SCENARIO) $(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## forget .venv, caches and all local data
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

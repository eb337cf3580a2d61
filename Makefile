# The same targets serve developers and CI. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# A shell may forbid Python to keep what it compiles. Then each worker of a test run compiles all tests anew.
export PYTHONDONTWRITEBYTECODE =

# pip shows its progress on a terminal only.
QUIET_IN_A_PIPE := $$([ -t 1 ] || echo --quiet)

# Processes of a test run: many tests with a broker spend their time waiting, so two cores serve three.
WORKERS ?= 3
PARALLEL = -n $(WORKERS)

.PHONY: help install run test-fast test test-all test-alerts test-containers test-image test-compose coverage check compat format contracts bench chaos drill clean lock

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv with the locked dependencies

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing $$(grep -c '==' requirements-dev.lock) packages into .venv: 700 MB, and about a minute the first time."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install $(QUIET_IN_A_PIPE) --disable-pip-version-check --require-hashes -r requirements-dev.lock || { echo "The packages could not be installed: see the message above. Set a proxy or a package mirror as usual for pip (HTTPS_PROXY, PIP_INDEX_URL)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: install ## start everything on this machine: Kafka, SES with its mailbox, facade, replica
	@$(BIN)/pause-notifications local $(ARGS)

test-fast: install ## run the unit and contract tests and 250 simulated runs, without a broker
	@$(BIN)/python -m pytest -n 2 -m "not kafka and not slow and not alerts" tests/unit tests/contract \
	  'tests/simulation/test_simulation.py::test_the_invariants_hold[0]' $(ARGS)

test: install ## run all tests except the slow ones and those in containers, on a real Kafka
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not alerts and not containers and not compose" --durations=15 $(ARGS)

test-all: install ## run all tests: more simulated runs, and a short form of every chaos scenario
	@$(BIN)/python -m pytest $(PARALLEL) -m "not alerts and not containers and not compose" --durations=15 $(ARGS)

test-alerts: install ## provoke each alert on running programs, and see it fire in a real Prometheus; run it alone
	@$(BIN)/python -m tests.alerts $(ARGS)

test-image: install ## build the image, and run it as facade and replicas beside Kafka, each in a container
	@$(BIN)/python -m pytest -m containers --durations=10 tests/containers $(ARGS)

test-compose: install ## start everything of deploy/compose.yaml, and look whether Prometheus has figures
	@$(BIN)/python -m pytest -m compose tests/containers $(ARGS)

test-containers: install ## run the same tests as `make test`, with Kafka in a container
	@PAUSE_NOTIFICATIONS_TEST_KAFKA=container $(BIN)/python -m pytest $(PARALLEL) -m "not slow and not alerts and not containers and not compose" $(ARGS)

coverage: install ## measure the coverage of the tests without a broker; fail below the minimum
	@$(BIN)/python -m coverage run -m pytest -q -m "not kafka and not slow and not alerts" tests/unit tests/contract tests/seams tests/simulation
	@$(BIN)/python -m coverage report

check: install ## check format, lint rules, types, import rules, spelling and published schemas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python -m deploy.contracts.compat
	$(BIN)/python -m pytest -q tests/test_plain_english.py

compat: install ## judge the schemas against all published versions; show who breaks, and an event that shows it
	@$(BIN)/python -m deploy.contracts.compat $(ARGS)

format: install ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

contracts: install ## regenerate the JSON Schemas, asyncapi.yaml, openapi.json and the rules for Prometheus from the code
	$(BIN)/python -m deploy.contracts.export
	$(BIN)/python -m deploy.monitoring.export

lock: ## resolve the dependencies again (needs uv): first the tests' lock, then the image's from it
	uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements-dev.lock --extra tracing pyproject.toml -o requirements.lock
	printf 'cyclonedx-bom>=7\nhatchling>=1.27\n' | uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate - -o deploy/image/build.lock

bench: install ## compare with plain implementations (12 minutes): [ARGS="--quick" or "--only rest"]
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: install ## inject faults into real processes, count the e-mails: [SCENARIO=name] [SEED=n] [ARGS=--list or --short]
	@$(BIN)/python -m tests.chaos $(SCENARIO) $(if $(SEED),--seed $(SEED)) $(ARGS)

drill: install ## walk a drill on a `make run` of its own: NAME=kafka-gone, or all ten (20 minutes); [ARGS=--list]
	@$(BIN)/python -m tests.drills $(NAME) $(ARGS)

clean: ## delete .venv, caches and all local data
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Left as they are, since other projects share them: pip's cache (pip cache dir), and Kafka's jars in ~/.m2/repository and ~/.cache/jgo (about 45 MB)."

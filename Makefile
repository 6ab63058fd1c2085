# The doors of the project. Only python3 (3.11 or later) and make are needed; each target makes .venv itself.
PYTHON ?= python3
STACK ?= local
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install

.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

up: .venv/.run ## Bring a stack up: make up [STACK=local]
	@$(BIN)/slipway up -s $(STACK)

down: .venv/.run ## Take it down again
	@$(BIN)/slipway down -s $(STACK)

plan: .venv/.dev ## Show what a stack would create, without an engine, a cluster or an account
	@$(BIN)/slipway plan -s $(STACK)

test: .venv/.dev ## Pass every test that this machine can run
	@tools/test.sh

cluster: ## Build the Kubernetes control plane that tests/cluster runs on (once, 10 minutes; needs Go, not .venv)
	@$(PYTHON) -m tests.cluster.tools

clients: tests/clients/.venv/.done tests/clients/node/node_modules/.done ## Install the clients that tests/clients tries on the router

policy: tests/policy/.venv/.done ## Install checkov, which tests/policy asks beside kube-score

stores: tests/stores/.venv/.done ## Install Chroma, and Qdrant's client, on which tests/stores tries backups

check: .venv/.dev ## Format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/zizmor --offline --quiet .github/workflows

format: .venv/.dev ## Format and mend what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/.dev ## The router beside other gateways, with and without the operator's side, its fail-over and the plan: medians and ratios
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.overhead --only 'all of it, in memory' --only 'all of it, in Redis'
	$(BIN)/python -m bench.faults
	$(BIN)/python -m bench.plan
	$(BIN)/python -m bench.plan_servers

peers: .venv/.dev ## Install those other gateways, each in an environment of its own below ~/.cache (once, 1.5 GB)
	-$(BIN)/python -m bench.peers install

lock: .venv/.dev ## Remake the lock files; versions stay unless tools/lock.sh --upgrade
	tools/lock.sh

clean: ## Remove what was built; .slipway, which holds running stacks, stays
	rm -rf .venv tests/policy/.venv tests/stores/.venv tests/clients/.venv tests/clients/node/node_modules build dist .pytest_cache .ruff_cache .coverage .coverage.*

# A marker per set of packages: the second time there is nothing to do. uv takes a tenth of pip's time for the clouds' SDKs; where
# pip alone knows the way to a registry, by a pip.conf say, it goes on.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Slipway needs Python 3.11 or later, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Installing what the local stack needs (once)"
	@$(PIP) --no-deps --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: constraints.txt pyproject.toml | .venv/bin/python
	@echo "Installing everything, the clouds' SDKs too (once)"
	@awk '/^[a-z]/ {found = /^uv==/} found' constraints.txt >.venv/uv.txt && $(PIP) --no-deps --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --python $(BIN)/python -r constraints.txt || $(PIP) --no-deps --require-hashes -r constraints.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ .venv/.run

# A client for Python of each kind, in an environment of its own: together they are larger than the project.
tests/clients/.venv/.done: tests/clients/requirements.txt | .venv/.dev
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python tests/clients/.venv
	@$(BIN)/uv pip install --quiet --compile-bytecode --no-deps --require-hashes --python tests/clients/.venv/bin/python -r $<
	@touch $@

tests/policy/.venv/.done: tests/policy/requirements.txt | .venv/.dev
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python tests/policy/.venv
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --python tests/policy/.venv/bin/python -r $<
	@touch $@

# Of Chroma its server alone, which needs nothing of what its wheel asks for.
tests/stores/.venv/.done: tests/stores/requirements.txt tests/stores/chroma.txt | .venv/.dev
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python tests/stores/.venv
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --python tests/stores/.venv/bin/python -r $< -r tests/stores/chroma.txt
	@touch $@

tests/clients/node/node_modules/.done: tests/clients/node/package-lock.json
	@if command -v npm >/dev/null; then cd $(<D) && npm ci --silent --no-audit --no-fund --omit-lockfile-registry-resolved=true && touch node_modules/.done; \
	else echo "npm is not installed: the clients for Node are not tried"; fi

.PHONY: help up down plan test cluster clients policy stores check format bench peers lock clean

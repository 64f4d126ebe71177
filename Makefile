# `make serve` and `make test` need nothing but Python 3.11 or newer: they fill .venv on their first run.
PYTHON ?= python3
PORT ?= 8000
# Served in place of the demo model, e.g. MODEL=Qwen/Qwen3-VL-8B-Instruct.
MODEL ?=
# The demo model: llava or qwen.
FAMILY ?= llava
# Further arguments for gprune-serve, and for pytest.
ARGS ?=
PYTEST_ARGS ?=
# One process tests while the other's server starts. Tests of one server stay in one process.
PROCESSES := -n 2 --dist loadgroup --no-loadscope-reorder
# Where there is no driver nvidia-smi says so on stdout: only a line that names a GPU counts.
BACKEND := $(or $(BACKEND),$(if $(shell nvidia-smi -L 2>/dev/null | grep '^GPU '),cuda,cpu))

BIN := .venv/bin
READY := .venv/.ready-$(BACKEND)
READY_TEST := $(READY)-test
LOCKS := scripts/locks
SETUP := scripts/setup.sh scripts/dependencies.sh scripts/vllm_distribution.py
DEMO := evaluation/demo/models/$(FAMILY)
CODE := $(wildcard gprune_vllm server evaluation loadtest deploy)

SERVED := $(MODEL)
ifeq ($(MODEL),)
SERVED := $(DEMO) --served-model-name gprune-demo --prune-methods all
ifeq ($(BACKEND),cpu)
# The demo model is small: compiling it, or setting gigabytes aside for it, would only delay the start.
SERVED += --enforce-eager
serve: export VLLM_CPU_KVCACHE_SPACE ?= 1
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup serve test test-unit test-nightly lint lock clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install into .venv what serving needs

serve: $(READY) ## Serve MODEL, or without one the demo model, on PORT
	@echo "==> Serving $(or $(MODEL),the demo model of $(FAMILY)) on http://localhost:$(PORT), to be tried at /playground"
	@exec $(BIN)/gprune-serve $(SERVED) --playground --port $(PORT) $(ARGS)

test: lint ## Run the linters, the type checker and the tests
	$(BIN)/python -m pytest $(PROCESSES) $(PYTEST_ARGS)

test-unit: $(READY_TEST) ## Run the tests that need neither an engine nor a server
	$(BIN)/python -m pytest $(PROCESSES) tests/unit $(PYTEST_ARGS)

test-nightly: $(READY_TEST) ## Run the long forms of the tests
	$(BIN)/python -m pytest -m nightly $(PYTEST_ARGS)

lint: $(READY_TEST) ## Run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)

lock: ## Renew the lock files
	@scripts/lock.sh $(PYTHON)

clean: ## Remove caches and build products
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and the tests' tools as well
	rm -rf .venv .cache/tools

$(READY): pyproject.toml $(SETUP) $(LOCKS)/$(BACKEND).txt | $(BIN)/pip
	@scripts/setup.sh $(BIN)/python $(BACKEND)
	@touch $@

$(READY_TEST): pyproject.toml $(SETUP) scripts/tools.sh $(wildcard $(LOCKS)/*.txt) | $(BIN)/pip
	@scripts/setup.sh $(BIN)/python $(BACKEND) test
	@scripts/tools.sh $(BIN)/python
	@touch $(READY) $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not; name one: make PYTHON=... $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "==> Creating .venv"
	@$(PYTHON) -m venv .venv

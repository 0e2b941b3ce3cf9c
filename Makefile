# Everything a developer types. `make` alone says what there is.
# PYTHON chooses the interpreter of .venv, ARGS goes to the command, JOBS is how many test files run at once: make test ARGS="-k refund"

PYTHON ?=
ARGS ?=
JOBS ?= 3
LOCK := requirements.lock
BIN := .venv/bin
STAMP := .venv/installed-in
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A checkout that was moved needs its scripts written anew: the stamp holds the folder it was installed in.
INSTALLED_IN := $(shell cat $(STAMP) 2>/dev/null)
ifneq ($(INSTALLED_IN),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help run demo test lint fmt lock bench fuzz strangers chaos picture setup

help: ## say what each command does
	@echo "Usage: make COMMAND [ARGS=\"...\"] [PYTHON=python3.12]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 10

run: $(STAMP) ## start everything in the foreground on embedded defaults (Ctrl-C stops it)
	@exec $(BIN)/curbside run $(ARGS)

demo: $(STAMP) ## the same with a minute of simulated trade, then the verdict and the end; ARGS="--duration 20 --rate 50"
	@exec $(BIN)/curbside demo $(ARGS)

test: $(STAMP) ## run all tests, JOBS files at a time; ARGS="-k refund -x" goes to pytest, JOBS=0 runs them in one process
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## check style (ruff), formatting (ruff) and types (mypy, strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fmt: $(STAMP) ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure this machine beside rivals in the same run (they are installed into .venv-bench); ARGS=--help lists parts
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(STAMP) ## random and damaged bodies through the decoders for 30 s; ARGS="--seconds 300", "--bodies 2000000 --engine loop", "--replay FILE"
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install --quiet --only-binary :all: -r tests/fuzz/requirements.txt
	@$(BIN)/python -m tests.fuzz $(ARGS)

strangers: $(STAMP) ## attack an ingress of its own: ARGS="broken --requests 1000000 --seed 1", ARGS="idle --connections 10000"
	@$(BIN)/python -m tests.strangers $(ARGS)

chaos: $(STAMP) ## run a deployment under load and faults, and check it from outside: ARGS="--seconds 60 --seed 7 --faults 20 --rate 300"
	@$(BIN)/python -m tests.chaos $(ARGS)

picture: $(STAMP) ## make the README's picture of Flower again, with Debian's chromium
	@$(BIN)/python -m tests.e2e.picture

lock: $(STAMP) ## bring requirements.lock up to pyproject.toml; ARGS=--upgrade also takes newer releases
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	    --no-emit-package curbside --custom-compile-command "make lock" --output-file $(LOCK) $(ARGS) pyproject.toml

setup: $(STAMP) ## only make .venv as requirements.lock says

$(STAMP): $(LOCK) pyproject.toml
	@.ci/install "$(PYTHON)" "$(LOCK)" "$(STAMP)"

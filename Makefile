# The same commands for people and for .ci/run; the environment is made by ./peercell alone.
BIN = $(or $(PEERCELL_VENV),.venv)/bin
UV ?= uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" $(UPGRADE)
EXTRAS = grid simbench plot parquet solver sim ray

.PHONY: help demo test slow check format lint types contracts docs lock clean dev

help:
	@sed -n 's/^## //p' Makefile

## make demo    a village trades among its solar roofs: 35 processes, a minute
demo:
	@./peercell demo

## make test    the fast tests
test: dev
	@"$(BIN)/pytest"

## make slow    the tests that take long: real installs, wheels, containers
slow: dev
	@"$(BIN)/pytest" -m slow

## make check   format, lint, types, import contracts, and the commands in the docs
check: format lint types contracts docs

format: dev
	@"$(BIN)/ruff" format --check --quiet

lint: dev
	@"$(BIN)/ruff" check --quiet

types: dev
	@"$(BIN)/mypy"

contracts: dev
	@"$(BIN)/lint-imports"

docs: dev
	@"$(BIN)/pytest" --quiet tests/test_docs.py tests/test_paper_map.py

## make lock    pin what is installed, by hash; UPGRADE=--upgrade takes newer releases (needs uv)
lock:
	$(COMPILE) --group dev --extra simbench --extra plot --extra parquet --extra solver --extra sim --extra ray --output-file requirements/dev.lock
	$(COMPILE) --constraints requirements/dev.lock --output-file requirements/agent.lock
	$(COMPILE) --constraints requirements/dev.lock --extra sparse --output-file requirements/core.lock
	for extra in $(EXTRAS); do $(COMPILE) --constraints requirements/dev.lock --extra sparse \
	  --extra $$extra --output-file requirements/$$extra.lock || exit; done

## make clean   remove the environment and what the tools leave behind
clean:
	rm -rf .venv .venv.lock build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev:
	@./peercell setup dev

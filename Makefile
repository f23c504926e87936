# Two commands: `make run` for a smart Label Studio queue, `make test` for everything that is checked.
# Python 3.11 or newer is all that is needed; scripts/setup.sh builds the environments and says what is missing.

.DEFAULT_GOAL := help
.PHONY: help install run test bench lint lock clean
BIN := .venv/bin

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1|\2/p' Makefile | awk -F'|' '{printf "make %-9s%s\n", $$1, $$2}'

install: ## Build .venv alone (the backend and its tests, without Label Studio)
	@scripts/setup.sh backend

run: ## Label Studio, Redis, the backend and a worker, with the project "Digits"; Ctrl-C stops them
	@scripts/setup.sh all
	@exec $(BIN)/python -m stack

test: ## Lint, types, and every test against the real parts; coverage is shown (PYTEST adds arguments)
	@scripts/setup.sh all
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --cov --cov-report=term-missing:skip-covered $(PYTEST)

bench: ## List the benchmarks; `.venv/bin/python -m benchmarks NAME` runs one
	@scripts/setup.sh backend
	@$(BIN)/python -m benchmarks

lint: ## Format and lint checks, types
	@scripts/setup.sh backend
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lock: ## Write the hashed locks anew from the .in files (UPGRADE=1 takes the newest releases)
	@scripts/setup.sh backend
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## Remove the environments and caches; .nextlabel (your data) stays
	rm -rf .venv .venv-studio .venv-lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

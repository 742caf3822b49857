# Works with GNU make 3.81 (what macOS has) and newer.
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

# What is installed is known by a stamp. Its name changes with the requirements and with this folder's place, so a
# start with nothing new to install runs no pip.
HASH := $(shell (pwd; cat pyproject.toml packaging/constraints.txt packaging/setup.sh) | cksum | cut -d' ' -f1)
INSTALLED := .venv/.installed-$(HASH)
INSTALLED_FOR_TESTS := $(INSTALLED)-test

export PYTHON
.DEFAULT_GOAL := help
.PHONY: help run setup test test-real bench bench-accuracy bench-classification bench-forecast bench-training soak lint tree licences pins desktop desktop-remove wheel clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s%s\n", $$1, $$2 }' Makefile

run: $(INSTALLED) ## start the app (the first start installs it into .venv)
	@$(BIN)/python -m studio --install-libraries --demo-without-display

setup: $(INSTALLED_FOR_TESTS) ## install what developing needs into .venv

test: $(INSTALLED_FOR_TESTS) ## run the tests but those on the real model, a file on each core at a time; ARGS= goes to pytest
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m "not real" -n logical --dist loadfile $(ARGS)

test-real: $(INSTALLED_FOR_TESTS) ## train the starter model on the sample, for real (minutes)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m real -o timeout=2400 $(ARGS)

bench: $(INSTALLED_FOR_TESTS) ## measure how soon the window is there, and how long it ever does not answer
	$(BIN)/python -m tests.benchmarks.startup
	$(BIN)/python -m tests.benchmarks.stalls
	$(BIN)/python -m tests.benchmarks.curves

bench-forecast: $(INSTALLED_FOR_TESTS) ## measure the memory of twelve short trainings beside its forecast (minutes); ARGS= as in tests/benchmarks/forecast.py
	$(BIN)/python -m tests.benchmarks.forecast $(ARGS)

bench-training: $(INSTALLED_FOR_TESTS) ## training steps against transformers' Trainer and TRL (hours); ARGS="--rounds 1", or --help for all
	$(BIN)/python -m tests.benchmarks.training $(ARGS)

bench-accuracy: $(INSTALLED_FOR_TESTS) ## what the fast step learns beside what Trainer's does (an hour); TRAIN=messages.csv TEST=messages.csv, and ARGS=
	$(BIN)/python -m tests.benchmarks.accuracy $(TRAIN) $(TEST) $(ARGS)

bench-classification: $(INSTALLED_FOR_TESTS) ## classify against generate; RUN=folder DATA=messages.csv, and ARGS= as that file says
	$(BIN)/python -m tests.benchmarks.classification $(RUN) $(DATA) $(ARGS)

soak: $(INSTALLED_FOR_TESTS) ## random actions on the real window; MINUTES=60 SEED=1, and ARGS= as in tests/soak/run.py
	$(BIN)/python -m tests.soak.run --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1) $(ARGS)

lint: $(INSTALLED_FOR_TESTS) ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

licences: $(INSTALLED_FOR_TESTS) ## write packaging/LICENCES.md anew from what is installed
	$(BIN)/python packaging/licences.py > packaging/LICENCES.md.new
	mv packaging/LICENCES.md.new packaging/LICENCES.md

tree: $(INSTALLED_FOR_TESTS) ## write the file tree of README.md anew
	$(BIN)/python packaging/file_tree.py

pins: ## resolve packaging/constraints.txt anew, in a fresh environment
	sh packaging/pin.sh

desktop: $(INSTALLED) ## put the app into this user's applications menu (Linux)
	$(BIN)/python packaging/desktop.py install

desktop-remove: $(INSTALLED) ## take it out of the menu again
	$(BIN)/python packaging/desktop.py remove

wheel: $(INSTALLED_FOR_TESTS) ## build dist/*.whl
	rm -rf build
	$(BIN)/python -m pip wheel . --no-deps --no-build-isolation --wheel-dir dist

clean: ## remove what building and testing made; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find studio resources tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED):
	@sh packaging/setup.sh starter $@

$(INSTALLED_FOR_TESTS):
	@sh packaging/setup.sh starter,test $(INSTALLED) $@

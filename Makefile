# On a fresh machine with Python 3.11 or newer, make and a C library, two commands do everything:
#   make demo   the main job end to end: demonstrations -> ACT-JEPA, ACT and BC -> evaluation -> report
#   make test   the tests
# Both create .venv and install into it once; a re-run reuses what is there.
# PYTHON=... chooses the interpreter, DEMO=... passes options on to the demo, TEST=... to pytest.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help demo test test-fast lint format types docs bench bench-metaworld bench-pusht bench-views check build clean distclean
.DELETE_ON_ERROR:

help:
	@echo "make demo       demonstrations -> ACT-JEPA, ACT and BC -> evaluation -> report (under 12 minutes on 2 cores)"
	@echo "make test       all tests (WORLDJEPA_DATA=folder adds the tests on real recordings); test-fast: without slow ones"
	@echo "make lint       ruff: rules and formatting; format: repair what it can"
	@echo "make types      pyright"
	@echo "make docs       links, file names and code of README.md and docs/"
	@echo "make bench      the quick benchmarks of docs/benchmarks.md; the long ones: bench-metaworld, bench-pusht DATA=FILE, bench-views"
	@echo "make check      what continuous integration runs (.ci/run)"
	@echo "make build      sdist and wheel into dist/"
	@echo "make clean      remove caches and built files; distclean: .venv as well"

demo: $(VENV)/.installed-core
	$(BIN)/python examples/00_demo.py $(DEMO)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(TEST)

test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow" $(TEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/pyright

docs: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/test_docs.py $(TEST)

bench: $(VENV)/.installed-test
	$(BIN)/python examples/benchmarks/windows.py
	$(BIN)/python examples/benchmarks/fit_overhead.py

bench-metaworld: $(VENV)/.installed-test
	$(BIN)/python examples/benchmarks/meta_world.py $(BENCH)

bench-pusht: $(VENV)/.installed-test
	@test -n "$(DATA)" || { echo "name the demonstrations: make bench-pusht DATA=pusht_cchi_v7_replay.zarr.zip"; exit 1; }
	$(BIN)/python examples/benchmarks/pusht.py --data "$(DATA)" $(BENCH)

bench-views: $(VENV)/.installed-test
	$(BIN)/python examples/benchmarks/seq_jepa.py $(BENCH)

check:
	.ci/run

build: $(VENV)/.installed-dev
	$(BIN)/python -m build

clean:
	rm -rf build dist .pytest_cache .ruff_cache
	find worldjepa envs policies tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# The stamps are written after a step has ended well, so that an interrupted installation is taken up again.
$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found. Name one: make demo PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-core: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	@touch $@

# robomimic is the peer whose reader must open our files; its dataset module needs none of its declared dependencies,
# some of which must be compiled.
$(VENV)/.installed-test: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e ".[test]"
	$(PIP) install -c constraints.txt --no-deps robomimic
	@touch $@ $(VENV)/.installed-core

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@

# Everything here needs Python 3.11 or later, git and make; the rest is installed into .venv on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
VENDOR := .venv-vendor
OUT := build/demo

export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-bulk test-battery test-slow test-vendor coverage lint format bench docs clean

# Tests compare with the NIR importer of sinabs, which comes without samna: that installs more of itself where it is imported.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,norse,onnx,snntorch,spikingjelly]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps sinabs pbr
	touch $@

demo: $(STAMP)  ## export the trained digits network to NIR, and prove the file equal on real test images
	mkdir -p $(OUT)
	$(BIN)/norse-export examples/digits/model.pt --target nir --inputs examples/digits/test.npz -o $(OUT)/digits.nir --force

test: $(STAMP)  ## the default suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-bulk: $(STAMP)  ## more cases of what the default suite has a few of
	$(BIN)/python -m pytest -n 2 --dist worksteal -m bulk

test-battery: $(STAMP)  ## every model of the battery, in float64, on grids and as ONNX
	$(BIN)/python -m pytest -n 2 --dist worksteal -m battery

test-slow: $(STAMP)  ## what the default suite is too short for
	$(BIN)/python -m pytest -m slow

$(VENDOR)/installed: $(STAMP)
	$(PYTHON) -m venv $(VENDOR)
	$(VENDOR)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["spinnaker"])')
	touch $@

test-vendor: $(VENDOR)/installed  ## artefacts against the software of chips' vendors, which is installed into $(VENDOR)
	NORSE_EXPORT_VENDOR_PYTHON=$(VENDOR)/bin/python $(BIN)/python -m pytest -m vendor tests/vendor

# The second run is of kernels as plain Python, whose lines are seen only then.
coverage: $(STAMP)  ## the default suite with line coverage, child processes counted
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2 --dist worksteal
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m coverage run -m pytest -n 2 --dist worksteal tests/unit/engine tests/conformance
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --fail-under=95

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy norse_export
	$(BIN)/mypy targets

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## ratios measured in one run, with a description of the machine
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/large_export.py
	$(BIN)/python benchmarks/sim.py
	$(BIN)/python benchmarks/cycles.py
	$(BIN)/python benchmarks/spinnaker.py
	$(BIN)/python benchmarks/onnx_scan.py

docs: $(STAMP)  ## write docs/coverage.md anew
	$(BIN)/python -W ignore docs/write_coverage.py

clean:
	rm -rf $(VENV) $(VENDOR) build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

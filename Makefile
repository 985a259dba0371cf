# The two commands: `make app` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup app test slow lint docs lock sbom clean
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

setup: $(READY)

# torch first and alone, so that its pinned build is what everything after it finds.
$(READY): requirements.txt requirements-dev.txt constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmesr needs Python 3.11 or newer; run make PYTHON=python3.12 (for example)")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.3,<27"
	$(PIP) install --constraint constraints.txt "$$(grep '^torch==' requirements.txt)"
	$(PIP) install --constraint constraints.txt --requirement requirements-dev.txt
	$(PIP) install --no-deps --editable .
	@touch $(READY)

app: setup
	$(BIN)/llmesr app --demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

# After a change of requirements, or to take newer versions: `make clean`, empty constraints.txt, `make test`, `make lock`.
# The mark of a build (+cpu) is left out: which build of torch is installed is not what was asked.
lock: setup
	$(PIP) freeze --all --exclude pip --exclude-editable | sed 's/+[a-z0-9.]*$$//' > constraints.txt

docs: setup
	$(BIN)/python docs/reference.py

# What is installed, for scanners of known weaknesses.
sbom: setup
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip --quiet --disable-pip-version-check install "cyclonedx-bom>=7,<8"
	build/sbom/bin/cyclonedx-py environment --output-file build/sbom.json $(BIN)/python

clean:
	rm -rf $(VENV) build *.egg-info

# The two commands: `make app` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup app test slow lint docs lock lock-check audit sbom clean
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
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

# After a change of requirements, or to take newer versions: `make clean`, empty constraints.txt, `make test`, `make lock`.
# It asks python3.11, 3.12 and 3.13, so that the versions hold for each; PYTHONS="--python /opt/python3.12 ..." names others.
lock: setup
	$(BIN)/python lock.py $(PYTHONS)

lock-check: setup
	$(BIN)/python lock.py --check $(PYTHONS)

# Known weaknesses of the locked versions. --strict: where the index of advisories cannot be asked, it fails and says so.
audit: setup
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip --quiet --disable-pip-version-check install "pip-audit>=2.9,<3"
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement constraints.txt || \
		{ echo "Not audited, or a weakness is named above. A package that is \"not found on PyPI\" means that no index of" \
		"advisories could be asked from here: nothing is known then." >&2; exit 1; }

docs: setup
	$(BIN)/python docs/reference.py

# What is installed, for scanners of known weaknesses.
sbom: setup
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip --quiet --disable-pip-version-check install "cyclonedx-bom>=7,<8"
	build/sbom/bin/cyclonedx-py environment --output-file build/sbom.json $(BIN)/python

clean:
	rm -rf $(VENV) build *.egg-info

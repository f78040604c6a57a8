# make help lists the targets. PYTHON and PORT can be set: make run PORT=9000
PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
# A file's tests share what it makes, so a file stays on one core; the order is tests/conftest.py's.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help install run demo demo-table test lint format clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## make .venv and install what the dashboard needs

run: install ## open the dashboard (PORT=8501)
	@$(BIN)/python -m ftvp_core worker --attached & exec $(BIN)/streamlit run app.py --server.port $(PORT)

demo: install ## run the shipped comparison without a browser
	@$(BIN)/python -m ftvp_core demo

demo-table: install ## measure all that the demo model's card says, and write it there
	@PYTHONPATH=. $(BIN)/python scripts/demo_table.py

test: $(VENV)/.installed-dev ## install what tests need and run all of them
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

lint: $(VENV)/.installed-dev ## ruff and strict types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.installed-dev ## mend what ruff can mend
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean: ## remove .venv and caches; runs under .ftvp stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "ftvp needs Python 3.11 or newer; none is found. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ftvp needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -c 'import platform; print(platform.python_version())'). Name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# The stamps are written last: an install that was cut short is done again.
$(VENV)/.installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.installed

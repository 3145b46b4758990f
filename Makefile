PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help train test check ui data report-page figures clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

train: $(INSTALLED)  ## environment, embedded street scenes, one training, its scores
	$(BIN)/python train.py

test: $(INSTALLED) check  ## environment, lint, format, types, the whole test suite
	$(BIN)/python -m pytest

check: $(INSTALLED)  ## lint, format and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

data: $(INSTALLED)  ## draw the embedded street scenes and inspect them
	$(BIN)/python check_data.py picture=datasets/streets.png

ui: $(INSTALLED)  ## compare runs in MLflow, on http://127.0.0.1:5000
	$(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

report-page: $(INSTALLED)  ## the report's tables beside our runs as they stand now, in report/index.html
	$(BIN)/python report.py

figures: $(INSTALLED)  ## make the pictures of the docs anew
	$(BIN)/python docs/figures/make_street_contact_sheet.py
	$(BIN)/python docs/figures/make_predictions.py

clean:  ## remove environment and caches; data sets, runs and the tracking database stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

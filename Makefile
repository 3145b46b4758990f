PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
OBSERVATIONS := $(CURDIR)/.venv/observations.jsonl
ATTACKS := tests/faults tests/test_training.py tests/test_checkpoint.py tests/data/test_packed.py tests/test_soak.py \
	tests/test_any_config.py tests/data/test_damaged_pictures.py tests/test_nobody_let_in.py tests/test_honest_numbers.py

.PHONY: help train test trust check ui data figures clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

train: $(INSTALLED)  ## environment, embedded street scenes, one training, its scores
	$(BIN)/python train.py

test: $(INSTALLED) check  ## environment, lint, format, types, the whole test suite
	$(BIN)/python -m pytest

trust: $(INSTALLED)  ## the long forms of the tests that attack it, about an hour; writes the table of docs/trust.md
	rm -f $(OBSERVATIONS)
	MTL_SEG_DEPTH_OBSERVATIONS=$(OBSERVATIONS) $(BIN)/python -m pytest $(ATTACKS)
	$(BIN)/python docs/make_trust_table.py $(OBSERVATIONS)

check: $(INSTALLED)  ## lint, format and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

data: $(INSTALLED)  ## draw the embedded street scenes and inspect them
	$(BIN)/python check_data.py picture=datasets/streets.png

ui: $(INSTALLED)  ## compare runs in MLflow, on http://127.0.0.1:5000
	$(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

figures: $(INSTALLED)  ## make the pictures of the docs anew
	$(BIN)/python docs/figures/make_street_contact_sheet.py
	$(BIN)/python docs/figures/make_predictions.py

clean:  ## remove environment and caches; data sets, runs and the tracking database stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

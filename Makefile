PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
BENCHMARKS := step_time data_path whole_run peers metrics_cost startup scaling precision
WHEELS_PYTHON ?= 3.11
WHEELS := hydra-core omegaconf packaging pyyaml pydantic pydantic-core annotated-types typing-inspection \
	typing-extensions filelock safetensors psutil pillow tqdm torchmetrics lightning-utilities hypothesis \
	sortedcontainers optuna colorlog sqlalchemy alembic mako markupsafe

.PHONY: help train test check ui data figures bench bench-smoke wheels clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

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

figures: $(INSTALLED)  ## make the pictures of the docs anew
	$(BIN)/python docs/figures/make_street_contact_sheet.py
	$(BIN)/python docs/figures/make_predictions.py

bench: $(INSTALLED)  ## every benchmark in full (close to an hour on two cores), and the page of their results
	for question in $(BENCHMARKS); do $(BIN)/python benchmarks/$$question.py > /dev/null || exit 1; done
	$(BIN)/python benchmarks/page.py

bench-smoke: $(INSTALLED)  ## every benchmark on as little as possible: whether it works
	$(BIN)/python -m pytest tests/test_benchmarks.py

wheels: $(INSTALLED)  ## what benchmarks/gpu.py needs on an offline machine beside torch and the like
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --constraint constraints.txt \
		--python-version $(WHEELS_PYTHON) --dest wheels $(WHEELS)

clean:  ## remove environment and caches; data sets, runs and the tracking database stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

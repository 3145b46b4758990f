PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
BENCHMARKS := step_time data_path whole_run method_cost processes peers metrics_cost startup scaling precision sweep_overhead pruning \
	predict_large openmp_wait claims
WHEELS_PYTHON ?= 3.11 3.12
WHEELS := hydra-core hydra-optuna-sweeper omegaconf packaging pyyaml pydantic pydantic-core annotated-types typing-inspection \
	typing-extensions filelock safetensors psutil pillow tqdm torchmetrics lightning-utilities hypothesis \
	sortedcontainers optuna colorlog sqlalchemy alembic mako markupsafe

TABLES := sgd_lr adam_lr epochs_batch task_weights pretrained dilation aspp_skip architecture squeeze_excitation \
	depth_norm loss tta

# A table with failed trials (exit code 1) does not stop the others; a stop that was asked for, or a mistake, does.
tables = for table in $(TABLES); do \
	$(BIN)/python train.py sweeps=$$table $(1) || [ $$? -eq 1 ] || exit 1; done

QUICK := encoder.name=resnet18 data.train=128 validation.every_epochs=4 precision=auto hydra.sweeper.n_jobs=2 hydra.sweeper.workers_per_gpu=2
# Stands in for ImageNet: segmentation of other scenes. The encoder of this training is what "pretrained" means there.
PRETRAINING := name=pretraining paths.outputs=outputs/pretraining data.seed=1 model=single model.task=semseg \
	dilation=os32 model.aspp=false model.skip=false validation.every_epochs=4

# A process a core, each with one thread; a file to a process, the longest first (tests/conftest.py remembers which).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

OBSERVATIONS := $(CURDIR)/.venv/observations.jsonl
CLUSTER := $(CURDIR)/.venv/cluster.jsonl
ATTACKS := tests/faults tests/training/test_training.py tests/training/test_together.py tests/runs/test_torchrun.py \
	tests/records/test_checkpoint.py tests/records/test_record.py tests/data/test_packed.py tests/test_soak.py \
	tests/cli/test_mistakes.py tests/cli/test_names.py tests/test_any_config.py tests/data/test_damaged_pictures.py tests/test_nobody_let_in.py tests/test_honest_numbers.py \
	tests/scoring/test_not_finite.py tests/system/test_stored.py tests/system/test_addresses.py tests/test_received.py tests/test_damaged_accounts.py tests/inference/test_export.py \
	tests/sweeping/test_kills.py tests/sweeping/test_signals.py tests/sweeping/test_study_names.py tests/sweeping/test_sweep.py tests/sweeping/test_tables.py \
	tests/sweeping/test_study_database.py tests/sweeping/test_launchers.py tests/test_benchmarks.py

.PHONY: help train test trust cluster check report report-quick report-page ui studies data prune figures bench bench-smoke wheels clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

train: $(INSTALLED)  ## environment, embedded street scenes, one training, its scores
	$(BIN)/python train.py

test: $(INSTALLED) check  ## environment, lint, format, types, the whole test suite
	$(PYTEST)

trust: $(INSTALLED)  ## the long forms of the tests that attack it, 20 to 40 minutes; writes the table of docs/trust.md
	rm -f $(OBSERVATIONS)
	MTL_SEG_DEPTH_OBSERVATIONS=$(OBSERVATIONS) $(PYTEST) $(ATTACKS)
	$(BIN)/python docs/make_trust_table.py $(OBSERVATIONS) trust

cluster: $(INSTALLED)  ## install SLURM, Ray and PostgreSQL (as root, Debian) and run sweeps on them, about 10 minutes
	command -v slurmctld && command -v munged && ls -d /usr/lib/postgresql/*/bin || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge postgresql; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,ray]'
	rm -f $(CLUSTER)
	MTL_SEG_DEPTH_CLUSTER=1 MTL_SEG_DEPTH_OBSERVATIONS=$(CLUSTER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster
	$(BIN)/python docs/make_trust_table.py $(CLUSTER) cluster

check: $(INSTALLED)  ## lint, format and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

studies: $(INSTALLED)  ## look into the sweeps' studies with optuna-dashboard, on http://127.0.0.1:8080
	$(BIN)/optuna-dashboard sqlite:///outputs/studies.db --host 127.0.0.1 --port 8080

data: $(INSTALLED)  ## draw the embedded street scenes and inspect them
	$(BIN)/python check_data.py picture=datasets/streets.png

report: $(INSTALLED)  ## every table of the report, then the page; ARGS="data=miniscapes data.root=..." for all of them
	$(call tables,$(ARGS))
	$(BIN)/python report.py

report-quick: $(INSTALLED)  ## the same on a CPU in about an hour: ResNet18, 128 embedded scenes, 512 steps each
	$(BIN)/python train.py $(PRETRAINING)
	$(call tables,$(QUICK) pretrained=$$(ls -t outputs/pretraining/*/best.pt | head -1))
	$(BIN)/python report.py

report-page: $(INSTALLED)  ## the page alone, of the runs as they stand now, in report/index.html
	$(BIN)/python report.py

ui: $(INSTALLED)  ## compare runs in MLflow: prints the links to their scores and to their curves
	$(BIN)/python -m mtl_seg_depth.tracking.pages

prune: $(INSTALLED)  ## what checkpoints of runs that are over take; ARGS=dry_run=false removes them
	$(BIN)/python prune.py $(ARGS)

figures: $(INSTALLED)  ## make the pictures of the docs anew
	$(BIN)/python docs/figures/make_street_contact_sheet.py
	$(BIN)/python docs/figures/make_predictions.py
	$(BIN)/python docs/figures/make_drive.py

bench: $(INSTALLED)  ## every benchmark in full, and the page of their results
	for question in $(BENCHMARKS); do $(BIN)/python benchmarks/$$question.py > /dev/null || exit 1; done
	$(BIN)/python benchmarks/page.py

bench-smoke: $(INSTALLED)  ## every benchmark on as little as possible: whether it works
	MTL_SEG_DEPTH_OBSERVATIONS=/dev/null $(BIN)/python -m pytest tests/test_benchmarks.py

wheels: $(INSTALLED)  ## what benchmarks/gpu*.py need on an offline machine beside torch, in a folder for each Python
	for version in $(WHEELS_PYTHON); do \
		$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --constraint constraints.txt \
			--python-version $$version --dest wheels/$$version $(WHEELS) || exit 1; done

clean:  ## remove environment and caches; data sets, runs and the tracking database stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

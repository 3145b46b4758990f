"""Sweeps that are killed, and shared: every row once, no finished trial trained twice, nothing left running."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers import postgres_server, sweeps_in
from helpers.composing import HELPERS
from helpers.lengths import LONG, only_long
from mlflow import MlflowClient
from optuna.trial import TrialState

from mtl_seg_depth.sweeping.queue import noted

NETWORK = ("model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
STATELESS = ("optimizer=sgd", "optimizer.momentum=0", "lr.value=1e-3")  # a third of Adam's checkpoint
GRID = ("-m", "loss=l2,l1,berhu,huber", *NETWORK, *STATELESS)
STEPS = 20
KILLED = "a sweep killed at any moment goes on: every row once, no training twice, nothing left running"


def run_workers(folder: Path, kills: int, workers: int, *overrides: str) -> dict[str, int]:
    """Run sweeps in `workers` processes until so many of them were killed; how many kills and sweeps there were."""
    script = HELPERS / "sweep_killing.py"
    often = ["checkpoint.every_minutes=0.0005"] if kills else []
    overrides = (*GRID, *sweeps_in.places(folder, tracked=True), *sweeps_in.tiny(*often, steps=STEPS), *overrides)
    done = subprocess.run(
        [sys.executable, str(script), str(kills), str(workers), str(folder), *overrides],
        capture_output=True,
        text=True,
        timeout=3600 if LONG else 900,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    logs = "\n".join(path.read_text() for path in sorted(folder.glob("worker_*.log")))
    assert done.returncode == 0, done.stderr + logs
    for mishap in ("database is locked", "Traceback", "OperationalError", "IntegrityError"):
        assert mishap not in logs, logs
    result: dict[str, Any] = json.loads(done.stdout)
    assert set(result["codes"]) == {0}, logs
    return {name: int(result[name]) for name in ("kills", "sweeps")}


def assert_nothing_was_lost_or_done_twice(folder: Path, storage: str, sweeps: int) -> dict[str, int]:
    """Looks into the accounts, the studies and the tracking database; returns what it counted."""
    tables = [sweeps_in.load(path) for path in (folder / "outputs" / "sweeps").glob("*/sweep.json")]
    assert len(tables) == sweeps
    for table in tables:
        assert [row["state"] for row in table["rows"]] == ["complete"] * 4
        assert len({run["folder"] for row in table["rows"] for run in row["runs"]}) == 4
        study = optuna.load_study(study_name=table["study"], storage=storage)
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
        assert sorted(noted(trial)["row"] for trial in study.trials) == [0, 1, 2, 3]

    notes = [line.split() for line in (folder / "trainings").read_text().splitlines()]
    finished: set[str] = set()
    twice = 0
    for kind, name, step in notes:
        # A kill can fall between the last step and the result: then there is nothing but the result left to do.
        twice += kind == "begin" and name in finished and int(step) != STEPS
        if kind == "end":
            finished.add(name)
    assert twice == 0, "a finished training was begun again"
    rows = {run["folder"] for table in tables for row in table["rows"] for run in row["runs"]}
    assert finished == rows
    assert len(rows) == 4 * sweeps

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("mtl_seg_depth")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(run.info.status for run in runs) == {"FINISHED": 5 * sweeps}
    parents = {run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags}
    children = Counter(run.data.tags.get("mlflow.parentRunId") for run in runs)
    assert children == {None: sweeps, **dict.fromkeys(parents, 4)}
    return {"trainings": len(finished), "lost": len(rows - finished), "trained_twice": twice}


def test_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path, observed: Callable[..., None]) -> None:
    sweeps_in.prepare(tmp_path)
    seen = run_workers(tmp_path, 60 if LONG else 5, workers=1)
    counted = assert_nothing_was_lost_or_done_twice(tmp_path, f"sqlite:///{tmp_path}/studies.db", seen["sweeps"])
    observed(KILLED, **seen, **counted)


@only_long
def test_two_workers_share_a_sweep(tmp_path: Path, observed: Callable[..., None]) -> None:
    sweeps_in.prepare(tmp_path)
    seen = run_workers(tmp_path, kills=0, workers=2)
    counted = assert_nothing_was_lost_or_done_twice(tmp_path, f"sqlite:///{tmp_path}/studies.db", 1)
    notes = [line.split() for line in (tmp_path / "trainings").read_text().splitlines()]
    assert Counter(kind for kind, _, _ in notes) == {"begin": 4, "end": 4}
    observed("two workers share a sweep, on SQLite or PostgreSQL: no trial twice", **seen, **counted)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of this test's own, on a Unix socket."""
    if reason := postgres_server.missing():
        pytest.skip(reason)
    with postgres_server.running() as address:
        yield address


@only_long
def test_two_workers_share_a_sweep_in_postgresql_and_survive_kills(
    postgres: str, tmp_path: Path, observed: Callable[..., None]
) -> None:
    sweeps_in.prepare(tmp_path)
    seen = run_workers(tmp_path, 20 if LONG else 3, 2, f"hydra.sweeper.storage='{postgres}'")
    counted = assert_nothing_was_lost_or_done_twice(tmp_path, postgres, seen["sweeps"])
    observed(KILLED, **seen, **counted)


@only_long
def test_a_machine_that_dies_is_known_by_its_heartbeat(tmp_path: Path, observed: Callable[..., None]) -> None:
    """The other machine is made of namespaces: a host name and process numbers of its own."""
    elsewhere = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*elsewhere, "true"], check=False).returncode:
        pytest.skip("another host name takes unshare (util-linux) and root's rights")
    sweeps_in.prepare(tmp_path)
    steps = sweeps_in.tiny("hydra.sweeper.heartbeat_seconds=2", "checkpoint.every_minutes=0.0005", steps=60)
    arguments = [*GRID, *sweeps_in.places(tmp_path, tracked=True), *steps]
    command = [
        *elsewhere,
        "sh",
        "-c",
        'hostname elsewhere && exec "$@"',
        "sh",
        sys.executable,
        str(HELPERS / "small_train.py"),
    ]
    with (tmp_path / "elsewhere.log").open("w") as log:
        machine = subprocess.Popen([*command, *arguments], stdout=log, stderr=log, cwd=tmp_path)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("outputs/*/last.pt")) and machine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    machine.kill()
    machine.wait()
    storage = f"sqlite:///{tmp_path}/studies.db"
    (study,) = optuna.get_all_study_names(storage)
    states = [trial.state for trial in optuna.load_study(study_name=study, storage=storage).trials]
    assert states.count(TrialState.RUNNING) == 1, (tmp_path / "elsewhere.log").read_text()

    assert sweeps_in.sweep(*arguments) == 0
    trials = optuna.load_study(study_name=study, storage=storage).trials
    lost = sum(trial.state != TrialState.COMPLETE for trial in trials)
    assert (len(trials), lost) == (4, 0)
    assert {row["attempt"] for row in sweeps_in.described(tmp_path)["rows"]} == {1}, "it went on as the same trial"
    assert len(list(tmp_path.glob("outputs/*/last.pt"))) == 4
    observed(
        "a trial of another machine that died goes on here once its heartbeat stops", trials=len(trials), lost=lost
    )

"""Hydra's launchers for several trials at once, and our own worker processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import sweeps_in
from helpers.composing import ROOT
from helpers.lengths import quick_or_long
from helpers.sweeps_in import described, places, states, tiny

from mtl_seg_depth.system.interruption import AGAIN

GRID = ("-m", "loss=l2,l1,berhu", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweeps_in.prepare(tmp_path)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *GRID, *places(folder), *tiny(), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


@pytest.mark.parametrize(
    "launcher",
    quick_or_long(
        ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", "hydra.launcher.cpus_per_task=1"],
        long=(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],),
    ),
)
def test_hydra_s_launchers_keep_working(folder: Path, launcher: list[str]) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher[0].partition('=')[2].partition('_')[0]}_launcher")
    two = ("loss=l2,l1", "hydra.sweeper.n_jobs=2")  # each of submitit's jobs is a process that imports everything
    # Nobody listens there: the run goes on without.
    secret = "tracking.uri=http://me:s3cr3t@127.0.0.1:9"
    code, output = finish(start(folder, *launcher, *two, f"hydra.sweep.dir={folder}/multirun", secret))
    assert code == 0, output
    assert states(folder) == ["complete"] * 2
    written = [path for path in folder.rglob("*") if path.is_file() and "data" not in path.parts]
    assert [path for path in written if b"s3cr3t" in path.read_bytes()] == []


def test_worker_processes_share_the_trials_and_a_mistake_in_one_is_told(folder: Path) -> None:
    code, output = finish(start(folder, "loss=l2", "hydra.sweeper.n_jobs=2", "schedule.batch_size=4,2,3,99"))
    assert code == 1, output
    assert "schedule.batch_size=99 is larger than the 16 training images" in output
    assert states(folder) == ["complete"] * 3 + ["impossible"]
    sweep = folder / "outputs" / "sweeps" / described(folder)["study"]
    logs = [path.read_text() for path in sorted(sweep.glob("worker_*.log"))]
    assert len(logs) == 2
    assert sum(log.count("Training batch_size=") for log in logs) == 3


def test_a_stop_reaches_the_workers_and_the_same_command_goes_on(folder: Path) -> None:
    process = start(folder, "hydra.sweeper.n_jobs=2", "schedule.max_steps=400", "schedule.epochs=1000")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((folder / "outputs").glob("*/metrics.jsonl")):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == AGAIN, output
    assert "Stopped; the same command goes on." in output
    assert set(states(folder)) == {"waiting"}

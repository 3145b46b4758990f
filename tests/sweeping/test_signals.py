"""Workers and their parent, ended or stopped in every way: what runs saves and stops, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers import sweeps_in
from helpers.composing import HELPERS
from helpers.lengths import only_long, quick_or_long

from mtl_seg_depth.system.interruption import AGAIN

SIGNALS = "any signal at any moment to any process of a sweep with two workers costs nothing but time"
GRID = ("-m", "loss=l2,l1,berhu", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
STEPS = 30
GONE_WITHIN_S = 120
"""What saving and stopping may take on a machine that is busy."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweeps_in.prepare(tmp_path)


def start(folder: Path, *command: str) -> psutil.Popen:
    """Signals are as a terminal has them, whatever pytest was started with, such as nohup."""
    with (folder / "said").open("wb") as said:
        return psutil.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGHUP, signal.SIGINT)],
        )


@pytest.mark.parametrize("number", quick_or_long(signal.SIGKILL, long=(signal.SIGHUP,)))
def test_workers_save_and_stop_when_their_parent_is_gone(folder: Path, number: signal.Signals) -> None:
    endless = sweeps_in.tiny("hydra.sweeper.n_jobs=2", "schedule.epochs=100000", "optimizer=sgd", steps=400000)
    command = [str(HELPERS / "small_train.py"), *GRID, *sweeps_in.places(folder), *endless]
    parent = start(folder, *command, "checkpoint.every_minutes=0.001")
    deadline = time.monotonic() + 300
    while len(list(folder.glob("outputs/*/last.pt"))) < 2 and parent.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = parent.children(recursive=True)
    try:
        assert len(workers) == 2, (folder / "said").read_text()
        parent.send_signal(number)
        _, left = psutil.wait_procs(workers, timeout=GONE_WITHIN_S)
        assert left == []
        assert parent.wait() == (-number if number == signal.SIGKILL else AGAIN)
    finally:
        for process in workers:
            if process.is_running():
                process.kill()
    logs = [log.read_text() for log in (folder / "outputs" / "sweeps").glob("*/worker_*.log")]
    assert [log.count("Stopped; the same command goes on.") for log in logs] == [1, 1]
    assert not any("Traceback" in log for log in logs)
    assert set(sweeps_in.states(folder)) == {"waiting"}


@only_long
def test_a_sweep_survives_any_signal_to_any_of_its_processes(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    small = sweeps_in.tiny("optimizer=sgd", "checkpoint.every_minutes=0.0005", steps=STEPS)
    overrides = [*GRID, *sweeps_in.places(folder), *small, "hydra.sweeper.heartbeat_seconds=1"]
    signals = extent(1, 20)
    driver = start(folder, str(HELPERS / "sweep_signals.py"), str(signals), str(folder), *overrides)
    printed, _ = driver.communicate(timeout=3600)
    logs = "".join(path.read_text() for path in [folder / "said", *folder.rglob("*.log")])
    assert driver.returncode == 0, logs
    seen = json.loads(printed)
    assert set(seen.pop("codes")) == {0}, logs
    traces = logs.count("Traceback") + len(list(folder.rglob("errors/*.txt")))
    tables = [sweeps_in.load(path) for path in (folder / "outputs" / "sweeps").glob("*/sweep.json")]
    rows = [row for table in tables for row in table["rows"]]
    lost = 3 * seen["sweeps"] - sum(row["state"] == "complete" for row in rows)
    finished: set[str] = set()
    twice = 0
    for kind, name, step in (line.split() for line in (folder / "trainings").read_text().splitlines()):
        twice += kind == "begin" and name in finished and int(step) != STEPS
        if kind == "end":
            finished.add(name)
    assert (lost, twice, seen["left_running"], traces) == (0, 0, 0, 0), logs
    observed(SIGNALS, **seen, rows=len(rows), lost=lost, trained_twice=twice, traces=traces)

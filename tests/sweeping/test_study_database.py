"""What becomes of a sweep whose database is damaged or locked."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import sweeps_in
from helpers.sweeps_in import sweep, tiny
from sqlalchemy import Engine, event

from mtl_seg_depth.sweeping import studies
from mtl_seg_depth.system.interruption import AGAIN
from mtl_seg_depth.training.loop import Training

SWEEP = ("-m", "loss=l2,l1,berhu", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
GARBAGE = b"not a database" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweeps_in.prepare(tmp_path)


def run(folder: Path) -> int:
    return sweep(*SWEEP, *sweeps_in.places(folder), *tiny())


def damage(folder: Path) -> None:
    for path in folder.glob("studies.db*"):
        path.write_bytes(GARBAGE)


def test_a_damaged_database_of_studies_is_named_and_costs_no_training(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    observed: Callable[..., None],
) -> None:
    trained: list[str] = []
    original = Training.run

    def train(self: Training) -> str:
        trained.append(self.record.folder.name)
        status = original(self)
        if len(trained) == 2:
            damage(folder)
        return status

    monkeypatch.setattr(Training, "run", train)
    for _ in range(2):  # in the middle of a sweep, and at the start of one
        assert run(folder) == 2
        said = capfd.readouterr().err
        assert f"hydra.sweeper.storage=sqlite:///{folder}/studies.db" in said
        assert "not a database" in said
        assert "Traceback" not in said
    assert len(trained) == 2
    for path in folder.glob("studies.db*"):
        path.unlink()
    assert run(folder) == 0
    assert sweeps_in.states(folder) == ["complete"] * 3
    assert len(trained) == len(set(trained)) == 3
    observed(
        "a damaged database of studies is named, and costs no training", trained_twice=len(trained) - len(set(trained))
    )


def test_a_locked_database_of_studies_is_waited_for(folder: Path, observed: Callable[..., None]) -> None:
    assert sweep(*SWEEP, *sweeps_in.places(folder), *tiny(), "loss=l2,l1") == 0
    other = sqlite3.connect(folder / "studies.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    began, held = time.monotonic(), 7.0
    opener = threading.Timer(held, lambda: other.execute("ROLLBACK"))  # longer than SQLite waits by itself
    opener.start()
    assert run(folder) == 0
    assert time.monotonic() - began >= held
    other.close()
    states = sweeps_in.states(folder)
    assert states == ["complete"] * 3
    observed("a locked database of studies is waited for", rows=len(states), complete=states.count("complete"))


@pytest.mark.parametrize("moment", ["written", "about to be committed"])
def test_a_stop_in_the_middle_of_a_write_keeps_no_lock(
    moment: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A trial writes through a connection of its own, and is given back through the sweep's."""
    monkeypatch.setattr(studies, "_BUSY_SECONDS", 2)
    hit: list[str] = []

    def written(*event: Any) -> None:
        if "folder" in str(event[3]) and "INSERT" in event[2] and not hit:
            hit.append("written")
            if moment == "written":
                os.kill(os.getpid(), signal.SIGTERM)

    def committed(_: Any) -> None:
        if hit == ["written"] and moment != "written":
            hit.append("about to be committed")
            os.kill(os.getpid(), signal.SIGTERM)

    event.listen(Engine, "after_cursor_execute", written)
    event.listen(Engine, "commit", committed)
    try:
        assert run(folder) == AGAIN, capfd.readouterr().err
    finally:
        event.remove(Engine, "after_cursor_execute", written)
        event.remove(Engine, "commit", committed)
    assert hit[-1] == moment
    assert sweeps_in.states(folder) == ["waiting"] * 3
    assert run(folder) == 0
    assert sweeps_in.states(folder) == ["complete"] * 3

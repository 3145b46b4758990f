"""train.py under torchrun: one run, one voice, and a message for what cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.composing import HELPERS, TINY, places
from helpers.tiny_data import write_tiny_miniscapes

SECOND = """
import os, runpy, sys
if os.environ["RANK"] == "1":
    sys.argv = [word.replace("{first}/", "{second}/") if word.startswith("data.") else word for word in sys.argv]
runpy.run_path("{script}", run_name="__main__")
"""
"""Starts train.py, the second process with the data of another folder."""


def torchrun(
    count: int, *overrides: str, script: Path = HELPERS / "small_train.py"
) -> "subprocess.CompletedProcess[str]":
    """Run train.py in so many processes on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*command, str(script), *overrides]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=120)


def message_of(done: "subprocess.CompletedProcess[str]") -> str:
    """The only one there is."""
    assert done.returncode != 0
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return message


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_tiny_miniscapes(tmp_path / "data", {"train": 6, "val": 3})
    return [*TINY, *places(tmp_path)]


def test_two_processes_leave_one_run_and_one_report(tmp_path: Path, arguments: list[str]) -> None:
    done = torchrun(2, *arguments, "score=val")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training ") == done.stdout.count("run folder") == 1
    assert "2 processes" in done.stdout
    (folder,) = (tmp_path / "outputs").iterdir()
    card, result = (json.loads((folder / name).read_text()) for name in ("run.json", "result.json"))
    assert card["tags"]["processes"] == "2"
    assert result["status"] == "finished"
    assert result["steps"] == 2 * 6 // 2
    message = message_of(torchrun(3, *arguments, "schedule.batch_size=4"))
    assert "schedule.batch_size=4, which is the whole batch, cannot be divided evenly among 3 processes" in message


def test_who_has_other_data_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    other = tmp_path / "other"
    write_tiny_miniscapes(other / "data", {"train": 6, "val": 3}, seed=1)
    script = tmp_path / "start.py"
    script.write_text(SECOND.format(first=tmp_path, second=other, script=HELPERS / "small_train.py"))
    message = message_of(torchrun(2, *arguments, script=script))
    assert "process 1 of 2" in message
    assert "has another train and another val" in message

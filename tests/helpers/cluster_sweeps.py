"""Sweeps whose workers are on a cluster, as commands of their own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from helpers import sweeps_in
from helpers.composing import HELPERS, ROOT

GRID = ("-m", "loss=l2,l1,berhu", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
ENDLESS = ("schedule.max_steps=400000", "schedule.epochs=100000", "optimizer=sgd")
PATIENCE_S = 480
"""How long anything may take on a machine that is busy."""


def start(
    folder: Path, storage: str, engine: Sequence[str], *arguments: str, environment: Mapping[str, str] = os.environ
) -> "subprocess.Popen[str]":
    """Begin a sweep; what it says goes into <folder>/said."""
    words = [*GRID, *sweeps_in.places(folder), *sweeps_in.tiny(steps=20), f"hydra.sweeper.storage='{storage}'"]
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, str(HELPERS / "small_train.py"), *words, "hydra.sweeper.n_jobs=2", *engine, *arguments],
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**environment, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def logs(folder: Path) -> list[str]:
    """What every worker says, without colours."""
    paths = sorted((folder / "outputs" / "sweeps").glob("*/worker_*.log"))
    return [re.sub(r"\x1b\[[0-9;?]*\w", "", path.read_text(errors="replace")) for path in paths]


def everything(folder: Path) -> str:
    """For a message."""
    return "\n".join([said(folder), *(log[-3000:] for log in logs(folder))])


def until(true: Callable[[], object], folder: Path, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"{what} not within {PATIENCE_S} s:\n{everything(folder)}"
        time.sleep(0.3)


def training(folder: Path) -> int:
    """How many trainings have logged something."""
    return len([path for path in (folder / "outputs").glob("*/metrics.jsonl") if path.stat().st_size])

"""Several trials at once on one machine: worker processes that run the same command, and a live view of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import torch
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.records.results import Card, SweepRecord, SweepRow
from mtl_seg_depth.scoring.headline import picked
from mtl_seg_depth.sweeping.standing import mean_scores, ranked
from mtl_seg_depth.sweeping.summary import progress, time_of
from mtl_seg_depth.system.interruption import AGAIN, caught, follow_parent
from mtl_seg_depth.system.machine import usable_cores
from mtl_seg_depth.system.stored import find
from mtl_seg_depth.tasks import HEADLINES

MOST_OVER = 10
"""Trials that are over in the live view."""

_LOOK_EVERY_S = 1.0
_WORKER = "MTL_SEG_DEPTH_WORKER"  # in the environment of one


def run_workers(
    count: int, folder: Path, describe: Callable[[], SweepRecord], console: Console, *, spread: bool
) -> list[int]:
    """Run this very command in `count` processes until nothing is left to do; returns their exit codes.

    Each has its share of the processor's cores and, to `spread` them, one of the GPUs there are; it writes what it says
    into <folder>/worker_<n>.log. What asks this process to stop lets them save and stop, a second time at once; so does
    its death, which they see at the other end of their standard input.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, usable_cores() // count))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, _WORKER: "1"}  # what the user has set stands,
    environment.pop("HYDRA_FULL_ERROR", None)  # but for what we have set ourselves, so that Hydra raises
    command = [sys.executable, *sys.orig_argv[1:], "hydra.sweeper.n_jobs=1"]
    logs: list[IO[bytes]] = [(folder / f"worker_{number}.log").open("ab") for number in range(count)]
    # In a group of their own: a Ctrl-C on the terminal reaches them through us, and only once.
    processes = [
        subprocess.Popen(
            command,
            env=environment | (gpu_of(number) if spread else {}),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for number, log in enumerate(logs)
    ]

    def pass_on(number: int) -> None:
        for process in processes:
            process.send_signal(number)

    try:
        with caught(pass_on), Live(console=console, auto_refresh=False, transient=True) as live:
            while any(process.poll() is None for process in processes):
                if console.is_terminal:
                    live.update(view(describe(), folder.parents[1]), refresh=True)
                time.sleep(_LOOK_EVERY_S)
    finally:
        for process, log in zip(processes, logs, strict=True):
            assert process.stdin is not None
            process.stdin.close()
            log.close()
        codes = [process.wait() for process in processes]
    return codes


def gpu_of(worker: int) -> dict[str, str]:
    """What shows a worker one GPU of those that this process sees; nothing if there are not several."""
    ids = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    return {"CUDA_VISIBLE_DEVICES": ids[worker % len(ids)]} if len(ids) > 1 else {}


def follow_if_worker() -> None:
    """In a worker: save and stop once the process that started it is gone."""
    if os.environ.pop(_WORKER, None):
        follow_parent(lambda: os.read(0, 1), lambda: os.kill(os.getpid(), signal.SIGTERM))


def was_stopped(code: int) -> bool:
    """Whether a worker ended because it was asked to."""
    return code in (AGAIN, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)


def view(described: SweepRecord, outputs: Path) -> Group:
    """How far a sweep is; below it the trials that run and what they score so far, then the best that are over."""
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", overflow="fold")
    for heading in ("", "step", *(each.short for each in HEADLINES.values()), "images/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    over = [row for row in ranked(described) if row.state in ("complete", "pruned", "failed")]
    for row in [row for row in described.rows if row.state == "running"]:
        table.add_row(Text(row.label, "bold"), *_going(row, outputs))
    for row in over[:MOST_OVER]:
        state = "" if row.state == "complete" else row.state
        table.add_row(row.label, state, time_of(row), *_in_columns(mean_scores(row)))
    return Group(Text(f"{described.study}: {progress(described)}"), table)


def _going(row: SweepRow, outputs: Path) -> Iterator[RenderableType]:
    """Of a trial that runs: a bar, how many of its training's steps are done, its newest scores and its speed."""
    path = outputs / str(row.folder)
    card = find(path / "run.json", Card) if row.folder else None
    if card is None:
        yield "starting"
        return
    metrics = path / "metrics.jsonl"
    step, newest = 0, dict[str, float]()
    for point in read_points(metrics) if metrics.exists() else ():
        step, newest = max(step, point.step), newest | point.metrics
    total = card.params.get("steps", "")
    yield ProgressBar(total=int(total), completed=step, width=10) if total.isdigit() else ""
    yield f"{step}/{total}" if total else str(step)
    yield from _in_columns(picked(newest, "val/"))
    speed = newest.get("train/images_per_second")
    yield "" if speed is None else f"{speed:.0f}"


def _in_columns(scores: dict[str, float]) -> list[str]:
    """The tasks' own scores."""
    return [f"{scores[key]:.2f}" if key in scores else "" for key in HEADLINES]

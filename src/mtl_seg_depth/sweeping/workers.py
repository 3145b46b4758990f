"""The workers of a sweep: processes that run the same command, wherever they are, and a live view of what they do."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

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
from mtl_seg_depth.system.stored import find
from mtl_seg_depth.tasks import HEADLINES

MOST_OVER = 10
"""Trials that are over in the live view."""

FAILED = 1
"""Exit code of a sweep with a trial that has no score: failed, diverged, or impossible."""

UNSEEN = 66
"""Exit code of a worker that does not see the sweep's folder (EX_NOINPUT of sysexits.h)."""

NO_LOG = -53
"""What SLURM makes of one whose log it could not open, for the same reason."""

_LOOK_EVERY_S = 1.0
_WORKER = "MTL_SEG_DEPTH_WORKER"  # in the environment of one: whether it follows its parent


class Workers(Protocol):
    """Workers that were started, by one of the engines."""

    folder: Path
    """Where each writes what it says, into worker_<n>.log."""
    outlives: ClassVar[bool]
    """Whether they go on when the command that started them is gone."""

    @property
    def said(self) -> str:
        """What a person has to know to find them; "" if nothing."""

    def poll(self) -> list[int | None]:
        """Their exit codes; None for one that runs, or is to run."""

    def hear(self, number: int) -> None:
        """What asked this process to stop: the first time they save and stop, the second time they stop at once."""

    def close(self) -> list[int]:
        """Wait for them; their exit codes."""


@dataclass(frozen=True)
class Ends:
    """How a sweep's workers ended."""

    codes: list[int]
    detached: bool = False
    """Whether they go on without us."""


def worker_command(hide: Callable[[str], str] = str) -> list[str]:
    """This very command, for a worker; `hide` takes secrets out of its words."""
    return [sys.executable, *map(hide, sys.orig_argv[1:]), "hydra.sweeper.n_jobs=1"]


def worker_environment(*, follows: bool) -> dict[str, str]:
    """What tells a process that it is a worker, and whether it `follows` whoever holds its standard input."""
    return {_WORKER: "follows" if follows else "alone"}


def become_worker() -> bool:
    """Whether this process is a worker; if so, it saves and stops once the process that it follows is gone."""
    kind = os.environ.pop(_WORKER, None)
    if kind == "follows":
        follow_parent(lambda: os.read(0, 1), lambda: os.kill(os.getpid(), signal.SIGTERM))
    return kind is not None


def watch(workers: Workers, describe: Callable[[], SweepRecord], console: Console) -> Ends:
    """Show what workers do until all of them are over; what asks this process to stop is passed on to them.

    A closed terminal stops those that live as long as this process, and leaves the others alone.
    """
    detached: list[int] = []

    def hear(number: int) -> None:
        if workers.outlives and number == signal.SIGHUP:
            detached.append(number)
        else:
            workers.hear(number)

    if workers.said:
        console.print(workers.said, soft_wrap=True, highlight=False)
    try:
        with caught(hear), Live(console=console, auto_refresh=False, transient=True) as live:
            while not detached and any(code is None for code in workers.poll()):
                if console.is_terminal:
                    live.update(view(describe(), workers.folder.parents[1]), refresh=True)
                time.sleep(_LOOK_EVERY_S)
    finally:
        codes = [] if detached else workers.close()
    return Ends(codes, bool(detached))


def deaths(ends: Ends, folder: Path) -> Iterator[str]:
    """A line for every worker that ended as none should."""
    for number, code in enumerate(ends.codes):
        log = folder / f"worker_{number}.log"
        if code in (UNSEEN, NO_LOG):
            yield f"worker {number} does not see {folder}: workers and outputs need a file system that all nodes share"
        elif code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            yield f"worker {number} was killed (SIGKILL), as systems do for want of memory; how far it came: {log}"
        elif code < 0 and not was_stopped(code):
            yield f"worker {number} was ended by {_name(-code)}; {log} may say why"
        elif code not in (0, FAILED) and not was_stopped(code):
            yield f"worker {number} ended with exit code {code}; {log} says why"


def _name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")


def was_stopped(code: int) -> bool:
    """Whether a worker ended because it was asked to."""
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return code == AGAIN or -code in asked or code - 128 in asked  # as Python says it, and as shells do


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

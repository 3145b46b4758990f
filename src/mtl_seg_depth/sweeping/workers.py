"""Several trials at once on one machine: worker processes that run the same command, and a live view of them."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.records.results import SweepRecord, SweepRow
from mtl_seg_depth.sweeping.summary import progress
from mtl_seg_depth.system.interruption import AGAIN

_LOOK_EVERY_S = 1.0


def run_workers(count: int, folder: Path, describe: Callable[[], SweepRecord], console: Console) -> list[int]:
    """Run this very command in `count` processes until nothing is left to do; returns their exit codes.

    Each has its share of the processor's cores, and writes what it says into <folder>/worker_<n>.log. A first Ctrl-C
    or SIGTERM lets them save and stop, a second one stops them at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}  # what the user has set stands,
    environment.pop("HYDRA_FULL_ERROR", None)  # but for what we have set ourselves, so that Hydra raises
    command = [sys.executable, *sys.orig_argv[1:], "hydra.sweeper.n_jobs=1"]
    logs: list[IO[bytes]] = [(folder / f"worker_{number}.log").open("ab") for number in range(count)]
    # In a group of their own: a Ctrl-C on the terminal reaches them through us, and only once.
    processes = [
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        for log in logs
    ]

    def pass_on(number: int, frame: Any) -> None:  # noqa: ARG001
        for process in processes:
            process.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while any(process.poll() is None for process in processes):
                if console.is_terminal:
                    live.update(view(describe(), folder.parents[1]), refresh=True)
                time.sleep(_LOOK_EVERY_S)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for log in logs:
            log.close()
    return [process.returncode for process in processes]


def was_stopped(code: int) -> bool:
    """Whether a worker ended because it was asked to."""
    return code in (AGAIN, 130, -signal.SIGINT, -signal.SIGTERM)


def view(described: SweepRecord, outputs: Path) -> Group:
    """How far a sweep is, and below it the trials that run."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in described.rows:
        if row.state == "running":
            table.add_row(Text(row.label, style="bold"), _newest_step(row, outputs))
    return Group(Text(f"{described.study}: {progress(described)}"), table)


def _newest_step(row: SweepRow, outputs: Path) -> str:
    """The newest that a running trial's record says."""
    path = outputs / str(row.folder) / "metrics.jsonl"
    points = deque(read_points(path) if path.exists() else (), maxlen=1)
    return f"step {points[-1].step}" if points else "starting"

"""A trial whose training takes several processes: a worker has torch start them, and hears how it ended.

The worker claims the trial, writes down what is to be run, and runs this very command under `torchrun`. In each of the
processes the command finds `TRIAL` in its environment, and trains that trial instead of planning a sweep. The first
process alone keeps the study informed; what it came to is left in a file beside what was to be run.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mtl_seg_depth.sweeping.queue import EndState
from mtl_seg_depth.sweeping.workers import worker_command, worker_environment
from mtl_seg_depth.system import torchrun
from mtl_seg_depth.system.atomic import write_text
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import caught

TRIAL = "MTL_SEG_DEPTH_TRIAL"
"""In the environment of a trial's processes: the file that says what they are to run."""


class Part(BaseModel):
    """What every process of a trial is told."""

    study: str
    number: int
    job: int
    overrides: list[str]
    folder: Path


class Outcome(BaseModel):
    """How a trial ended."""

    state: EndState
    values: list[float] | None = None
    reason: str | None = None
    is_taken: bool = False
    """Whether another worker has taken it over meanwhile."""
    device_is_lost: bool = False
    """Whether nothing more can be computed on its device by the process that trained it."""


def own_part() -> Part | None:
    """What this process is to run of a trial, if it was started for one.

    Raises UserError for a sweep under torch's launcher, which would be as many sweeps as there are processes.
    """
    if (path := os.environ.get(TRIAL)) is not None:
        return Part.model_validate_json(Path(path).read_text())
    if torchrun.count() > 1:
        raise UserError(
            "torchrun is for one training; a sweep starts it by itself: leave torchrun out and say "
            f"hydra.sweeper.gpus_per_trial={torchrun.count()}"
        )
    return None


def leave(outcome: Outcome) -> None:
    """Write down how this process's trial ended, for the worker that started it; the first one says so for all, and
    another if it could not go on."""
    if torchrun.rank() == 0 or outcome.state == "failed":
        write_text(_outcome_of(Path(os.environ[TRIAL]), torchrun.rank()), outcome.model_dump_json())


def train_in(processes: int, part: Part) -> Outcome:
    """Run a trial in so many processes of this machine; how it ended.

    Raises KeyboardInterrupt if this process was asked to stop, once all of them have saved.
    """
    folder = part.folder / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"job_{part.job}.json"
    for number in range(processes):
        _outcome_of(path, number).unlink(missing_ok=True)
    write_text(path, part.model_dump_json())
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--no-python"]
    environment: dict[str, Any] = {**os.environ, **worker_environment(follows=True), TRIAL: str(path)}
    environment.pop("HYDRA_FULL_ERROR", None)  # as we have set it, so that Hydra raises
    asked: list[int] = []
    # A pipe of ours is their standard input: all of them see the end of this process there.
    with subprocess.Popen(
        [sys.executable, *launcher, *worker_command()], env=environment, stdin=subprocess.PIPE, start_new_session=True
    ) as started:

        def hear(number: int) -> None:
            asked.append(number)
            started.send_signal(signal.SIGTERM if len(asked) == 1 else signal.SIGKILL)

        with caught(hear):
            code = started.wait()
    found = [_outcome_of(path, number) for number in range(processes)]
    told = [Outcome.model_validate_json(each.read_text()) for each in found if each.exists()]
    for each in (path, *found):
        each.unlink(missing_ok=True)
    if told:
        return told[0]
    if asked:
        raise KeyboardInterrupt
    return Outcome(state="failed", reason=f"its processes ended with exit code {code}; what they said stands above")


def _outcome_of(path: Path, number: int) -> Path:
    return path.with_suffix(f".{number}.json")

"""Workers that are the jobs of one SLURM array, through submitit."""

import contextlib
import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from mtl_seg_depth.sweeping.workers import UNSEEN
from mtl_seg_depth.system.atomic import write_text
from mtl_seg_depth.system.errors import UserError

ASK_EVERY_S = 5.0
"""Its controller is everyone's."""

# A worker that was asked to stop has saved by now. If nobody has cancelled the job meanwhile it is queued again: it was
# at the end of its time, or had to make room. What has been asked to stop for good has had Requeue=0 set.
# The number that a job of an array has by itself may be the array's, and then means all of them.
REQUEUE = """\
code=$?
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}
case $code in 75|143)
  if [ "$(squeue -h -j $job -o %T)" = RUNNING ]; then scontrol requeue $job && exit 0; fi;;
esac
exit $code"""


class SlurmSettings(BaseModel):
    """`hydra/sweeper/workers=slurm`; see `hydra_plugins.mtl_seg_depth.sweeper.SlurmWorkersConf`."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["slurm"]
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    minutes: PositiveInt
    cpus: PositiveInt
    gpus: NonNegativeInt | str | None
    memory_gb: float | None = Field(gt=0)
    notice_seconds: PositiveInt
    setup: list[str]
    more: dict[str, Any]


class SlurmWorkers:
    """A job array, each of whose jobs runs this very command as a worker of the study.

    A job that SLURM wants to end, for its time or for others, saves and is queued again (`--requeue`, `--signal`). It
    all goes on if this process dies or its terminal is closed: the same command then watches what is there. Being asked
    to stop takes back what waits and lets what runs save; a second time, everything is cancelled at once.

    Args:
        settings: what every job asks of SLURM.
        count: how many jobs.
        folder: of the sweep; what SLURM and submitit write lies in it.
        command: what each of them runs.
        environment: what each has in its environment besides this process's.
        gpus: of each, where `settings` leave them open.

    Raises UserError if there is no SLURM, no submitit, or SLURM refuses.
    """

    outlives: ClassVar[bool] = True

    def __init__(
        self,
        settings: SlurmSettings,
        count: int,
        folder: Path,
        command: list[str],
        environment: dict[str, str],
        gpus: int,
    ) -> None:
        self.folder = folder
        self._stops = 0
        self._asked = 0.0
        for program in ("sbatch", "srun", "squeue", "scancel", "scontrol"):
            if shutil.which(program) is None:
                raise UserError(f"hydra/sweeper/workers=slurm: there is no {program} here; start it where SLURM's are")
        (folder / "slurm").mkdir(parents=True, exist_ok=True)
        self._note = folder / "slurm" / "array"
        self.job = self._note.read_text().strip() if self._note.exists() else ""
        states = _states(self.job) if self.job else {}
        self.attached = None in states.values()
        if not self.attached:
            self.job = self._submit(settings, count, command, environment, gpus)
            states = dict.fromkeys(range(count))
            write_text(self._note, self.job)
        self._codes: dict[int, int | None] = states

    @property
    def said(self) -> str:
        """What a person has to know to find them."""
        verb = "Watching the workers of before" if self.attached else "Queued the workers"
        return f"{verb}: SLURM's job {self.job}. Ctrl-C lets them save and stop; a closed terminal leaves them alone."

    def poll(self) -> list[int | None]:
        """Their exit codes; None for one that runs, waits, or is to be queued again."""
        if time.monotonic() - self._asked >= ASK_EVERY_S:
            self._asked = time.monotonic()
            found = _states(self.job)
            if found or _is_answering():  # one that does not answer may be back soon
                forgotten = {number: 0 for number, code in self._codes.items() if code is None}
                self._codes = self._codes | forgotten | found
        return [self._codes[number] for number in sorted(self._codes)]

    def hear(self, number: int) -> None:  # noqa: ARG002
        """Let them save and stop, for good; the second time, cancel them."""
        self._stops += 1
        if self._stops == 1:
            (self.folder / "slurm" / "stop").touch()  # for those that begin just now
            _ask("scancel", "--state=PENDING", self.job)
            _ask("scontrol", "update", f"JobId={self.job}", "Requeue=0")
            _ask("scancel", "--signal=TERM", self.job)
        else:
            _ask("scancel", self.job)

    def close(self) -> list[int]:
        """Their exit codes, once all are over."""
        while None in (codes := self.poll()):
            time.sleep(1)
        return [code for code in codes if code is not None]

    def _submit(
        self, settings: SlurmSettings, count: int, command: list[str], environment: dict[str, str], gpus: int
    ) -> str:
        """Queue the jobs; the number of the array."""
        try:
            import submitit
        except ImportError as error:
            raise UserError("hydra/sweeper/workers=slurm needs submitit: pip install 'mtl_seg_depth[slurm]'") from error
        folder = self.folder / "slurm"
        (folder / "stop").unlink(missing_ok=True)
        seen = folder / f"seen_{uuid.uuid4().hex}"
        for old in folder.glob("seen_*"):
            old.unlink()
        seen.touch()
        log = self.folder / ("worker_%a.log" if count > 1 else "worker_0.log")
        unseen = (
            f"this worker, on $(hostname), does not see {self.folder}: outputs need a file system that all nodes share"
        )
        executor = submitit.SlurmExecutor(folder=folder, python=shlex.quote(sys.executable))
        own = {name: getattr(settings, name) for name in ("partition", "account", "qos", "constraint")}
        wanted = gpus if settings.gpus is None else settings.gpus
        executor.update_parameters(
            **{name: value for name, value in own.items() if value is not None},
            **({"mem": f"{int(1024 * settings.memory_gb)}M"} if settings.memory_gb else {}),
            **({"gpus_per_node": wanted} if wanted not in (0, "0") else {}),
            job_name=self.folder.name[:60],
            time=settings.minutes,
            nodes=1,
            ntasks_per_node=1,
            cpus_per_task=settings.cpus,
            stderr_to_stdout=True,
            setup=[
                "trap : TERM",  # SLURM's own end of a job reaches this script too, which has to see what srun returns
                "unset HYDRA_FULL_ERROR",  # as we have set it, so that Hydra raises
                f"[ -e {shlex.quote(str(seen))} ] || "
                f"{{ echo error: this worker, on $(hostname), {shlex.quote(unseen)}; exit {UNSEEN}; }}",
                f"[ -e {shlex.quote(str(folder / 'stop'))} ] && exit 75",
                *settings.setup,
                *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
            ],
            srun_args=["--output", str(log), "--open-mode=append", f"--cpus-per-task={settings.cpus}"],
            teardown=[REQUEUE],
            additional_parameters={
                "output": str(log),
                "requeue": True,
                "signal": f"TERM@{settings.notice_seconds}",
                **settings.more,
            },
        )
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit repeats there what is in the error
                jobs = (
                    executor.map_array(become, [command] * count) if count > 1 else [executor.submit(become, command)]
                )
        except submitit.core.utils.FailedJobError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"hydra/sweeper/workers=slurm: {reason}") from error
        return jobs[0].job_id.partition("_")[0]


def become(command: list[str]) -> None:
    """Run a command in place of this process, which is submitit's."""
    print(f"worker on {socket.gethostname()}, job {os.environ.get('SLURM_JOB_ID')}", flush=True)
    os.execv(command[0], command)


def _states(job: str) -> dict[int, int | None]:
    """Exit codes by number; None for what is not over. SLURM forgets jobs some minutes after their end."""
    words = ["squeue", "-h", "-r", "-t", "all", "-j", job, "-O", "ArrayTaskID:12,State:24,exit_code:12"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = (line.split() for line in done.stdout.splitlines())
    return {0 if number == "N/A" else int(number): _code(state, int(status)) for number, state, status in lines}


def _code(state: str, status: int) -> int | None:
    if state in ("CANCELLED", "TIMEOUT", "PREEMPTED"):
        return -signal.SIGTERM
    if state == "OUT_OF_MEMORY":
        return -signal.SIGKILL
    return os.waitstatus_to_exitcode(status) if state in ("COMPLETED", "FAILED", "NODE_FAIL", "DEADLINE") else None


def _is_answering() -> bool:
    return subprocess.run(["scontrol", "ping"], capture_output=True, check=False).returncode == 0


def _ask(*command: str) -> None:
    """Of SLURM; what it cannot do, it has done: a job is over, or there is none that waits."""
    subprocess.run(command, capture_output=True, check=False)

"""Sweeps of two workers whose processes get signals at random: `sweep_signals.py SIGNALS FOLDER OVERRIDES...`.

Every process is forked, the sweeps' parents from this one, which has imported everything and run nothing. Each of the
SIGNALS goes to one process of a family; once all of it is gone the same command begins another, and a sweep that comes
to its end is followed by one of another seed. Prints what happened as JSON.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import psutil

from helpers import small_resnets
from helpers.sweep_killing import begin, is_over
from mtl_seg_depth.sweeping import local_workers

GONE_WITHIN_S = 120
"""What saving and stopping may take on a machine that is busy."""


class Forked:
    """What `local_workers` takes of `subprocess.Popen`, for a process that has imported everything."""

    pipes: list[int] = []  # noqa: RUF012

    def __init__(self, command: list[str], env: Mapping[str, str], stdout: IO[bytes], **_: Any) -> None:
        reading, writing = os.pipe()
        self.stdin = os.fdopen(writing, "wb")
        self.returncode: int | None = None
        trainings = Path(os.environ["TRAININGS"])
        Forked.pipes.append(writing)

        def become() -> None:
            for pipe in Forked.pipes:
                os.close(pipe)  # as nothing but standard streams is inherited by a program that is started
            os.dup2(reading, 0)
            os.setsid()
            os.environ.clear()
            os.environ.update(env)

        self.pid = begin([*sys.argv[1:], command[-1]], trainings, stdout.fileno(), become)
        os.close(reading)

    def poll(self) -> int | None:
        if self.returncode is None and is_over(self.pid):
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def wait(self) -> int | None:
        while self.poll() is None:
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def family_of(process: psutil.Process, known: set[psutil.Process]) -> set[psutil.Process]:
    """Those that run, of a parent and its workers; they stay of the family when the parent is gone."""
    for each in [process, *known]:
        try:
            known |= {each, *each.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return {each for each in known if runs(each)}


def runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    small_resnets.install()
    signals, folder, overrides = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    trainings = folder / "trainings"
    trainings.touch()
    os.environ["TRAININGS"] = str(trainings)
    said = os.open(folder / "said.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours = SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)
    local_workers.subprocess = ours  # type: ignore[attr-defined]
    dice = random.Random(11)
    sent = seed = left = 0

    def start(number: int) -> int:
        arguments = [*overrides, f"seed={number}"]
        sys.argv = ["train.py", *arguments]  # what the workers run as well
        return begin([*arguments, "hydra.sweeper.n_jobs=2"], trainings, said, os.setsid)

    def end(parent: int, known: set[psutil.Process]) -> int:
        nonlocal left
        deadline = time.monotonic() + GONE_WITHIN_S
        while (still := family_of(psutil.Process(parent), known)) and time.monotonic() < deadline:
            time.sleep(0.02)
        left += len(still)
        for process in still:
            process.kill()
        return os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1])

    while sent < signals:
        parent, known = start(seed), set[psutil.Process]()
        size = trainings.stat().st_size if dice.random() < 0.7 else -1
        while trainings.stat().st_size == size and not is_over(parent):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 1))
        if members := sorted(family_of(psutil.Process(parent), known), key=lambda process: process.pid):
            victim = members[0] if dice.random() < 0.5 else dice.choice(members)
            number = dice.choice([signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP])
            os.kill(victim.pid, number)
            sent += 1
            if number == signal.SIGSTOP:
                time.sleep(dice.uniform(0, 5))
                os.kill(victim.pid, signal.SIGCONT)
        if end(parent, known) == 0:
            seed += 1
    codes = [end(start(number), set()) for number in range(seed + 1)]
    print(json.dumps({"signals": sent, "sweeps": seed + 1, "left_running": left, "codes": codes}))


if __name__ == "__main__":
    main()

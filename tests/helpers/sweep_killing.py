"""Sweeps that are killed at random moments and started again: `sweep_killing.py KILLS WORKERS FOLDER OVERRIDES...`.

Every worker is forked from this process, which has imported everything and run nothing, so that a kill hits the sweep
and not the start of an interpreter. Each kill hits one of the WORKERS, which is started again; a sweep that comes to
its end is followed by one of another seed. A line for every training loop that is entered or ended goes into
<FOLDER>/trainings. Prints what happened as JSON.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from helpers import small_resnets, sweeps_in
from mtl_seg_depth.sweeping import queue, summary, trial  # noqa: F401  (imported before the fork)
from mtl_seg_depth.training.loop import Training

BROKEN = 99
"""Exit code of a worker that raised."""


def begin(
    arguments: list[str], trainings: Path, log: int | None = None, become: Callable[[], object] = lambda: None
) -> int:
    """Fork a worker, which calls `become` first; its process number."""
    child = os.fork()
    if child:
        return child
    become()
    if log is None:
        log = os.open(trainings.with_name(f"worker_{os.getpid()}.log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    original = Training.run

    def run(self: Training) -> str:
        name = self.record.folder.name
        note(trainings, f"begin {name} {self.state.step}")
        status = original(self)
        note(trainings, f"end {name} {status}")
        return status

    Training.run = run  # type: ignore[method-assign]
    code = BROKEN
    try:
        code = sweeps_in.sweep(*arguments)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def note(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def is_over(worker: int) -> bool:
    """Whether it has ended; its exit code stays to be read."""
    return os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def end(worker: int) -> int:
    """Wait for its end; its exit code. No sweep comes to its end after one that could not even begin."""
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    assert code != BROKEN, "a worker could not run the sweep; its log says why"
    return code


def main() -> None:
    small_resnets.install()
    kills, workers, overrides = int(sys.argv[1]), int(sys.argv[2]), sys.argv[4:]
    trainings = Path(sys.argv[3]) / "trainings"
    trainings.touch()
    dice = random.Random(7)
    sweep, hits = 0, 0
    codes: list[int] = []

    def start(number: int) -> int:
        return begin([*overrides, f"seed={number}"], trainings)

    alive = [start(sweep) for _ in range(workers)]
    while hits < kills:
        victim = dice.randrange(workers)
        # Half of the lives are counted from the moment that something trains, however slow the machine is.
        size = trainings.stat().st_size if dice.random() < 0.5 else -1
        while trainings.stat().st_size == size and not is_over(alive[victim]):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 1))
        if is_over(alive[victim]):  # so is the sweep: the next kills are for another one
            codes += [end(worker) for worker in alive]
            sweep += 1
            alive = [start(sweep) for _ in range(workers)]
            continue
        os.kill(alive[victim], signal.SIGKILL)
        end(alive[victim])
        hits += 1
        alive[victim] = start(sweep)
    codes += [end(worker) for worker in alive]
    # The same command once more closes what the last to die left open.
    codes += [end(start(number)) for number in range(sweep + 1)]
    print(json.dumps({"sweeps": sweep + 1, "kills": hits, "codes": codes}))


if __name__ == "__main__":
    main()

"""One training whole, and killed at random moments and continued: `killing.py KILLS FOLDER OVERRIDES...`.

Some of the kills are power failures: what was written last is not on the disk, or half of it. The newest checkpoint is
torn, where there is one before it, and points logged after the newest whole checkpoint are lost. Between the kills, as
often as not, the training is asked to stop, by Ctrl-C or SIGTERM.

Every process is forked from this one, which has imported everything and run nothing, so that a kill hits the training
and not the start of an interpreter. Prints what happened as JSON.
"""

import io
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from helpers import small_resnets
from helpers.composing import compose
from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.runs.assembly import resolve
from mtl_seg_depth.runs.run import folder_of, run
from mtl_seg_depth.system.interruption import AGAIN, Interrupted


class Talking(Console):
    """Sends the first word of a training, which says where it starts, through a pipe."""

    def __init__(self, pipe: int) -> None:
        super().__init__(file=io.StringIO())
        self.pipe = pipe

    def print(self, *parts: Any, **_: Any) -> None:
        os.write(self.pipe, f"{parts[0]}\n".encode())


def begin(settings: Settings) -> tuple[int, int]:
    """Fork a process that trains; its number, and the step it starts from once it is about to take it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(settings, Talking(writing))
            os._exit(0)
        except (Interrupted, KeyboardInterrupt):
            os._exit(AGAIN)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    first = os.read(reading, 1000).decode()
    # The pipe stays open: the training goes on talking into it.
    return child, int(first.split("from step ")[1]) if "from step " in first else 0


def wait_for_result(child: int) -> None:
    """Wait for a process that comes to its end by itself."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"a training ended with {status}"


def fail_power(folder: Path, dice: random.Random) -> bool:
    """Damage what a power failure may; whether a checkpoint was torn."""
    last, previous, points = (folder / name for name in ("last.pt", "last.previous.pt", "metrics.jsonl"))
    if not last.exists():
        return False
    if torn := previous.exists():
        content = bytearray(last.read_bytes())
        start = dice.randrange(len(content) - 1)
        if dice.random() < 0.5:
            del content[start:]
        else:
            content[start : start + 4096] = bytes(len(content[start : start + 4096]))
            content[start] ^= 255
        last.write_bytes(content)
    step = torch.load(previous if torn else last, weights_only=True)["state"]["step"]
    lines = points.read_bytes().splitlines(keepends=True)
    kept = sum(len(line) for line in lines if json.loads(line)["step"] <= step) if lines else 0
    os.truncate(points, dice.randint(kept, points.stat().st_size))
    return torn


def main() -> None:
    small_resnets.install()
    kills, folder = int(sys.argv[1]), sys.argv[2]

    def run_in(name: str) -> Settings:
        return resolve(parse(compose(*sys.argv[3:], f"paths.outputs={folder}/{name}")))[0]

    whole = run_in("whole")
    child, _ = begin(whole)
    began = time.monotonic()
    wait_for_result(child)
    longest_life = 0.5 * (time.monotonic() - began)
    dice = random.Random(7)
    killed = [run_in("killed0")]
    started_from = []
    power_failures = torn = stops = 0
    while len(started_from) < kills:
        child, step = begin(killed[-1])
        time.sleep(dice.uniform(0, longest_life))
        how = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        os.kill(child, how)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, AGAIN, -how}, f"a training ended with {status}"
        hit = folder_of(killed[-1], {})
        if hit.result is not None:  # it came to its end before: the next kills are for another one
            killed.append(run_in(f"killed{len(killed)}"))
            continue
        if how != signal.SIGKILL:
            stops += 1
            continue
        started_from.append(step)
        if dice.random() < 0.4:
            power_failures += 1
            torn += fail_power(hit.path, dice)
    child, _ = begin(killed[-1])
    wait_for_result(child)
    folders = [str(folder_of(settings, {}).path) for settings in (whole, *killed)]
    report = {"started_from": started_from, "stops": stops, "power_failures": power_failures, "torn": torn}
    print(json.dumps({**report, "whole": folders[0], "killed": folders[1:]}))


if __name__ == "__main__":
    main()

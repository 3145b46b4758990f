"""One training whole, and killed at random moments and continued: `killing.py KILLS FOLDER OVERRIDES...`.

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
from typing import Any

from composing import compose
from rich.console import Console

from mtl_seg_depth.config import Settings, fingerprint, parse
from mtl_seg_depth.run import find_folder, resolve, run


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
        finally:
            os._exit(0)
    os.close(writing)
    first = os.read(reading, 1000).decode()
    # The pipe stays open: the training goes on talking into it.
    return child, int(first.split("from step ")[1]) if "from step " in first else 0


def main() -> None:
    kills, folder = int(sys.argv[1]), sys.argv[2]

    def run_in(name: str) -> Settings:
        return resolve(parse(compose(*sys.argv[3:], f"paths.outputs={folder}/{name}")))[0]

    whole = run_in("whole")
    child, _ = begin(whole)
    began = time.monotonic()
    os.waitpid(child, 0)
    longest_life = 0.5 * (time.monotonic() - began)
    dice = random.Random(7)
    killed = [run_in("killed0")]
    started_from = []
    while len(started_from) < kills:
        child, step = begin(killed[-1])
        time.sleep(dice.uniform(0, longest_life))
        if os.waitpid(child, os.WNOHANG)[0]:  # it came to its end: the next kills are for another one
            killed.append(run_in(f"killed{len(killed)}"))
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        started_from.append(step)
    child, _ = begin(killed[-1])
    os.waitpid(child, 0)
    folders = [str(find_folder(settings, fingerprint(settings)).path) for settings in (whole, *killed)]
    print(json.dumps({"started_from": started_from, "whole": folders[0], "killed": folders[1:]}))


if __name__ == "__main__":
    main()

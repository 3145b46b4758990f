"""One training twice: whole, and killed at random moments and continued: `killing.py KILLS FOLDER OVERRIDES...`.

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
    whole, killed = (
        resolve(parse(compose(*sys.argv[3:], f"paths.outputs={folder}/{name}")))[0] for name in ("whole", "killed")
    )
    child, _ = begin(whole)
    began = time.monotonic()
    os.waitpid(child, 0)
    longest_life = 1.2 * (time.monotonic() - began) / kills  # so that it never gets to its end before the last kill
    dice = random.Random(7)
    started_from = []
    for _ in range(kills):
        child, step = begin(killed)
        started_from.append(step)
        time.sleep(dice.uniform(0, longest_life))
        if os.waitpid(child, os.WNOHANG)[0]:
            raise SystemExit(f"it ended by itself, starting from {started_from}")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    child, step = begin(killed)
    started_from.append(step)
    os.waitpid(child, 0)
    print(
        json.dumps(
            {
                "kills": kills,
                "started_from": started_from,
                "whole": str(find_folder(whole, fingerprint(whole)).path),
                "killed": str(find_folder(killed, fingerprint(killed)).path),
            }
        )
    )


if __name__ == "__main__":
    main()

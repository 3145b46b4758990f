"""One training by several processes, one of which is killed: `killing_together.py KILLS FOLDER OVERRIDES...`.

It is trained whole by one process; and by 2 or 3 at a time, a random one of which is killed at a random moment, until
there were so many kills, and then to its end. The others are asked to end a second after the kill, as torchrun does at
once: before they have met, they know nothing of each other. Prints what happened as JSON.
"""

import json
import os
import random
import signal
import sys
import time
import traceback

import torch
from rich.console import Console

from helpers import small_resnets
from helpers.composing import compose
from helpers.together import free_port
from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.runs.assembly import resolve
from mtl_seg_depth.runs.run import folder_of, run
from mtl_seg_depth.system.errors import UserError

LONGEST_WAIT = 30.0
"""Seconds in which the others end."""


def begin(settings: Settings, count: int) -> list[int]:
    """Fork the processes of a training."""
    children, port = [], free_port()
    for rank in range(count):
        child = os.fork()
        if child == 0:
            here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in here.items()} | {"MASTER_ADDR": "127.0.0.1"}
            torch.set_num_threads(1)
            try:
                run(settings, Console(quiet=True))
                os._exit(0)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                os._exit(2)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    return children


def ends(children: list[int]) -> list[int]:
    """The exit codes of processes that end, all of them within `LONGEST_WAIT`."""
    began, asked = time.monotonic(), False
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        if not asked and time.monotonic() - began > 1:
            asked = True
            for child in set(children) - set(codes):
                os.kill(child, signal.SIGTERM)
        for child in set(children) - set(codes):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                codes[child] = os.waitstatus_to_exitcode(status)
        assert time.monotonic() - began < LONGEST_WAIT, f"of {len(children)} processes {len(codes)} have ended"
        time.sleep(0.01)
    return [codes[child] for child in children]


def main() -> None:
    small_resnets.install()
    kills, folder = int(sys.argv[1]), sys.argv[2]

    def run_in(name: str) -> Settings:
        return resolve(parse(compose(*sys.argv[3:], f"paths.outputs={folder}/{name}")))[0]

    whole, others = run_in("whole"), [run_in("killed0")]
    began = time.monotonic()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in begin(whole, 1)] == [0]
    longest_life = 1.5 * (time.monotonic() - began)
    dice = random.Random(7)
    hits, waits = [], []
    while len(hits) < kills:
        count = 2 + len(hits) % 2
        children = begin(others[-1], count)
        time.sleep(dice.uniform(0, longest_life))
        hit = dice.randrange(count)
        os.kill(children[hit], signal.SIGKILL)
        at = time.monotonic()
        codes = ends(children)
        if folder_of(others[-1], {}).result is not None:  # it came to its end before
            others.append(run_in(f"killed{len(others)}"))
            continue
        waits.append(time.monotonic() - at)
        hits.append(hit)
        rest = {code for rank, code in enumerate(codes) if rank != hit}
        assert rest <= {2, -signal.SIGTERM}, f"process {hit} was killed, and they ended with {codes}"
    for count in (3, 2):  # the second time there is nothing left to do
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in begin(others[-1], count)]
        assert not any(codes), codes
    folders = [str(folder_of(settings, {}).path) for settings in (whole, *others)]
    print(json.dumps({"hits": hits, "longest_wait": max(waits), "whole": folders[0], "killed": folders[1:]}))


if __name__ == "__main__":
    main()

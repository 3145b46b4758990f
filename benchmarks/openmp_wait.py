"""How should OpenMP's threads wait for each other, on a machine that is quiet and on one that is shared?

A process for every setting trains the same network, one after the other in turns, first alone and then beside processes
that compute without end, as other people's do. A thread that has nothing to do asks over and over for a while (it
spins), and then sleeps: spinning is quick to go on if the others are about to be done, and takes the core from them if
they wait for it.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import Any

from common import batch_of, main, pictures, settings_of, spread

from mtl_seg_depth.system.machine import SPINS, usable_cores

SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"{count} spins": {"GOMP_SPINCOUNT": str(count)} for count in (300, 1000, 3000, 10_000, 30_000, 100_000)},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
OURS = f"{SPINS} spins"
CLEARED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


def train_on_demand(size: int) -> None:
    """Take as many steps as each line of standard input says, and answer with the seconds they took."""
    import torch

    from mtl_seg_depth.runs.assembly import assemble

    words = (*pictures(size), "encoder=resnet18", "tracking=folder", "precision=fp32", "device=cpu")
    device = torch.device("cpu")
    step = assemble(settings_of(*words), device).advance
    data = batch_of(4, size, device)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            step(data, 1e-4)
        print(time.perf_counter() - began, flush=True)


class Trainer:
    """A process that trains with one setting, when it is asked to."""

    def __init__(self, setting: dict[str, str], size: int) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
        environment |= setting
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(size)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, steps: int) -> float:
        """Seconds for a step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(steps, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline()) / steps

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compute_for_ever() -> None:
    while True:
        sum(range(100_000))


@contextmanager
def load(processes: int) -> Any:
    """Others that compute."""
    others = [multiprocessing.Process(target=compute_for_ever, daemon=True) for _ in range(processes)]
    for each in others:
        each.start()
    try:
        yield
    finally:
        for each in others:
            each.terminate()
            each.join()


def in_turns(trainers: dict[str, Trainer], rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step, and against OpenMP's own way in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            seconds[name].append(trainer(steps))
    first = seconds[next(iter(trainers))]
    return {
        name: {
            "seconds": spread(values),
            "of_the_first": spread([one / other for one, other in zip(values, first, strict=True)]),
        }
        for name, values in seconds.items()
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    size = 32 if arguments.smoke else arguments.size
    assert OURS in SETTINGS
    names = ["as it comes", OURS] if arguments.smoke else [*SETTINGS]
    found: dict[str, Any] = {"size": size, "ours": OURS, "cores": usable_cores(), "others": arguments.others}
    with ExitStack() as stack:
        trainers = {name: stack.enter_context(Trainer(SETTINGS[name], size)) for name in names}
        for trainer in trainers.values():
            trainer(1 if arguments.smoke else 5)
        if "quiet" in arguments.parts:
            rounds, steps = (1, 1) if arguments.smoke else (arguments.rounds, 5)
            found["quiet"] = in_turns(trainers, rounds, steps)
            arguments.write(arguments.known | found)
        if "busy" in arguments.parts:
            with load(1 if arguments.smoke else arguments.others):
                found["busy"] = in_turns(trainers, 1 if arguments.smoke else arguments.busy_rounds, 1)
    return arguments.known | found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        train_on_demand(int(sys.argv[2]))
    else:
        main("openmp_wait", measure, rounds=20, busy_rounds=8, others=3, size=128, parts="quiet,busy")

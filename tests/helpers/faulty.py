"""Faults to inject into a training, by name; what runs then is the real command."""

import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mtl_seg_depth.data import dataset, packed
from mtl_seg_depth.training.step import Step

ROOT = Path(__file__).parents[2]
AT_STEP = 6


def at_step(fault: Callable[[Step], None]) -> None:
    """Do something before one of the steps."""
    original, steps = Step.__call__, []

    def faulty(step: Step, *arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == AT_STEP:
            fault(step)
        return original(step, *arguments)

    Step.__call__ = faulty  # type: ignore[method-assign]


def no_space_check() -> None:
    """So that the disk fills up on the way, as when others write to it too."""
    usage = shutil.disk_usage(ROOT)._replace(free=1 << 50)
    shutil.disk_usage = lambda path: usage


def device_out_of_memory() -> None:
    def fault(_: Step) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total capacity ...")

    at_step(fault)


def machine_out_of_memory() -> None:
    """The address space ends a little above what is in use."""

    def fault(_: Step) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), resource.RLIM_INFINITY))
        torch.zeros(1 << 28)

    at_step(fault)


def clock_jumps_back() -> None:
    real, real_ns = time.time, time.time_ns
    calls: list[int] = []

    def hours() -> int:
        calls.append(1)
        return -(len(calls) // 5)

    time.time = lambda: real() + 3600 * hours()
    time.time_ns = lambda: real_ns() + 3600 * 10**9 * hours()


def weights_become_nan() -> None:
    def fault(step: Step) -> None:
        with torch.no_grad():
            next(step.network.parameters())[0, 0, 0, 0] = torch.nan

    at_step(fault)


def data_vanish() -> None:
    """Once packed, they are not needed."""

    def fault(_: Step) -> None:
        shutil.rmtree(next(argument for argument in sys.argv if argument.startswith("data.root="))[10:])

    at_step(fault)


def file_vanishes_while_packing() -> None:
    original = packed.source_digest

    def vanishing(files: Any) -> str:
        digest = original(files)
        files.paths["semseg"][1].unlink(missing_ok=True)
        return digest

    packed.source_digest = vanishing
    assert dataset.pack is packed.pack


FAULTS = {
    fault.__name__: fault
    for fault in (
        no_space_check,
        device_out_of_memory,
        machine_out_of_memory,
        clock_jumps_back,
        weights_become_nan,
        data_vanish,
        file_vanishes_while_packing,
    )
}

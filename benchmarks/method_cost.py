"""What does a balance of the tasks cost? A step and its memory with every option of the group, beside equal weights."""

import argparse
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from common import ROOT, alternate, batch_of, main, pictures, settings_of

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.system.memory import peak

FIXED = {"w02_08", "w04_06", "w06_04", "w08_02"}
"""Cost what equal weights do."""


def step_with(option: str, encoder: str, size: int, batch: int, device: torch.device) -> Callable[[], Any]:
    settings = settings_of(
        "model=joint", f"encoder={encoder}", f"task_weights={option}", *pictures(size), f"schedule.batch_size={batch}",
        "tracking=folder",
    )  # fmt: skip
    step, data = assemble(settings, device).advance, batch_of(batch, size, device)
    return lambda: step(data, 1e-4)


def peak_bytes(option: str, *case: Any) -> int:
    """Of two steps."""
    device = case[-1]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    step = step_with(option, *case)
    for _ in range(2):
        step()
    return peak(device).bytes


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    case = ("resnet18", 64, 2, device) if smoke else ("resnet34", 256, arguments.batch, device)
    options = sorted({path.stem for path in (ROOT / "conf" / "task_weights").glob("*.yaml")} - FIXED - {"equal"})
    options = ["cagrad"] if smoke else options
    memory = {}
    for option in (
        "equal",
        *options,
    ):  # before anything else: the peak of a CPU's process never falls, a child's begins
        if device.type == "cuda":
            memory[option] = peak_bytes(option, *case)
        else:
            with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
                memory[option] = pool.submit(peak_bytes, option, *case).result()
    found = {}
    for option in options:
        works = {name: step_with(name, *case) for name in ("equal", option)}
        seconds = alternate(works, 1 if smoke else arguments.rounds, device, warm_up=5 if device.type == "cuda" else 2)
        found[option] = {
            "seconds": seconds,
            "times_equal": seconds[option]["median"] / seconds["equal"]["median"],
            "more_bytes": memory[option] - memory["equal"],
        }
    return {"encoder": case[0], "size": case[1], "batch": case[2], "peak_bytes": memory, "methods": found}


if __name__ == "__main__":
    main("method_cost", measure, rounds=9, batch=4)

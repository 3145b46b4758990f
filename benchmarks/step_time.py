"""How long is a step? Eager, fp32, NCHW against our settings, for every architecture, and the share of the floor."""

import argparse
from typing import Any

import classic
import torch
from common import alternate, batch_of, floors, main, pictures, settings_of
from torch.utils.flop_counter import FlopCounterMode

from mtl_seg_depth.runs.assembly import assemble

ARCHITECTURES = {
    "joint resnet18": ("model=joint", "encoder=resnet18"),
    "joint resnet34": ("model=joint", "encoder=resnet34"),
    "branched resnet34": ("model=branched", "encoder=resnet34"),
    "distilled resnet34": ("model=distilled", "encoder=resnet34"),
    "branched resnet50": ("model=branched", "encoder=resnet50"),
}
RATE = 1e-4


def variants(device: torch.device) -> dict[str, tuple[str, ...]]:
    """Our settings, the one that `auto` means last."""
    if device.type == "cuda":
        return {
            "fp32 eager": ("precision=fp32", "step=eager"),
            "bf16 eager": ("precision=bf16", "step=eager"),
            "fp32 graph": ("precision=fp32", "step=graph"),
            "bf16 graph": ("precision=bf16", "step=graph"),
        }
    return {"fp32": ("precision=fp32",), "bf16": ("precision=bf16",)}


def measure_one(overrides: tuple[str, ...], size: int, batch: int, device: torch.device, rounds: int) -> dict[str, Any]:
    def step_of(*more: str) -> Any:
        settings = settings_of(*overrides, *pictures(size), f"schedule.batch_size={batch}", "tracking=folder", *more)
        return assemble(settings, device)

    parts = step_of("precision=fp32", "step=eager")
    reference = classic.Step(parts.network, parts.tasks["depth"].norm)
    plain = batch_of(batch, size, device, channels_last=False)
    ours = batch_of(batch, size, device)
    works = {"classic": lambda: reference(plain, RATE)}
    for name, more in variants(device).items():
        step = step_of(*more).advance
        works[name] = lambda step=step: step(ours, RATE)
    with FlopCounterMode(display=False) as counter:
        reference(plain, RATE)
    seconds = alternate(works, rounds, device, warm_up=5 if device.type == "cuda" else 2)
    return {
        "batch": batch,
        "size": size,
        "parameters": parts.parameters,
        "flop": counter.get_total_flops(),
        "seconds": seconds,
        "images_per_second": {name: batch / value["median"] for name, value in seconds.items()},
        "times_classic": {name: seconds["classic"]["median"] / value["median"] for name, value in seconds.items()},
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    floor = floors(device, smoke)
    cases = [(name, size) for name in ARCHITECTURES for size in (128, 256)]
    if arguments.only:
        cases = [(name, size) for name, size in cases if f"{name} {size}" == arguments.only]
    if smoke:
        cases = [("joint resnet18", 64)]
    found = {}
    for name, size in cases:
        overrides = ARCHITECTURES[name]
        one = measure_one(overrides, size, 2 if smoke else arguments.batch, device, 1 if smoke else arguments.rounds)
        one["share_of_matmul_peak"] = {
            setting: one["flop"] / floor["bf16_flops" if "bf16" in setting else "fp32_flops"] / value["median"]
            for setting, value in one["seconds"].items()
        }
        found[f"{name} {size}"] = one
    return {"floors": floor, "cases": found}


if __name__ == "__main__":
    main("step_time", measure, rounds=9, batch=4, only="")

"""How long is a whole training, data, updates, validation and logging? Ours against a classic loop, in turns.

Both train the same network on the same images for as many updates, with the same rates; each round has a seed of its
own. Preparing our packed cache is measured apart: it happens once for all runs.
"""

import argparse
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import classic
import torch
from common import main, pictures, settings_of, spread, synchronize
from rich.console import Console

from mtl_seg_depth.config import Settings
from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.runs.run import run


def run_ours(settings: Settings, shares: list[float]) -> dict[str, float]:
    result = run(settings, Console(file=io.StringIO()))
    shares.append(result.cost.data_share)
    return {"semseg": result.last["val/semseg"], "depth": result.last["val/depth"]}


def run_classic(settings: Settings, device: torch.device, folder: Path) -> dict[str, float]:
    parts = assemble(settings, device)
    size = parts.source.crop_size
    workers, batch = os.cpu_count() or 1, settings.schedule.batch_size
    training = classic.loader(parts.source.files("train"), size, batch, workers)
    validation = classic.loader(parts.source.files("val"), None, settings.validation.batch_size, workers)
    rates = [parts.learning_rate(number) for number in range(parts.plan.steps)]
    folder.mkdir()
    step = classic.Step(parts.network, parts.tasks["depth"].norm)
    return classic.train(step, training, validation, rates, settings.schedule.epochs, folder, device)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    size, epochs, rounds = (32, 1, 1) if smoke else (arguments.size, arguments.epochs, arguments.rounds)
    train, val = (4, 2) if smoke else (arguments.train, arguments.val)
    seconds: dict[str, list[float]] = {"classic": [], "ours": []}
    scores: dict[str, list[dict[str, float]]] = {"classic": [], "ours": []}
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = [
            *pictures(size), f"data.train={train}", f"data.val={val}", "data.test=1", f"paths.datasets={folder}",
            f"paths.outputs={folder}/outputs", "model=joint", f"encoder={'resnet18' if smoke else 'resnet34'}",
            "schedule.batch_size=4", f"schedule.epochs={epochs}", "tracking=folder", f"device={device}",
            "lr.value=3e-4", "tracking.log_every=20", "precision=auto" if not smoke else "precision=fp32",
        ]  # fmt: skip
        settings = settings_of(*base)
        source = assemble(settings_of(*base, "precision=fp32"), device).source
        source.prepare()
        began = time.perf_counter()
        for split in ("train", "val"):
            source.open(split, progress=False)
        packing = time.perf_counter() - began
        for seed in range(rounds):
            settings = settings_of(*base, f"seed={seed}")
            plain = settings_of(*base, f"seed={seed}", "precision=fp32", "step=eager")
            works = {
                "classic": lambda plain=plain, seed=seed: run_classic(plain, device, folder / f"classic{seed}"),
                "ours": lambda settings=settings: run_ours(settings, shares),
            }
            for name, work in works.items():
                began = time.perf_counter()
                scores[name].append(work())
                synchronize(device)
                seconds[name].append(time.perf_counter() - began)
    images = train // 4 * 4 * epochs
    timings = {name: spread(values) for name, values in seconds.items()}
    return {
        "updates": images // 4,
        "batch": 4,
        "crop": size,
        "validation_pictures": val,
        "packing_seconds": packing,
        "seconds": timings,
        "images_per_second": {name: images / value["median"] for name, value in timings.items()},
        "times_classic": timings["classic"]["median"] / timings["ours"]["median"],
        "share_of_time_waiting_for_batches": spread(shares),
        "scores": scores,
    }


if __name__ == "__main__":
    main("whole_run", measure, rounds=3, size=256, epochs=4, train=64, val=16)

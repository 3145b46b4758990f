"""How does cost grow with the batch, the crop, the images of a validation and the threads?"""

import argparse
import os
from typing import Any

import torch
from common import alternate, batch_of, main, pictures, settings_of

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.scoring.scores import score


def step_seconds(size: int, batch: int, device: torch.device, rounds: int, encoder: str) -> dict[str, Any]:
    precision = "precision=auto" if size >= 64 else "precision=fp32"
    settings = settings_of(
        *pictures(size), f"encoder={encoder}", f"schedule.batch_size={batch}", "tracking=folder",
        "precision=bf16" if precision.endswith("auto") else precision,
    )  # fmt: skip
    step = assemble(settings, device).advance
    data = batch_of(batch, size, device)
    found: dict[str, Any] = alternate({"step": lambda: step(data, 1e-4)}, rounds, device)["step"]
    return {**found, "images_per_second": batch / found["median"]}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    rounds, encoder = (1, "resnet18") if smoke else (arguments.rounds, "resnet34")
    batches, sizes = ((2,), (64,)) if smoke else ((2, 4, 8, 16), (64, 128, 192, 256, 384))
    usual = 64 if smoke else 128
    by_batch = {batch: step_seconds(usual, batch, device, rounds, encoder) for batch in batches}
    by_size = {size: step_seconds(size, 4, device, rounds, encoder) for size in sizes}

    by_threads = {}
    most = torch.get_num_threads()
    for threads in range(1, 1 if smoke or device.type != "cpu" else (os.cpu_count() or 1) + 1):
        torch.set_num_threads(threads)
        by_threads[threads] = step_seconds(usual, 4, device, rounds, encoder)
    torch.set_num_threads(most)

    parts = assemble(settings_of(*pictures(usual), f"encoder={encoder}", "precision=fp32", "tracking=folder"), device)
    scored = batch_of(2 if smoke else 8, usual, device)
    by_pictures = {
        count * len(scored.ids): alternate(
            {"score": lambda count=count: score(parts.predictor, [scored] * count, parts.tasks)},
            rounds,
            device,
            warm_up=1,
        )["score"]
        for count in ((1, 2) if smoke else (1, 2, 4, 8))
    }
    return {
        "encoder": encoder,
        "size": usual,
        "step_by_batch": by_batch,
        "step_by_size": by_size,
        "step_by_threads": by_threads,
        "validation_by_pictures": by_pictures,
    }


if __name__ == "__main__":
    main("scaling", measure, rounds=5)

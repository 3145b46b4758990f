"""How fast are training images? The packed cache against decoding with Pillow, torchvision and a DataLoader."""

import argparse
import os
import tempfile
from collections import deque
from typing import Any

import classic
import torch
from common import alternate, main, pictures, settings_of
from torchvision.io import ImageReadMode, decode_image

from mtl_seg_depth.data.augmentation import Augmentation, Views
from mtl_seg_depth.data.placement import HostPixels
from mtl_seg_depth.runs.assembly import assemble, training_batches


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    size = 32 if smoke else arguments.size
    count = 4 if smoke else arguments.pictures
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(
            *pictures(size), f"data.train={count}", "data.val=1", "data.test=1", f"paths.datasets={folder}",
            "schedule.batch_size=4", "precision=fp32", "tracking=folder",
        )  # fmt: skip
        parts = assemble(settings, device)
        split = parts.source.open("train", progress=False)
        batches = training_batches(settings, parts, split, device)
        files = parts.source.files("train")
        decoded = classic.Pictures(files, (size, size))
        steps = batches.steps_per_epoch
        epochs = 1 if smoke else arguments.epochs

        def plans(flip: float) -> list[tuple[torch.Tensor, Views]]:
            return [
                (torch.randperm(count), Augmentation(flip=flip).plan(count, (size, 2 * size), (size, size), (epoch,)))
                for epoch in range(epochs)
            ]

        pixels = HostPixels(
            (split.images, split.targets["semseg"], split.targets["depth"]), torch.device("cpu"), split.check
        )
        loaders = {workers: classic.loader(files, (size, size), 4, workers) for workers in (0, os.cpu_count() or 1)}

        def torchvision_decode() -> None:
            for index in range(count):
                for kind, paths in files.paths.items():
                    mode = ImageReadMode.RGB if kind == "rgb" else ImageReadMode.UNCHANGED
                    decode_image(str(paths[index]), mode)[:, :size, :size].float().contiguous()

        def packed_bytes(planned: list[tuple[torch.Tensor, Views]]) -> None:
            for rows, views in planned:
                for step in range(steps):
                    chosen = slice(4 * step, 4 * step + 4)
                    pixels.views(rows[chosen], views[chosen], (size, size))

        works = {
            "Pillow, decode and crop": lambda: [decoded[index] for index in range(count)],
            "torchvision, decode and crop": torchvision_decode,
            **{f"DataLoader, {n} workers": lambda loader=loader: list(loader) for n, loader in loaders.items()},
        }
        plain, mirrored = plans(0.0), plans(0.5)
        # An epoch of these takes milliseconds: several, as long as an epoch of the others, each in an order of its own.
        packed = {
            "packed, crops in uint8": lambda: packed_bytes(plain),
            "packed, crops in uint8, half of them mirrored": lambda: packed_bytes(mirrored),
            "packed, ready for the network": lambda: deque((batches[step] for step in range(epochs * steps)), maxlen=0),
        }
        seconds = alternate({**works, **packed}, 1 if smoke else arguments.rounds, device, warm_up=1)
    taken = {name: count * (epochs if name in packed else 1) for name in seconds}
    rates = {name: taken[name] / value["median"] for name, value in seconds.items()}
    slowest = rates["Pillow, decode and crop"]
    return {
        "pictures": count,
        "taken": taken,
        "picture": [size, 2 * size],
        "crop": [size, size],
        "seconds": seconds,
        "samples_per_second": rates,
        "times_pillow": {name: rate / slowest for name, rate in rates.items()},
    }


if __name__ == "__main__":
    main("data_path", measure, rounds=7, size=256, pictures=256, epochs=10)

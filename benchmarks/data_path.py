"""How fast are training images? The packed cache against decoding with Pillow, torchvision and a DataLoader."""

import argparse
import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import classic
import numpy as np
import torch
from common import alternate, main, pictures, settings_of
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from mtl_seg_depth.data.augmentation import Augmentation, Views
from mtl_seg_depth.data.files import SplitFiles
from mtl_seg_depth.data.placement import HostPixels
from mtl_seg_depth.runs.assembly import assemble, training_batches

READY = "packed, ready for the network"


def sixteen_bits(files: SplitFiles, metres: np.ndarray, folder: Path) -> list[str]:
    """The same scenes as a folder of one's own, depth in centimetres of 16 bits; the overrides that choose it."""
    patterns = {"rgb": "images/{split}/{name}.jpg", "semseg": "masks/{split}/{name}.png"}
    for kind, pattern in {**patterns, "depth": "depths/{split}/{name}.png"}.items():
        for split, paths in (("train", files.paths[kind]), ("val", files.paths[kind][:1])):
            for number, path in enumerate(paths):
                copy = folder / pattern.format(split=split, name=number)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if kind == "depth":
                    with Image.open(path) as image:
                        codes = np.asarray(image)
                    Image.fromarray((100 * metres[codes]).round().astype(np.uint16)).save(copy)
                else:
                    shutil.copy(path, copy)
    classes = ",".join(f"{{name: c{number}, colour: [{number},0,0]}}" for number in range(19))
    return [
        "data=folder", f"data.root={folder}", 'data.images="images/{split}/{name}.jpg"', f"data.classes=[{classes}]",
        "data.depth_scale=0.01", "data.depth_min=4", "data.depth_max=300",
        "data.depth_mean=22.5", "data.depth_std=27.5",
    ]  # fmt: skip


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
        metres = np.nan_to_num(parts.source.spec.targets["depth"].codec.table())
        shared = [f"data.crop_size=[{size},{size}]", "schedule.batch_size=4", "precision=fp32", "tracking=folder"]
        wide = settings_of(*sixteen_bits(files, metres, Path(folder) / "wide"), *shared, f"paths.datasets={folder}")
        wide_parts = assemble(wide, device)
        wide_split = wide_parts.source.open("train", progress=False)
        wide_batches = training_batches(wide, wide_parts, wide_split, device)
        assert wide_split.targets["depth"].dtype == np.uint16
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
            READY: lambda: deque((batches[step] for step in range(epochs * steps)), maxlen=0),
            f"{READY}, depth in 16 bits": lambda: deque(
                (wide_batches[step] for step in range(epochs * steps)), maxlen=0
            ),
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

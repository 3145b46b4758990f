"""A tiny data set in the exact layout of Miniscapes, for tests that need files on disk."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.facts import IGNORE_INDEX, NUM_CLASSES, STATISTICS
from mtl_seg_depth.data.miniscapes import Miniscapes
from mtl_seg_depth.tasks.depth.codec import DepthStatistics

COUNTS: Mapping[str, int] = {"train": 3, "val": 2, "test": 2}


def write_tiny_miniscapes(
    root: Path, counts: Mapping[str, int] = COUNTS, height: int = 32, width: int = 64, seed: int = 0
) -> Path:
    """Write a data set of blocky random images under `root`, and return `root`.

    Every image has ignored labels and invalid depth; images with one seed are the same wherever they lie.
    """
    generator = np.random.default_rng(seed)
    for split, count in counts.items():
        for kind in ("rgb", "semseg", "depth"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            rgb = _blocks(generator, 0, 256, height, width, channels=3)
            labels = _blocks(generator, 0, NUM_CLASSES, height, width)[..., 0]
            codes = _blocks(generator, 1, 256, height, width)[..., 0]
            labels[:2], codes[-2:] = IGNORE_INDEX, 0
            Image.fromarray(rgb).save(root / split / "rgb" / f"{number}.jpg", quality=95)
            Image.fromarray(labels).save(root / split / "semseg" / f"{number}.png")
            Image.fromarray(codes).save(root / split / "depth" / f"{number}.png")
    return root


def miniscapes(
    root: Path,
    cache: Path | None = None,
    statistics: DepthStatistics = STATISTICS,
    workers: int | None = None,
    kind: type[Miniscapes] = Miniscapes,
) -> Miniscapes:
    """The data set in `root`, packed beside it by default; `kind` is a class that takes the arguments of its base."""
    return kind(
        root=str(root),
        cache=str(cache or root.parent / "cache"),
        crop_size=(32, 32),
        depth_mean=statistics.mean,
        depth_std=statistics.std,
        depth_min=statistics.min,
        depth_max=statistics.max,
        workers=workers,
    )


def _blocks(
    generator: np.random.Generator, low: int, high: int, height: int, width: int, channels: int = 1
) -> NDArray[np.uint8]:
    """Random values in squares of 8 pixels, uint8 [height, width, channels]."""
    coarse = generator.integers(low, high, (-(-height // 8), -(-width // 8), channels), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width]

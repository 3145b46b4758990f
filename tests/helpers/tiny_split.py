"""A small split in memory, for tests that need its arrays and no files."""

from pathlib import Path

import numpy as np

from helpers.facts import IGNORE_INDEX, NUM_CLASSES
from mtl_seg_depth.data.packed import PackedSplit


def tiny_split(count: int = 7, height: int = 48, width: int = 72, labels: bool = True, seed: int = 0) -> PackedSplit:
    """Random pixels, a tenth of them ignored and a tenth without depth; the ids start at 10."""
    generator = np.random.default_rng(seed)
    shape = (count, height, width)
    semseg = generator.integers(0, NUM_CLASSES, shape, np.uint8)
    semseg[generator.random(shape) < 0.1] = IGNORE_INDEX
    depth = generator.integers(1, 256, shape, np.uint8)
    depth[generator.random(shape) < 0.1] = 0
    image = generator.integers(0, 256, (*shape, 3), np.uint8)
    return split_of(image, semseg, depth) if labels else split_of(image)


def split_of(image: np.ndarray, semseg: np.ndarray | None = None, depth: np.ndarray | None = None) -> PackedSplit:
    """A split of these arrays: images [N, H, W, 3], class ids and depth codes [N, H, W]."""
    targets = {"semseg": semseg, "depth": depth}
    return PackedSplit(
        folder=Path(),
        split="train",
        images=image,
        targets={name: array for name, array in targets.items() if array is not None},
        ids=np.arange(10, 10 + len(image), dtype=np.int64),
        digest="",
        content_digest="",
    )

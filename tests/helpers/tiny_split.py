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
    return split_of(generator.integers(0, 256, (*shape, 3), np.uint8), *((semseg, depth) if labels else (None, None)))


def split_of(rgb: np.ndarray, semseg: np.ndarray | None, depth: np.ndarray | None) -> PackedSplit:
    """A split of these arrays: rgb [N, H, W, 3], train ids and disparity codes [N, H, W]."""
    return PackedSplit(
        folder=Path(),
        split="train",
        images=rgb,
        targets={name: codes for name, codes in (("semseg", semseg), ("depth", depth)) if codes is not None},
        ids=np.arange(10, 10 + len(rgb), dtype=np.int64),
        digest="",
        content_digest="",
    )

"""Rows and columns of another size: images are blended, labels and depths never."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.data.files import Pixels

Size = tuple[int, int]
"""Height, width."""


@lru_cache(32)
def nearest_indices(old: int, new: int) -> NDArray[np.intp]:
    """Of every new row or column the old one that its centre lies in."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def nearest(pixels: Pixels, size: Size | None) -> Pixels:
    """The pixels [H, W] that lie nearest, in another size; as they are for None."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    rows, columns = (nearest_indices(old, new) for old, new in zip(pixels.shape[:2], size, strict=True))
    return pixels[rows[:, None], columns]


def majority(ids: Pixels, size: Size | None) -> Pixels:
    """The id [H, W] that covers most of each new pixel, the smallest of several alike; as they are for None."""
    if size is None or ids.shape == size:
        return ids
    found = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    best, share = np.zeros(size, np.uint8), np.zeros(size, np.float32)
    for one in found:
        mask = Image.fromarray((ids == one).astype(np.float32))
        covers = np.asarray(mask.resize(size[::-1], Image.Resampling.BOX))
        more = covers > share + 1e-4  # sums of a box are rounded
        best[more], share[more] = one, covers[more]
    return best

"""Large images predicted in tiles, so that the memory it takes depends on the tile and not on the image.

Tiles overlap, and each pixel is that of the tile in which it lies farther from the border: what is cut off there is
what a network would have looked at. A network that looks at the whole image at once, as the image pooling of an ASPP
does, sees the tile alone, so scores in tiles are not those of whole images.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_seg_depth.scoring.predictor import Predict
from mtl_seg_depth.tasks.resize import Size

OVERLAP = 8
"""Neighbours share at least one part in so many of a tile's side."""


@dataclass(frozen=True)
class Cut:
    """One tile's extent along a side of the image: from `start` to `stop`, of which `first` to `last` is kept."""

    start: int
    stop: int
    first: int
    last: int


def cuts(side: int, tile: int) -> list[Cut]:
    """Tiles, evenly spaced and as few as overlap enough, whose kept parts cover a side of an image once."""
    if tile >= side:
        return [Cut(0, side, 0, side)]
    overlap = tile // OVERLAP
    count = -(-(side - overlap) // (tile - overlap))
    starts = [place * (side - tile) // (count - 1) for place in range(count)]
    middles = [(start + tile + after) // 2 for start, after in itertools.pairwise(starts)]
    return [
        Cut(start, start + tile, first, last)
        for start, first, last in zip(starts, [0, *middles], [*middles, side], strict=True)
    ]


def in_tiles(predict: Predict, tile: Size) -> Predict:
    """The same predictions, [B, H, W, ...] of images [B, 3, H, W], made of those of tiles of at most this size."""

    @torch.inference_mode()
    def predict_tiles(image: Tensor) -> dict[str, Tensor]:
        whole: dict[str, Tensor] = {}
        size = image.shape[0], *image.shape[-2:]
        for down in cuts(size[1], tile[0]):
            for across in cuts(size[2], tile[1]):
                part = predict(image[:, :, down.start : down.stop, across.start : across.stop])
                for name, values in part.items():
                    kept = values[
                        :,
                        down.first - down.start : down.last - down.start,
                        across.first - across.start : across.last - across.start,
                    ]
                    target = whole.setdefault(name, values.new_empty((*size, *values.shape[3:])))
                    target[:, down.first : down.last, across.first : across.last] = kept
        return whole

    return predict_tiles

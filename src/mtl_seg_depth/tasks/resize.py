"""Resizing of what a network sees and says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]
"""Height and width in pixels."""

BAND = 1 << 20
"""Numbers that are interpolated at once: a few times that is what an enlargement takes of memory beside its result."""


def resize(pixels: Tensor, size: Size) -> Tensor:
    """Bilinear resize of [B, C, h, w] to [B, C, *size], averaging where it gets smaller; the same tensor if it is."""
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Band:
    """Some rows of an image that is enlarged: which pixels [..., h, w] surround each of its own, and how near they are.

    Attributes:
        rows: of the pixels above and below, int64 [2, band].
        columns: of those to the left and right, int64 [2, W].
        down, right: how near the lower and the right ones are, 0..1, float32 [band, 1] and [W].
    """

    rows: Tensor
    columns: Tensor
    down: Tensor
    right: Tensor

    def mixed(self, values: Tensor) -> Tensor:
        """Bilinear: [B, C, h, w] to [B, C, band, W]."""
        above, below = (values.index_select(-2, rows) for rows in self.rows)
        across = torch.lerp(above, below, self.down)
        left, right = (across.index_select(-1, columns) for columns in self.columns)
        return torch.lerp(left, right, self.right)

    def range(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest of the four around each pixel: [B, C, h, w] to twice [B, C, band, W]."""
        corners = [values.index_select(-2, rows).index_select(-1, cols) for rows in self.rows for cols in self.columns]
        stacked = torch.stack(corners)
        return stacked.amin(dim=0), stacked.amax(dim=0)


def enlarge(values: Tensor, size: Size, read: Callable[[Band], Tensor]) -> Tensor:
    """What `read` makes of every band of [B, C, h, w] in another size, put together along the rows: [B, H, W, ...].

    So that classes of large images are found without the probabilities of all their pixels at once.
    """
    return torch.cat([read(band) for band in _bands(values, size)], dim=1)


def _bands(values: Tensor, size: Size) -> Iterator[Band]:
    height, width = size
    above, below, down = _neighbours(values.shape[-2], height, values.device)
    left, right, near = _neighbours(values.shape[-1], width, values.device)
    columns = torch.stack([left, right])
    step = max(1, BAND // (values.shape[0] * values.shape[1] * width))
    for start in range(0, height, step):
        rows = slice(start, start + step)
        yield Band(torch.stack([above[rows], below[rows]]), columns, down[rows].unsqueeze(1), near)


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of each of `new` pixels along a side of `old`: the one before, the one after, and how near that is."""
    place = ((torch.arange(new, dtype=torch.float64, device=device) + 0.5) * old / new - 0.5).clamp(0, old - 1)
    before = place.floor().long()
    return before, (before + 1).clamp(max=old - 1), (place - before).float()

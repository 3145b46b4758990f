"""Resizing of what a network sees and says."""

from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]
"""Height and width in pixels."""


def resize(pixels: Tensor, size: Size) -> Tensor:
    """Bilinear resize of [B, C, h, w] to [B, C, *size], averaging where it gets smaller; the same tensor if it is."""
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)

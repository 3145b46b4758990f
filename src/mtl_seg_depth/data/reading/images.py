"""Images of any common format as red, green and blue."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from mtl_seg_depth.data.files import DamagedFileError, Entry, Pixels
from mtl_seg_depth.data.reading.arrays import header, load
from mtl_seg_depth.data.reading.resizing import Size


@dataclass(frozen=True)
class ImageReader:
    """Reads image files of 8 bits, and arrays [H, W, 3] of uint8 or of floats in 0..1.

    Attributes:
        to: height and width to read in, antialiased; None as stored.
    """

    to: Size | None = None
    bits: ClassVar[int] = 8
    channels: ClassVar[tuple[int, ...]] = (3,)
    dtype: ClassVar[type[np.uint8]] = np.uint8

    def size(self, entry: Entry) -> tuple[int, int]:
        """Width and height as stored."""
        found = header(entry, palette=True)
        array = found.numbers in ("uint8", "float32", "float64")
        if found.channels != 3 if array else found.bits > 8:
            raise DamagedFileError(entry, f"holds {found.numbers} in {found.channels} channels; expected 8-bit RGB")
        return found.width, found.height

    def __call__(self, entry: Entry) -> Pixels:
        """Red, green and blue, uint8 [H, W, 3]."""
        self.size(entry)
        pixels = load(entry, lambda image: image if image.mode == "RGB" else image.convert("RGB"))
        if pixels.dtype != np.uint8:
            if not (pixels.min() >= 0 and pixels.max() <= 1):
                raise DamagedFileError(entry, f"holds {pixels.min():g} to {pixels.max():g}; expected 0 to 1")
            pixels = (pixels * 255).round().astype(np.uint8)
        if self.to is not None and pixels.shape[:2] != self.to:
            pixels = np.asarray(Image.fromarray(pixels).resize(self.to[::-1], Image.Resampling.BILINEAR))
        return np.ascontiguousarray(pixels)

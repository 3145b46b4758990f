"""Masks of ids or colours as the ids of a data set's classes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.data.files import DamagedFileError, Entry, Pixels
from mtl_seg_depth.data.reading.arrays import LOSSY, header, load
from mtl_seg_depth.data.reading.resizing import Size, majority, nearest

Shrink = Literal["nearest", "majority"]
Table = tuple[tuple[int, int], ...]
"""Pairs of what is stored, an id or a colour as 0xRRGGBB, and the class's id or that of ignored pixels."""

MOST_NAMED = 5


def from_colour(red: int, green: int, blue: int) -> int:
    """A colour as 0xRRGGBB."""
    return red << 16 | green << 8 | blue


@dataclass(frozen=True)
class LabelReader:
    """Reads masks: image files of ids, of a palette or of colours, and arrays of ids.

    Attributes:
        table: what may be stored, and the class that it is.
        colours: the table is one of colours, not of ids; a palette's indices are ids.
        to: height and width to read in; None as stored.
        shrink: the id that lies nearest, or the one that covers most.
        hint: added to the message of what is not in the table.
    """

    table: Table
    colours: bool = False
    to: Size | None = None
    shrink: Shrink = "nearest"
    hint: str = ""
    bits: ClassVar[int] = 8
    channels: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[type[np.uint8]] = np.uint8

    def size(self, entry: Entry) -> tuple[int, int]:
        """Width and height as stored."""
        found = header(entry, palette=self.colours)
        if found.format in LOSSY:
            raise DamagedFileError(entry, f"is a {found.format}, which blurs masks; expected one without loss, as PNG")
        if self.colours and (found.channels not in (3, 4) or found.bits > 8):
            raise DamagedFileError(entry, f"is a {found.numbers} {found.format}; expected a mask of colours, 8-bit RGB")
        if not self.colours and found.channels != 1:
            raise DamagedFileError(
                entry, f"is a {found.numbers} {found.format}; expected a mask of ids, one number each"
            )
        return found.width, found.height

    def __call__(self, entry: Entry) -> Pixels:
        """The classes' ids, uint8 [H, W]; DamagedFileError for what is not in the table."""
        stored = self.stored(entry)
        if stored.dtype.kind == "f" and not (stored == np.rint(stored)).all():
            raise DamagedFileError(entry, "holds fractions; expected a mask of whole ids")
        first, ids = _lookup(self.table)
        keys: Pixels = stored.astype(np.int32 if stored.itemsize < 4 else np.int64)
        place: Pixels = keys - first
        known = (place >= 0) & (place < len(ids))
        found = ids[np.where(known, place, 0)]
        wrong = ~known | (found < 0)
        if wrong.any():
            raise DamagedFileError(entry, self._unknown(keys[wrong], wrong.mean()))
        resize = majority if self.shrink == "majority" else nearest
        return np.ascontiguousarray(resize(found.astype(np.uint8), self.to))

    def stored(self, entry: Entry) -> Pixels:
        """Ids or colours as the file has them, [H, W], in its own size."""
        self.size(entry)
        stored = load(entry, _as_rgb if self.colours else lambda image: image)
        if self.colours:
            stored = stored[..., :3].astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        return stored

    def _unknown(self, stored: Pixels, share: float) -> str:
        """What is wrong with stored values that are not in the table."""
        values = np.unique(stored).tolist()
        named = ", ".join(map(self._named, values[:MOST_NAMED]))
        more = f" and {len(values) - MOST_NAMED} more" if len(values) > MOST_NAMED else ""
        kind = "colour" if self.colours else "id"
        expected = ", ".join(map(self._named, _runs([key for key, _ in self.table], self.colours)))
        blurred = self.colours and len(values) > len(self.table)
        smoothed = "; so many come of smoothed edges or of JPEG: draw masks without either" if blurred else ""
        hint = smoothed + (self.hint or self._meant(set(values)))
        return f"holds the {kind} {named}{more} in {share:.2%} of its pixels; expected {expected}{hint}"

    def _meant(self, stored: set[int]) -> str:
        """What values that are not in the table are likely to be."""
        keys = {key for key, _ in self.table}
        if self.colours:
            swapped = {from_colour(value & 255, value >> 8 & 255, value >> 16) for value in stored}
            return "; with red and blue swapped they are" if swapped <= keys else ""
        if keys - {255} <= set(range(20)) and stored <= set(range(19, 34)):
            return "; are these Cityscapes' label ids?"
        return "; are these Cityscapes' train ids?" if 33 in keys and stored == {255} else ""

    def _named(self, value: int | str) -> str:
        return (
            f"({value >> 16}, {value >> 8 & 255}, {value & 255})"
            if self.colours and isinstance(value, int)
            else str(value)
        )


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _runs(keys: list[int], colours: bool) -> list[int | str]:
    """Colours as they are; ids that follow each other as one range."""
    if colours:
        return list(keys)
    ids = sorted(keys)
    starts = [key for key in ids if key - 1 not in keys]
    ends = [key for key in ids if key + 1 not in keys]
    return [str(a) if a == b else f"{a}..{b}" for a, b in zip(starts, ends, strict=True)]


@lru_cache(8)
def _lookup(table: Table) -> tuple[int, NDArray[np.int16]]:
    """The smallest stored value, and the class of every value from there on; -1 for none."""
    keys, ids = zip(*table, strict=True)
    lookup = np.full(max(keys) - min(keys) + 1, -1, np.int16)
    lookup[np.array(keys) - min(keys)] = ids
    return min(keys), lookup

"""The files of a data set: which make up a split, and how one becomes an array.

Pillow decodes: torchvision's decoders were 1.3 times as fast with the same JPEG pixels, but they turn palette labels
into colours, and the packed cache pays for decoding only once.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mtl_seg_depth.system.errors import UserError

SPLITS: Final = ("train", "val", "test")

IMAGE: Final = "rgb"
"""The kind of file that images are; every other kind is the target of the task of its name."""

MAX_PIXELS: Final = 64_000_000
"""A larger image is refused: a small file can claim a size that fills the memory."""

_ORIENTATION: Final = 0x0112
# What Pillow and the libraries below it raise on damaged files.
_DECODING_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

Pixels = NDArray[Any]
"""uint8 or uint16, [H, W] or [H, W, channels]."""


@dataclass(frozen=True)
class Source:
    """What a target or image is read from if that is not one file alone.

    Attributes:
        path: the file.
        member, index: the array in a file that holds several, and the image's place in it.
        beside: what else is read, by name, such as the camera's file.
    """

    path: Path
    member: str = ""
    index: int | None = None
    beside: tuple[tuple[str, Path], ...] = ()

    def __str__(self) -> str:
        """As messages name it."""
        return str(self.path) if self.index is None else f"{self.path}[{self.member} {self.index}]"


Entry = Path | Source


def files_of(entry: Entry) -> list[Path]:
    """Every file that is read for one image or target."""
    return [entry] if isinstance(entry, Path) else [entry.path, *(path for _, path in entry.beside)]


class DamagedFileError(UserError):
    """One file or folder of a data set that cannot be used: `path`, and the `reason` in words."""

    def __init__(self, path: Entry, reason: str) -> None:
        """The message is `path` and `reason`."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FileReader(Protocol):
    """How one kind of file becomes an array: called with an entry it gives the pixels, or raises DamagedFileError."""

    @property
    def bits(self) -> int:
        """Of a number in the array, 8 or 16."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Of a pixel, () for one number."""

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Of the array."""

    def size(self, entry: Any, /) -> tuple[int, int]:
        """Width and height as stored, after every check that needs only the file's header."""

    def __call__(self, entry: Any, /) -> Pixels:
        """The pixels, in the size that the split is read in."""


@dataclass(frozen=True)
class Reader:
    """A `FileReader` of PNGs or JPEGs as they are stored.

    Attributes:
        format: of the files, as Pillow calls it.
        bits: of a number in a pixel, 8 or 16.
        channels: of a pixel, () for one number.
        check: looks at the pixels of a file: why they cannot be, or None.
    """

    format: str
    bits: int = 8
    channels: tuple[int, ...] = ()
    check: Callable[[Pixels], str | None] = lambda pixels: None  # noqa: ARG005

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Of the pixels."""
        return np.uint8 if self.bits == 8 else np.uint16

    def size(self, path: Path) -> tuple[int, int]:
        """Width and height of a file, after every check that needs only its header; takes about 60 microseconds."""
        with self._open(path) as image:
            return image.size

    def __call__(self, path: Path) -> Pixels:
        """The pixels. A JPEG that is not RGB is converted, palette indices are kept.

        An EXIF rotation is refused: turning the image would part it from its labels, and ignoring the rotation would
        show it lying on its side.
        """
        with self._open(path) as image:
            pixels = decoded(
                path, lambda: image if image.format == "PNG" or image.mode == "RGB" else image.convert("RGB")
            )
        reason = self.check(pixels)
        if reason is not None:
            raise DamagedFileError(path, reason)
        return pixels

    def _open(self, path: Path) -> Image.Image:
        """Open a file and check what its header says; the pixels are read later, from the same open file."""
        image = open_image(path, (self.format,))
        reason = self._header_fault(path) if self.format == "PNG" else None
        if reason is not None:
            image.close()
            raise DamagedFileError(path, reason)
        return image

    def _header_fault(self, path: Path) -> str | None:
        """What is wrong with a PNG, as far as its header tells."""
        bits, colour = png_pixel_format(path)
        # Pillow spreads grey values of 1, 2 and 4 bits over 0..255, which would change the labels.
        allowed = [(self.bits, "RGB")] if self.channels else [(self.bits, "grey")]
        if (bits, colour) not in allowed and (self.channels or self.bits != 8 or colour != "palette"):
            wanted = f"{self.bits}-bit {'RGB' if self.channels else 'grey'}"
            palette = " or palette" if not self.channels and self.bits == 8 else ""
            return f"is a {bits}-bit {colour} PNG; {path.parent.name} files are {wanted}{palette}"
        return None


def open_image(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """Open an image file of one of these formats; DamagedFileError for what its header tells is wrong."""
    try:
        image = Image.open(path, formats=formats)
        try:
            reason = _unusable(image)
        except BaseException:
            image.close()
            raise
    except UnidentifiedImageError:
        raise DamagedFileError(path, f"is not a readable {' or '.join(formats)} file") from None
    except _DECODING_ERRORS as error:
        raise DamagedFileError(path, f"cannot be opened: {error}") from error
    if reason is not None:
        image.close()
        raise DamagedFileError(path, reason)
    return image


def _unusable(image: Image.Image) -> str | None:
    if image.width * image.height > MAX_PIXELS:
        return f"is {image.width} x {image.height} pixels; over {MAX_PIXELS // 1_000_000} million are refused"
    orientation = image.getexif().get(_ORIENTATION, 1) if image.format == "JPEG" else 1
    if orientation != 1:
        return f"has an EXIF rotation (orientation {orientation}); store it upright, as its labels are"
    return None


def decoded(path: Path, decode: Callable[[], Any]) -> Pixels:
    """What `decode` makes of an open image as an array; DamagedFileError if it cannot."""
    try:
        return np.array(decode())
    except _DECODING_ERRORS as error:
        raise DamagedFileError(path, f"cannot be decoded: {error}") from error


def png_pixel_format(path: Path) -> tuple[int, str]:
    """Bits per channel and the colour type of a PNG, which its first chunk states at a fixed place."""
    with path.open("rb") as file:
        bits, colour = file.read(26)[24:]
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey + alpha", 6: "RGBA"}
    return bits, names.get(colour, "unknown")


def label_reader(classes: int, ignore_index: int) -> Reader:
    """Of 8-bit label PNGs with ids 0..classes - 1, or `ignore_index`; a palette is not looked at."""
    return Reader("PNG", check=partial(_wrong_labels, classes, ignore_index))


def _wrong_labels(classes: int, ignore_index: int, labels: Pixels) -> str | None:
    wrong = (labels >= classes) & (labels != ignore_index)
    if not wrong.any():
        return None
    values = ", ".join(str(value) for value in np.unique(labels[wrong])[:5])
    return f"holds the label {values}; labels are 0..{classes - 1}, or {ignore_index} where ignored"


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split: `paths[kind][k]` shows the image `ids[k]`, and `readers[kind]` reads it.

    Ids ascend as numbers (10 after 9). The images come first; a split without labels has them alone. `reading` tells
    two ways to read the same files apart. `size` is the width and height that all are read in; None for that which
    they are stored in, and then all have one.
    """

    root: Path
    split: str
    ids: tuple[int, ...]
    paths: Mapping[str, tuple[Entry, ...]]
    readers: Mapping[str, FileReader]
    reading: str = ""
    size: tuple[int, int] | None = None


def check_one_size(paths: Sequence[Entry], sizes: Sequence[tuple[int, int]], hint: str = "") -> None:
    """Raise DamagedFileError, with a `hint`, for the first file whose (width, height) is not that of the first file."""
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise DamagedFileError(
                path, f"is {size[0]} x {size[1]} pixels, but {paths[0]} is {sizes[0][0]} x {sizes[0][1]}{hint}"
            )


def check_one_shape(paths: Sequence[Entry], sizes: Sequence[tuple[int, int]]) -> None:
    """Raise DamagedFileError for a target that is cut otherwise than its image, which comes first.

    A target may be smaller or larger: sides that are off by a rounded pixel are taken for the same cut.
    """
    width, height = sizes[0]
    for path, size in zip(paths, sizes, strict=True):
        if abs(size[0] * height - size[1] * width) > max(width, height, *size):
            raise DamagedFileError(
                path, f"is {size[0]} x {size[1]} pixels, another shape than {paths[0]} with {width} x {height}"
            )

"""Files of any common format as arrays: images, NumPy's, OpenEXR, HDF5 (which MATLAB's 7.3 files are).

A file says what it holds before its pixels are read, so that a wrong one is refused within milliseconds.
"""

import importlib
import math
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from mtl_seg_depth.data.files import (
    MAX_PIXELS,
    DamagedFileError,
    Entry,
    Pixels,
    Source,
    decoded,
    open_image,
    png_pixel_format,
)
from mtl_seg_depth.system.errors import UserError

LOSSY: Final = ("JPEG", "WEBP")
_IMAGES: Final = ("PNG", *LOSSY, "BMP", "DIB", "TIFF", "GIF", "PPM")
_DEPTH_CHANNELS: Final = ("Z", "Y", "R")  # of an EXR with several: the first of these that it has


@dataclass(frozen=True)
class Header:
    """What a file says of one image before its numbers are read.

    Attributes:
        format: as people call it, such as PNG.
        numbers: what the pixels are, such as `16-bit grey`.
        width, height, channels: of the image; a palette's indices are one channel.
        bits: of one number.
    """

    format: str
    numbers: str
    width: int
    height: int
    channels: int
    bits: int


def header(entry: Entry, palette: bool = False) -> Header:
    """What a file says of itself; with `palette`, one of a palette is that of its colours."""
    path, read = _reader_of(entry)
    if read is None:
        with open_image(path, _IMAGES) as image:
            return _image_header(path, image, palette)
    with _described(entry), read(entry, False) as array:
        shape = array.shape
        if len(shape) not in (2, 3) or math.prod(shape[:2]) > MAX_PIXELS:
            raise DamagedFileError(entry, f"holds an array of shape {shape}; expected [height, width(, channels)]")
        channels = 1 if len(shape) == 2 else shape[2]
        name = path.suffix.lstrip(".").upper()
        return Header(name, str(array.dtype), shape[1], shape[0], channels, 8 * array.dtype.itemsize)


def load(entry: Entry, convert: Callable[[Image.Image], Any] = lambda image: image) -> Pixels:
    """The numbers of one image, [H, W] or [H, W, channels]; `convert` is what an image file goes through before."""
    path, read = _reader_of(entry)
    if read is None:
        with open_image(path, _IMAGES) as image:
            return decoded(path, lambda: convert(image))
    with _described(entry), read(entry, True) as array:
        numbers = np.asarray(array)
    return numbers[..., 0] if numbers.ndim == 3 and numbers.shape[2] == 1 else numbers


def _image_header(path: Path, image: Image.Image, palette: bool) -> Header:
    """Of an image file; refuses what Pillow would change while it decodes."""
    assert image.format is not None
    bits, colour = png_pixel_format(path) if image.format == "PNG" else (8, image.mode)
    if colour == "grey" and 1 < bits < 8:
        raise DamagedFileError(path, f"is a {bits}-bit grey PNG; 1, 8 and 16 bits are read as they are stored")
    if image.mode.startswith(("I", "F")):
        bits = 16 if "16" in image.mode or image.format == "PNG" else 32
    channels = 3 if image.mode == "P" and palette else len(image.getbands())
    colour = {"P": "palette"}.get(image.mode, colour)
    return Header(image.format, f"{bits}-bit {colour}", image.width, image.height, channels, bits)


def _reader_of(entry: Entry) -> tuple[Path, Any]:
    """The file, and what opens it as an array; None for an image file."""
    path = entry if isinstance(entry, Path) else entry.path
    read = _READERS.get(path.suffix.lower())
    if read is _hdf5 and isinstance(entry, Path):
        raise DamagedFileError(path, "holds arrays by name, maybe of many images; expected one image, such as .npy")
    return path, read


@contextmanager
def _described(entry: Entry) -> Iterator[None]:
    """Whatever a library raises on a file, as a DamagedFileError."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # what these libraries raise on damaged files is not to be listed
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(entry, f"cannot be read: {reason}") from error


class _Shape:
    """What is known of an array that is not read."""

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)


_parsing: Final = threading.Lock()
"""numpy has Python parse an array's header, and CPython 3.11's parser fails now and then if two threads are at it."""


@contextmanager
def _npy(entry: Path, whole: bool) -> Iterator[Any]:
    with _parsing:
        array = np.load(entry, mmap_mode="r", allow_pickle=False)
    yield np.array(array) if whole else array


@contextmanager
def _npz(entry: Path, whole: bool) -> Iterator[Any]:
    with zipfile.ZipFile(entry) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise DamagedFileError(entry, f"holds the arrays {', '.join(names)}; expected one")
        with archive.open(names[0]) as file, _parsing:
            if whole:
                yield np.lib.format.read_array(file, allow_pickle=False)
            else:
                major, _ = np.lib.format.read_magic(file)
                shape, _, dtype = getattr(np.lib.format, f"read_array_header_{major}_0")(file)
                yield _Shape(shape, dtype)


@contextmanager
def _exr(entry: Path, whole: bool) -> Iterator[Any]:
    library = extra("OpenEXR", entry)
    with entry.open("rb") as file:  # the library writes to the terminal of a file that it cannot open
        if file.read(4) != b"\x76\x2f\x31\x01":
            raise DamagedFileError(entry, "is not an OpenEXR file")
    with library.File(str(entry), separate_channels=True, header_only=not whole) as file:
        (left, top), (right, bottom) = (corner.tolist() for corner in file.header()["dataWindow"])
        names = [channel.name for channel in file.header()["channels"]]
        last = {name.rpartition(".")[2]: name for name in names}  # of a renderer's layers, such as View.Depth.Z
        chosen = names[0] if len(names) == 1 else next((last[name] for name in _DEPTH_CHANNELS if name in last), None)
        if chosen is None:
            raise DamagedFileError(entry, f"holds the channels {', '.join(names)}; expected one, or Z, Y or R")
        yield file.channels()[chosen].pixels if whole else _Shape((bottom - top + 1, right - left + 1), np.float32)


@contextmanager
def _hdf5(entry: Source, whole: bool) -> Iterator[Any]:
    with hdf5(entry.path) as file:
        images = file[entry.member]
        # MATLAB's order is columns first.
        yield images[entry.index].T if whole else _Shape(images.shape[:0:-1], images.dtype)


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file, as MATLAB writes from version 7.3 on; DamagedFileError for anything else."""
    library = extra("h5py", path)
    try:
        with path.open("rb") as file:
            begin = file.read(128)
    except OSError as error:
        raise DamagedFileError(path, f"cannot be opened: {error}") from error
    if begin.startswith(b"MATLAB") and not library.is_hdf5(path):
        version = begin.split(b" MAT-file")[0].decode("ascii", "replace")
        raise DamagedFileError(path, f"is a {version} MAT-file; expected version 7.3, which is HDF5")
    if not library.is_hdf5(path):
        raise DamagedFileError(path, "is not an HDF5 file, as MATLAB writes from version 7.3 on")
    with library.File(path, "r") as file:
        yield file


_READERS: Final = {".npy": _npy, ".npz": _npz, ".exr": _exr, ".mat": _hdf5, ".h5": _hdf5, ".hdf5": _hdf5}


def extra(name: str, path: Path) -> Any:
    """A library of the extra `data`; UserError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"{path}: reading it takes {name}: pip install 'mtl_seg_depth[data]'") from None

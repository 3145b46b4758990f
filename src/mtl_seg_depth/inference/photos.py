"""People's own images and videos: which files a command means, what becomes of their names, and how one is read."""

import glob
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mtl_seg_depth.data.files import MAX_PIXELS, DamagedFileError
from mtl_seg_depth.inference import video
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
"""What counts as an image in a folder; a file that is named itself may end in anything, if it is of `FORMATS`."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
"""What is read, whatever a file is called: Pillow would hand PostScript to another program."""

_SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})


@dataclass(frozen=True)
class Photo:
    """An image or a video to predict; `name` is where that goes below the output folder, without an ending."""

    path: Path
    name: Path

    @property
    def moves(self) -> bool:
        """Whether it is a video, by its name."""
        return self.path.suffix.lower() in video.SUFFIXES


def find_photos(inputs: str | Sequence[str], output: Path) -> tuple[list[Photo], Counter[str]]:
    """The images that `inputs` mean: files, folders with all below them, or patterns such as `frames/*.png`.

    Videos too, of files and patterns; of folders they are left out. With them, how many other files there are, by the
    ending of their names.

    Sorted by path; files in an output folder that lies inside an input folder are left out. A name keeps sub-folders
    and stem, and the ending too where two images would share it. Raises UserError if nothing is found, and
    where predictions would land among the images of an input folder.
    """
    found: dict[Path, Path] = {}
    left_out: Counter[str] = Counter()
    results = os.path.realpath(output)
    for given in [inputs] if isinstance(inputs, str) else inputs:
        base, files, endings = _meant(given)
        many = endings is not None
        if many and results == os.path.realpath(base):
            raise UserError(f"output={output} is the folder of the images; give another, or one inside it")
        inside = many and Path(results).is_relative_to(os.path.realpath(base))
        for path in files:
            if inside and Path(os.path.realpath(path)).is_relative_to(results):
                continue
            if endings is not None and path.suffix.lower() not in endings:
                left_out[path.suffix.lower() or "without an ending"] += 1
                continue
            relative = path.relative_to(base)
            if ".." in relative.parts:
                raise UserError(f"input={given}: after the first wildcard a pattern cannot go up again")
            found.setdefault(path, relative)
    if not found:
        instead = f"; there are {counted(left_out)}" if left_out else ""
        if any(ending in video.SUFFIXES for ending in left_out):
            instead += "; videos are named, or meant by a pattern such as 'folder/*.mp4'"
        raise UserError(f"input={inputs}: no image there ({', '.join(sorted(SUFFIXES))}){instead}")
    stems = Counter(relative.with_suffix("") for relative in found.values())
    photos = [
        Photo(path, relative if stems[relative.with_suffix("")] > 1 else relative.with_suffix(""))
        for path, relative in sorted(found.items())
    ]
    names = Counter(photo.name for photo in photos)
    if twice := [str(name) for name, count in names.items() if count > 1]:
        raise UserError(f"input={inputs}: several images are called {twice[0]}; predict their folders one by one")
    return photos, left_out


def counted(endings: Counter[str]) -> str:
    """How many files of which kind, such as `12 .heic, 1 .txt`."""
    return ", ".join(f"{count} {ending}" for ending, count in endings.most_common())


def _meant(given: str) -> tuple[Path, Iterator[Path], frozenset[str] | None]:
    """What one input means: the folder that names are relative to, the files, and which endings count among them.

    None if it is one file, whatever its ending is.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return path.parent, iter([path]), None
    if path.is_dir():
        return path, _visible(path.rglob("*"), path), SUFFIXES
    if glob.has_magic(given):
        parts = path.parts
        fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:fixed])
        return base, _visible(base.glob(str(Path(*parts[fixed:]))), base), SUFFIXES | video.SUFFIXES
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise UserError(f"input={given}: there is no such file or folder{hint}")


def _visible(paths: Iterator[Path], base: Path) -> Iterator[Path]:
    for path in paths:
        hidden = any(part.startswith(".") for part in path.relative_to(base).parts if part != "..")
        if not hidden and path.is_file():
            yield path


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Red, green, blue of an image as a person sees it, uint8 [H, W, 3].

    An EXIF rotation is applied, grey is spread over the colours, 16 bits become 8, transparency is left out, and of
    several frames the first is taken. Raises DamagedFileError for a file that cannot be read or is too large.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return as_seen(image)
    except UnidentifiedImageError:
        raise DamagedFileError(path, "is no image that can be read") from None
    except UserError as error:
        raise DamagedFileError(path, str(error)) from None
    except Exception as error:  # what Pillow and the libraries below it raise on damaged files is not to be listed
        raise DamagedFileError(path, f"cannot be read: {error or type(error).__name__}") from error


def as_seen(image: Image.Image) -> NDArray[np.uint8]:
    """Red, green, blue of an image as `read_photo` has them; UserError with what is wrong with it."""
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        raise UserError(f"is {size} pixels; over {MAX_PIXELS // 1_000_000} million are refused")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _SIXTEEN_BIT:
        grey = (np.asarray(upright).clip(0, 65535) / 257).round().astype(np.uint8)
        return np.stack([grey] * 3, axis=-1)
    if upright.mode == "F":
        raise UserError("holds floating-point values; store it with 8 or 16 bits")
    return np.array(upright.convert("RGB"))


def read_focal(path: Path) -> float | None:
    """The focal length in pixels that an image's EXIF says; see `focal_of`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return focal_of(image)
    except Exception:  # whatever is wrong with it, this is no reason not to predict the image
        return None


def focal_of(image: Image.Image) -> float | None:
    """The focal length in pixels of the image as it is stored, from EXIF's "in 35 mm film"; None without a likely one.

    That is the focal length that gives the same field of view on film of 36 x 24 mm, by the diagonal.
    """
    try:
        millimetres = float(image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm])
    except Exception:  # as above
        return None
    likely = 4 <= millimetres <= 2000
    return millimetres * math.hypot(*image.size) / math.hypot(36, 24) if likely else None

"""The Miniscapes layout: which files make up a split, and how one file becomes an array.

A data set is `<root>/{train,val,test}/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png}`, `i` counting from 0.
`semseg` holds train ids (0..18, 255 = ignored), `depth` disparity codes (see `tasks.depth.codec`). The test split may
lack its labels.

Pillow decodes: torchvision's decoders were 1.3 times as fast with the same JPEG pixels, but they turn palette
labels into colours, and the packed cache pays for decoding only once.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.semseg.labels import IGNORE_INDEX, NUM_CLASSES

SPLITS: Final = ("train", "val", "test")
MAX_PIXELS: Final = 64_000_000
"""A larger picture is refused: a small file can claim a size that fills the memory."""

_SUFFIX: Final = {"rgb": ".jpg", "semseg": ".png", "depth": ".png"}
_LAYOUT: Final = "{train,val,test}/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png} with <i> = 0, 1, 2, ..."
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,17}")
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


class DamagedFileError(UserError):
    """One file or folder of a data set that cannot be used: `path`, and the `reason` in words."""

    def __init__(self, path: Path, reason: str) -> None:
        """The message is `path` and `reason`."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split; `rgb[k]`, `semseg[k]` and `depth[k]` show the picture `ids[k]`.

    Ids ascend as numbers (10 after 9). `semseg` and `depth` are both None where the split has no labels.
    """

    root: Path
    split: str
    ids: tuple[int, ...]
    rgb: tuple[Path, ...]
    semseg: tuple[Path, ...] | None
    depth: tuple[Path, ...] | None

    @property
    def by_kind(self) -> dict[str, tuple[Path, ...]]:
        """The files that there are, by the name of their folder; "rgb" comes first."""
        kinds = {"rgb": self.rgb, "semseg": self.semseg, "depth": self.depth}
        return {kind: paths for kind, paths in kinds.items() if paths is not None}


def list_split(root: Path, split: str) -> SplitFiles:
    """The files of one split, however many there are.

    Raises UserError for a folder that is missing or empty, a file whose name does not belong there, and a
    picture without its labels or the reverse.
    """
    files, problems = scan_split(root, split)
    if problems:
        named = "\n".join(f"  {problem}" for problem in problems[:3])
        more = f"\n  and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{len(problems)} files of the {split} split in {root} do not match:\n{named}{more}")
    if not files.ids:
        raise UserError(f"{root / split / 'rgb'} holds no pictures; expected <i>.jpg with <i> = 0, 1, 2, ...")
    return files


def scan_split(root: Path, split: str) -> tuple[SplitFiles, list[DamagedFileError]]:
    """The complete pictures of one split, and every file that is none or lacks its counterpart.

    Raises DamagedFileError where a folder is missing; the test split may lack both of its label folders.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    folder = root / split
    unlabelled = split == "test" and not (folder / "semseg").exists() and not (folder / "depth").exists()
    kinds = ("rgb",) if unlabelled else tuple(_SUFFIX)
    for wanted in (root, folder, *(folder / kind for kind in kinds)):
        if not wanted.is_dir():
            raise DamagedFileError(
                wanted,
                f"is not a folder; expected {root}/{_LAYOUT}. Set data.root=<folder> to where the data is.",
            )

    problems: list[DamagedFileError] = []
    found: dict[str, dict[int, Path]] = {}
    for kind in kinds:
        found[kind], misnamed = _numbered(folder / kind, _SUFFIX[kind])
        problems += misnamed
    every = set[int]().union(*found.values())
    complete = sorted(every.intersection(*found.values()))
    for number in sorted(every.difference(complete)):
        lacking = [f"{kind}/{number}{_SUFFIX[kind]}" for kind in kinds if number not in found[kind]]
        present = next(found[kind][number] for kind in kinds if number in found[kind])
        problems.append(DamagedFileError(present, f"there is no {' and no '.join(lacking)} beside it"))

    paths = {kind: tuple(found[kind][number] for number in complete) for kind in kinds}
    files = SplitFiles(root, split, tuple(complete), paths["rgb"], semseg=paths.get("semseg"), depth=paths.get("depth"))
    return files, problems


def _numbered(folder: Path, suffix: str) -> tuple[dict[int, Path], list[DamagedFileError]]:
    """The files `<number><suffix>` of a folder, and those that are named otherwise (hidden ones aside)."""
    numbered: dict[int, Path] = {}
    misnamed = []
    for path in folder.iterdir():
        if path.suffix == suffix and _NUMBER.fullmatch(path.stem):
            numbered[int(path.stem)] = path
        elif not path.name.startswith("."):  # such as .DS_Store
            misnamed.append(DamagedFileError(path, f"is not named <number>{suffix}"))
    return numbered, sorted(misnamed, key=lambda problem: problem.path)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG to red, green, blue: uint8 [H, W, 3]; other colour modes are converted.

    Raises DamagedFileError, also for an EXIF rotation: turning the picture would part it from its labels, and
    ignoring the rotation would show it lying on its side.
    """
    with _open(path, "rgb") as image:
        return _decode(path, image)


def read_semseg(path: Path) -> NDArray[np.uint8]:
    """Decode a label PNG to train ids, uint8 [H, W]: 0..18, or 255 where ignored; a palette is not looked at.

    Raises DamagedFileError, also for any other value.
    """
    with _open(path, "semseg") as image:
        labels = _decode(path, image)
    wrong = (labels >= NUM_CLASSES) & (labels != IGNORE_INDEX)
    if wrong.any():
        values = ", ".join(str(value) for value in np.unique(labels[wrong])[:5])
        raise DamagedFileError(
            path,
            f"holds the label {values}; labels are 0..{NUM_CLASSES - 1}, or {IGNORE_INDEX} where ignored",
        )
    return labels


def read_depth_code(path: Path) -> NDArray[np.uint8]:
    """Decode a depth PNG to 8-bit disparity codes, uint8 [H, W]; 0 is invalid. Raises DamagedFileError."""
    with _open(path, "depth") as image:
        return _decode(path, image)


READERS: Final = {"rgb": read_rgb, "semseg": read_semseg, "depth": read_depth_code}
"""The reader of every kind of file."""


def read_size(path: Path, kind: str = "rgb") -> tuple[int, int]:
    """Width and height of a file of `kind` (a key of READERS), after every check that needs only its header.

    Takes about 60 microseconds. Raises DamagedFileError.
    """
    with _open(path, kind) as image:
        return image.size


def check_one_size(paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    """Raise DamagedFileError for the first file whose (width, height) is not that of the first file."""
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise DamagedFileError(
                path, f"is {size[0]} x {size[1]} pixels, but {paths[0]} is {sizes[0][0]} x {sizes[0][1]}"
            )


def _open(path: Path, kind: str) -> Image.Image:
    """Open a file and check what its header says; the pixels are read later, from the same open file."""
    expected = "JPEG" if kind == "rgb" else "PNG"
    try:
        image = Image.open(path, formats=[expected])
        try:
            reason = _header_fault(path, image, kind)
        except BaseException:
            image.close()
            raise
    except UnidentifiedImageError:
        raise DamagedFileError(path, f"is not a readable {expected} file") from None
    except _DECODING_ERRORS as error:
        raise DamagedFileError(path, f"cannot be opened: {error}") from error
    if reason is not None:
        image.close()
        raise DamagedFileError(path, reason)
    return image


def _header_fault(path: Path, image: Image.Image, kind: str) -> str | None:
    """What is wrong with an opened file, as far as its header tells."""
    if image.width * image.height > MAX_PIXELS:
        return f"is {image.width} x {image.height} pixels; over {MAX_PIXELS // 1_000_000} million are refused"
    if kind == "rgb":
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation != 1:
            return f"has an EXIF rotation (orientation {orientation}); store it upright, as its labels are"
        return None
    bits, colour = _png_pixel_format(path)
    # Pillow spreads grey values of 1, 2 and 4 bits over 0..255, which would change the labels.
    if (colour, bits) != ("grey", 8) and colour != "palette":
        return f"is a {bits}-bit {colour} PNG; {kind} files are 8-bit grey or palette"
    return None


def _png_pixel_format(path: Path) -> tuple[int, str]:
    """Bits per channel and the colour type of a PNG, which its first chunk states at a fixed place."""
    with path.open("rb") as file:
        bits, colour = file.read(26)[24:]
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey + alpha", 6: "RGBA"}
    return bits, names.get(colour, "unknown")


def _decode(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an opened file; a JPEG that is not RGB is converted, palette indices are kept."""
    try:
        return np.array(image if image.format == "PNG" or image.mode == "RGB" else image.convert("RGB"))
    except _DECODING_ERRORS as error:
        raise DamagedFileError(path, f"cannot be decoded: {error}") from error

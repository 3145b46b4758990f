"""Image files of every kind of damage: read as they are, or refused by name; never a trace, never the memory."""

import io
import os
import random
import resource
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from PIL import Image
from rich.console import Console

from mtl_seg_depth.data.check import inspect, print_inspection
from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.data.miniscapes import READERS
from mtl_seg_depth.inference.photos import find_photos, read_photo
from mtl_seg_depth.system.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

Extent = Callable[[int, int], int]
SHAPE = (40, 56)


def encoded(format: str, mode: str = "RGB", **options: object) -> bytes:
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 19, (*SHAPE, 3), np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut, flipped, overwritten, doubled or with a part left out."""
    content = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(max(1, len(content)))
        end = min(len(content), start + chance.randint(1, 40))
        match chance.randrange(6):
            case 0:
                del content[start:]
            case 1 | 2 if content:
                content[min(start, len(content) - 1)] ^= 1 << chance.randrange(8)
            case 3:
                content[start:end] = chance.randbytes(end - start)
            case 4:
                del content[start:end]
            case _:
                content[start:start] = content[start:end]
    return bytes(content)


def tried(read: Callable[[Path], np.ndarray], path: Path, content: bytes) -> bool:
    """Whether a file of this content was read; the only other end is that it is refused by name."""
    path.write_bytes(content)
    try:
        pixels = read(path)
    except DamagedFileError as error:
        assert error.path == path
        assert "\n" not in error.reason
        return False
    assert pixels.dtype == np.uint8
    assert pixels.ndim in (2, 3)
    return True


@pytest.mark.parametrize(
    ("kind", "format"), [("rgb", "JPEG"), ("semseg", "PNG"), ("depth", "PNG")], ids=["rgb", "semseg", "depth"]
)
def test_damaged_files_of_a_data_set_are_read_or_refused_by_name(
    tmp_path: Path, kind: str, format: str, extent: Extent, observed: Callable[..., None]
) -> None:
    chance, count = random.Random(1), extent(400, 8000)
    whole = encoded(format, "RGB" if kind == "rgb" else "L")
    path = tmp_path / ("0.jpg" if kind == "rgb" else "0.png")
    assert tried(READERS[kind], path, whole)
    refused = sum(not tried(READERS[kind], path, damaged(whole, chance)) for _ in range(count))
    assert refused > count / 10
    observed("damaged image files are read or refused by name", tried=count, refused=refused)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_damaged_photos_are_read_or_refused_by_name(
    tmp_path: Path, format: str, extent: Extent, observed: Callable[..., None]
) -> None:
    chance, count = random.Random(2), extent(150, 4000)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(format, "P" if format == "GIF" else "RGB", **({"exif": exif} if format in ("JPEG", "PNG") else {}))
    path = tmp_path / f"photo.{format.lower()}"
    assert tried(read_photo, path, whole)
    refused = sum(not tried(read_photo, path, damaged(whole, chance)) for _ in range(count))
    observed("damaged image files are read or refused by name", tried=count, refused=refused)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"<svg/>"], ids=repr)
def test_files_of_nothing_and_of_magic_numbers_are_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    assert not tried(READERS[kind], tmp_path / "0.png", content)
    assert not tried(read_photo, tmp_path / "0.png", content)


def bomb(width: int, height: int, bits: int = 8) -> bytes:
    """A PNG of a few hundred bytes that claims a size and would decode to zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8001, 8001), (2**20, 2**20), (2**31 - 1, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_photo, *READERS.values()):
        assert not tried(read, tmp_path / "0.png", bomb(*size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_sixteen_bits_where_eight_are_due_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full(SHAPE, 7, np.uint16)).save(tmp_path / "0.png")
    for kind in ("semseg", "depth"):
        with pytest.raises(DamagedFileError, match="16-bit grey"):
            READERS[kind](tmp_path / "0.png")


NAMES = ["a b", "été", "日本", "new\nline", "tab\tbed", "'quoted\"", "[red]x[bold]", "-o", "%s{0}$HOME", "a" * 250]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_of_a_folder_or_photo_works(tmp_path: Path, name: str) -> None:
    root = write_tiny_miniscapes(tmp_path / name / "data")
    assert miniscapes(root).files("train").ids == (0, 1, 2)
    print_inspection(Console(file=io.StringIO()), inspect(miniscapes(root), progress=False))
    photo = tmp_path / name / f"{name[:200]}.png"
    Image.new("RGB", (8, 8)).save(photo)
    assert [found.path for found in find_photos(str(tmp_path / name), tmp_path / "out")[0] if found.path == photo]
    assert read_photo(photo).shape == (8, 8, 3)
    (root / "train" / "rgb" / f"{name[:200]}.jpg").touch()
    with pytest.raises(UserError, match="1 files of the train split"):
        miniscapes(root).files("train")


def test_a_name_that_is_no_unicode_works(tmp_path: Path) -> None:
    photo = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    Image.new("RGB", (8, 8)).save(photo)
    assert read_photo(photo).shape == (8, 8, 3)
    assert len(find_photos(str(tmp_path), tmp_path / "out")[0]) == 1


def test_links_in_a_circle_are_followed_nowhere(tmp_path: Path) -> None:
    root = write_tiny_miniscapes(tmp_path / "data")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "train" / "rgb" / "9.jpg").symlink_to(root / "train" / "rgb" / "9.jpg")
    assert len(find_photos(str(root), tmp_path / "out")[0]) == sum(3 * count for count in (3, 2, 2))
    _, problems = miniscapes(root).scan("train")
    assert [problem.path.name for problem in problems] == ["9.jpg"]
    for kind in ("semseg", "depth"):
        (root / "train" / kind / "9.png").symlink_to(root / "train" / kind / "9.png")
    assert [error.path.name for error in inspect(miniscapes(root), progress=False).damaged] == [
        "9.jpg",
        "9.png",
        "9.png",
    ]
    with pytest.raises(UserError, match="self: there is no such file or folder"):
        find_photos(str(root / "self"), tmp_path / "out")

"""What files of every format become: hand-computed values at the ends of every encoding."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.miniatures import save
from PIL import Image

from mtl_seg_depth.data.files import DamagedFileError, Source
from mtl_seg_depth.data.reading.arrays import header
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader, from_colour
from mtl_seg_depth.data.reading.resizing import majority, nearest
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec

CODEC = DepthCodec(16, "metres", 0.5, 80.0)
STEP = 79.5 / 65534
nan = np.nan


def metres(reader: DepthReader, path: Path | Source) -> list[float]:
    found: list[float] = reader.codec.table()[reader(path)].ravel().tolist()
    return found


def row(path: Path, *values: float, dtype: Any = np.uint16) -> Path:
    return save(path, np.array([values], dtype))


@pytest.mark.parametrize(
    ("reader", "stored", "expected"),
    [
        # millimetres, centimetres, 256ths: none, the smallest, the ends of the range, the largest number
        (DepthReader(CODEC, scale=0.001, invalid=(0,)), (0, 1, 499, 500, 65535), (nan, nan, nan, 0.5, 65.535)),
        (DepthReader(CODEC, scale=0.01, invalid=(0,)), (0, 50, 8000, 8001, 65535), (nan, 0.5, 80.0, nan, nan)),
        (DepthReader(CODEC, scale=1 / 256, invalid=(0,)), (0, 1, 128, 20480, 65535), (nan, nan, 0.5, 80.0, nan)),
        # beyond either end
        (DepthReader(CODEC, scale=0.01, beyond="clamp", invalid=(65535,)), (0, 1, 9000, 65535), (nan, 0.5, 80.0, nan)),
        # a disparity of (p - 1) / 256 pixels, focal length 1000 px, baseline 0.25 m: 0 is none, 1 is infinitely far
        (
            DepthReader(CODEC, "disparity", 1 / 256, -1 / 256, (0,), focal_baseline=250.0),
            (0, 1, 2, 801, 2561, 65535),
            (nan, nan, nan, 80.0, 25.0, 250 / (65534 / 256)),
        ),
        (
            DepthReader(CODEC, "disparity", 1 / 256, -1 / 256, (0,), beyond="clamp", focal_baseline=250.0),
            (0, 1, 2, 65535),
            (nan, 80.0, 80.0, 250 / (65534 / 256)),
        ),
        # inverse depth in 1/m, also with an offset: 0 is infinitely far, below it is nothing
        (DepthReader(CODEC, "inverse", 1 / 65535), (0, 819, 820, 32768, 65535), (nan, nan, 65535 / 820, 2.0, 1.0)),
        (DepthReader(CODEC, "inverse", 0.001, -0.5), (400, 500, 600, 2500), (nan, nan, 10.0, 0.5)),
    ],
)
def test_depth_of_every_kind_is_what_it_is_by_hand(
    tmp_path: Path, reader: DepthReader, stored: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    few = metres(reader, row(tmp_path / "few.png", *stored))
    # A code is the one below, and 0.02 m at most away through 1 / 820 and the like.
    np.testing.assert_allclose(few, expected, rtol=2e-5, atol=STEP * 1.01)
    many = save(tmp_path / "many.png", np.tile(np.array(stored, np.uint16), (300, 300)))
    assert metres(reader, many)[: len(stored)] == pytest.approx(few, nan_ok=True), "by number or by pixel"


def test_codes_stand_for_even_steps_of_the_valid_range(tmp_path: Path) -> None:
    reader = DepthReader(CODEC)
    depths = np.float32([[0.5, 80.0, 0.5 + 1.5 * STEP, 40.0, 0, -3, 1e9]])
    codes = reader(save(tmp_path / "0.npy", depths))
    assert codes.tolist() == [[1, 65535, 2, 1 + int(39.5 / STEP + 1e-3), 0, 0, 0]]
    again = reader(save(tmp_path / "1.npy", CODEC.table()[codes][:, :4]))
    np.testing.assert_array_equal(again, codes[:, :4])


@pytest.mark.parametrize("ending", ["npy", "npz", "exr"])
def test_floats_keep_nan_and_infinity_out(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"0.{ending}", np.float32([[2.0, nan, np.inf, -np.inf, 1e-5, 80.0]]))
    np.testing.assert_allclose(metres(DepthReader(CODEC), path), [2.0, nan, nan, nan, nan, 80.0], atol=STEP)
    np.testing.assert_allclose(
        metres(DepthReader(CODEC, beyond="clamp"), path), [2.0, nan, 80.0, nan, 0.5, 80.0], atol=STEP
    )


def test_a_renderers_file_of_many_channels_has_its_depth_read(tmp_path: Path) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    depth, other = np.float32([[3.0, 4.0]]), np.float32([[9.0, 9.0]])
    path = tmp_path / "0.exr"
    OpenEXR.File(header, {"View.Depth.Z": depth, "View.Image.R": other, "View.Image.G": other}).write(str(path))
    np.testing.assert_allclose(metres(DepthReader(CODEC), path), [3.0, 4.0], atol=STEP)
    OpenEXR.File(header, {"Normal.U": other, "Normal.V": other}).write(str(path))
    with pytest.raises(DamagedFileError, match=r"holds the channels Normal\.U, Normal\.V; expected one, or Z, Y or R"):
        DepthReader(CODEC)(path)


def test_distances_along_rays_become_planar_in_the_stored_image(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :60]
    lengths = np.sqrt(1 + ((columns - 30) / 50) ** 2 + ((rows - 20) / 60) ** 2)
    path = save(tmp_path / "0.npy", (10 * lengths).astype(np.float32))
    for to in (None, (20, 20), (13, 31)):
        found = metres(DepthReader(CODEC, rays=(50.0, 60.0, 30.0, 20.0), to=to), path)
        np.testing.assert_allclose(found, 10.0, atol=STEP)


def test_depth_of_another_size_holds_no_depth_in_between(tmp_path: Path) -> None:
    stored = np.where(np.arange(96) < 47, 300, 7000) * np.ones((64, 1))
    path = save(tmp_path / "0.png", stored.astype(np.uint16))
    whole = metres(DepthReader(CODEC, scale=0.01), path)
    for to in ((20, 31), (64, 96), (100, 200)):
        small = DepthReader(CODEC, scale=0.01, to=to)
        assert small(path).shape == to
        assert set(metres(small, path)) == set(whole)


def test_pixels_are_chosen_by_their_centres() -> None:
    stored = np.arange(6)[None].repeat(6, 0)
    assert nearest(stored, (2, 3))[0].tolist() == [1, 3, 5]
    assert nearest(stored, (6, 12))[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert nearest(stored, None) is stored


@pytest.mark.parametrize("size", [(3, 3), (4, 6), (5, 7)])
def test_a_majority_is_counted(size: tuple[int, int]) -> None:
    ids = np.random.default_rng(0).integers(0, 3, (12, 18)).astype(np.uint8)
    share = {
        one: np.asarray(Image.fromarray((ids == one).astype(np.float32)).resize(size[::-1], Image.Resampling.BOX))
        for one in range(3)
    }
    found = majority(ids, size)
    best = np.max(list(share.values()), axis=0)
    for one in range(3):
        assert (share[one][found == one] > best[found == one] - 2e-4).all()
    if size == (4, 6):  # whole squares of 3 x 3
        squares = ids.reshape(4, 3, 6, 3).swapaxes(1, 2).reshape(4, 6, 9)
        counts = np.stack([(squares == one).sum(-1) for one in range(3)])
        np.testing.assert_array_equal(found, counts.argmax(0))


def test_images_of_every_format_and_mode_are_red_green_and_blue(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    image = Image.fromarray(pixels)
    for name in ("0.png", "0.bmp", "0.tif", "0.ppm"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(ImageReader()(tmp_path / name), pixels)
    for mode in ("L", "P", "RGBA", "1"):
        image.convert(mode).save(tmp_path / f"{mode}.png")
        np.testing.assert_array_equal(
            ImageReader()(tmp_path / f"{mode}.png"), np.asarray(image.convert(mode).convert("RGB"))
        )
    save(tmp_path / "0.npy", pixels / 255)
    np.testing.assert_array_equal(ImageReader()(tmp_path / "0.npy"), pixels)
    assert ImageReader().size(tmp_path / "0.npy") == ImageReader().size(tmp_path / "0.png") == (12, 8)


def test_a_smaller_image_is_blended_from_all_of_it(tmp_path: Path) -> None:
    stripes = np.zeros((32, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    found = ImageReader((8, 16))(save(tmp_path / "0.png", stripes))
    assert found.shape == (8, 16, 3)
    assert np.abs(found[:, 1:-1].astype(int) - 127).max() <= 2, "no stripes, no moire"


TABLE = ((0, 255), (7, 0), (11, 1))
COLOURS = ((from_colour(0, 0, 0), 255), (from_colour(128, 64, 128), 0), (from_colour(70, 70, 70), 1))


def test_ids_colours_and_palettes_become_classes(tmp_path: Path) -> None:
    ids = np.array([[0, 7, 11, 7]], np.uint8)
    expected = [[255, 0, 1, 0]]
    palette = bytes([c for i in range(12) for c in {7: (128, 64, 128), 11: (70, 70, 70)}.get(i, (0, 0, 0))])
    assert LabelReader(TABLE)(save(tmp_path / "0.png", ids)).tolist() == expected
    assert LabelReader(TABLE)(save(tmp_path / "16.png", ids.astype(np.uint16))).tolist() == expected
    assert LabelReader(TABLE)(save(tmp_path / "0.npy", ids.astype(np.float32))).tolist() == expected
    assert LabelReader(((-1, 255), (0, 0)))(save(tmp_path / "1.npy", np.array([[-1, 0]]))).tolist() == [[255, 0]]
    indices = save(tmp_path / "p.png", ids, palette)
    assert LabelReader(TABLE)(indices).tolist() == expected
    assert LabelReader(COLOURS, colours=True)(indices).tolist() == expected
    colours = np.array([[(0, 0, 0), (128, 64, 128), (70, 70, 70), (128, 64, 128)]], np.uint8)
    assert LabelReader(COLOURS, colours=True)(save(tmp_path / "c.png", colours)).tolist() == expected
    assert LabelReader(((0, 0), (1, 1)))(save(tmp_path / "b.png", np.array([[True, False]]))).tolist() == [[1, 0]]


def smoothed(tmp_path: Path, name: str, **options: Any) -> Path:
    colours = np.array([(0, 0, 0), (128, 64, 128), (70, 70, 70)], np.uint8)[np.arange(64) // 8 % 3][None].repeat(64, 0)
    image = Image.fromarray(colours)
    (image if options else image.resize((40, 40), Image.Resampling.BILINEAR)).save(tmp_path / name, **options)
    return tmp_path / name


def text(tmp_path: Path, name: str, content: bytes) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("reader", "write", "found", "expected"),
    [
        (LabelReader(TABLE), lambda at: save(at / "0.png", np.uint8([[0, 12, 200]])), "the id 12, 200", "0, 7, 11"),
        (LabelReader(TABLE), lambda at: save(at / "0.npy", np.float32([[0.5, 7]])), "fractions", "whole ids"),
        (LabelReader(TABLE), lambda at: smoothed(at, "0.png"), "8-bit RGB PNG", "a mask of ids"),
        (LabelReader(TABLE), lambda at: smoothed(at, "0.jpg", quality=90), "is a JPEG", "as PNG"),
        (
            LabelReader(COLOURS, colours=True),
            lambda at: save(at / "0.png", np.uint8([[(0, 0, 0), (1, 2, 3)]])),
            "the colour (1, 2, 3) in 50.00% of its pixels",
            "(0, 0, 0), (128, 64, 128), (70, 70, 70)",
        ),
        (LabelReader(COLOURS, colours=True), lambda at: smoothed(at, "0.png"), "and 1", "smoothed edges or of JPEG"),
        (LabelReader(COLOURS, colours=True), lambda at: smoothed(at, "0.jpg", quality=90), "is a JPEG", "as PNG"),
        (
            LabelReader(COLOURS, colours=True),
            lambda at: save(at / "0.png", np.zeros((4, 4), np.uint8)),
            "8-bit grey PNG",
            "a mask of colours",
        ),
        (DepthReader(CODEC), lambda at: save(at / "0.png", np.zeros((4, 4), np.uint8)), "8-bit grey PNG", "of 16 bits"),
        (DepthReader(CODEC), lambda at: smoothed(at, "0.png"), "8-bit RGB PNG", "one number a pixel"),
        (
            DepthReader(CODEC, least_bits=8),
            lambda at: save(at / "0.png", np.arange(64, dtype=np.uint8).reshape(8, 8), bytes(range(192))),
            "8-bit palette PNG",
            "one number a pixel",
        ),
        (LabelReader(TABLE), lambda at: save(at / "0.npy", np.array([[2**32 + 7]])), "the id 4294967303", "0, 7, 11"),
        (DepthReader(CODEC), lambda at: save(at / "0.npy", np.zeros(7)), "shape (7,)", "[height, width"),
        (DepthReader(CODEC), lambda at: text(at, "0.exr", b"nothing"), "is not an OpenEXR file", ""),
        (DepthReader(CODEC), lambda at: text(at, "0.h5", b"nothing"), "holds arrays by name", "such as .npy"),
        (DepthReader(CODEC), lambda at: text(at, "0.npz", b"nothing"), "not a zip file", ""),
        (DepthReader(CODEC), lambda at: text(at, "0.npy", b"nothing"), "cannot be read", ""),
        (ImageReader(), lambda at: save(at / "0.png", np.zeros((4, 4), np.uint16)), "16-bit grey", "8-bit RGB"),
        (ImageReader(), lambda at: save(at / "0.npy", np.full((4, 4, 3), 9.0)), "9 to 9", "0 to 1"),
        (ImageReader(), lambda at: text(at, "0.png", b"nothing"), "is not a readable", ""),
    ],
)
def test_a_wrong_file_is_named_with_what_was_found_and_expected(
    tmp_path: Path, reader: Any, write: Any, found: str, expected: str
) -> None:
    path = write(tmp_path)
    with pytest.raises(DamagedFileError) as error:
        reader(path)
    assert error.value.path == path
    assert found in error.value.reason
    assert expected in error.value.reason


@pytest.mark.parametrize("name", ["0.exr", "0.mat"])
def test_a_format_without_its_library_says_how_to_install_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("OpenEXR", "h5py"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=r"pip install 'mtl_seg_depth\[data\]'"):
        header(Source(tmp_path / name, "depths", 0) if name == "0.mat" else tmp_path / name)


def test_damaged_files_of_every_format_are_refused_by_name(tmp_path: Path) -> None:
    depths = np.random.default_rng(2).random((40, 50)).astype(np.float32)
    chance = np.random.default_rng(3)
    for ending in ("exr", "npy", "npz", "png"):
        pixels = (depths * 60000).astype(np.uint16) if ending == "png" else depths
        whole = save(tmp_path / f"0.{ending}", pixels).read_bytes()
        refused = 0
        for _ in range(40):
            path = text(tmp_path, f"1.{ending}", whole[: chance.integers(len(whole))])
            try:
                DepthReader(CODEC)(path)
            except DamagedFileError as error:
                assert error.path == path
                assert "\n" not in error.reason
                refused += 1
        assert refused > 30

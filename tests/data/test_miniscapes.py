import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from PIL import Image

from mtl_seg_depth.data.files import DamagedFileError, SplitFiles, check_one_size
from mtl_seg_depth.data.miniscapes import READERS
from mtl_seg_depth.system.errors import UserError


def list_split(root: Path, split: str) -> SplitFiles:
    return miniscapes(root).files(split)


def save_grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_miniscapes(tmp_path / "data")


def test_ids_are_found_in_the_order_of_numbers(tmp_path: Path) -> None:
    root = write_tiny_miniscapes(tmp_path, {"train": 12}, 8, 8)
    files = list_split(root, "train")
    assert files.ids == tuple(range(12))
    for kind, paths in files.paths.items():
        assert [path.stem for path in paths] == [str(number) for number in range(12)]
        assert {path.parent.name for path in paths} == {kind}


def test_labels_may_be_absent_from_the_test_split_only(root: Path) -> None:
    for split in ("train", "test"):
        for kind in ("semseg", "depth"):
            (root / split / kind).rename(root / split / f"no-{kind}")
    files = list_split(root, "test")
    assert files.ids == (0, 1)
    assert list(files.paths) == list(files.readers) == ["rgb"]
    with pytest.raises(UserError, match="train/semseg: is not a folder"):
        list_split(root, "train")


def test_one_kind_of_label_alone_is_refused(root: Path) -> None:
    (root / "test" / "depth").rename(root / "test" / "no-depth")
    with pytest.raises(UserError, match="test/depth: is not a folder"):
        list_split(root, "test")


def test_a_missing_root_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        list_split(tmp_path / "absent", "train")
    for part in (str(tmp_path / "absent"), "rgb/<i>.jpg", "semseg/<i>.png", "depth/<i>.png", "data.root="):
        assert part in str(error.value)


def test_an_empty_or_unknown_split_is_refused(root: Path) -> None:
    for path in (root / "val").rglob("*.*"):
        path.unlink()
    with pytest.raises(UserError, match="val/rgb holds no images"):
        list_split(root, "val")
    with pytest.raises(UserError, match="no split 'valid'; there are train, val, test"):
        list_split(root, "valid")


def test_unmatched_files_are_named_and_counted(tmp_path: Path) -> None:
    root = write_tiny_miniscapes(tmp_path, {"train": 6}, 8, 8)
    (root / "train" / "semseg" / "1.png").unlink()
    (root / "train" / "rgb" / "2.jpg").unlink()
    for number in (3, 4):
        (root / "train" / "depth" / f"{number}.png").unlink()
    with pytest.raises(UserError) as error:
        list_split(root, "train")
    message = str(error.value)
    assert message.startswith("4 files of the train split")
    assert "rgb/1.jpg: there is no semseg/1.png beside it" in message
    assert "semseg/2.png: there is no rgb/2.jpg beside it" in message
    assert "and 1 more" in message
    assert "4.png" not in message
    assert miniscapes(root).scan("train")[0].ids == (0, 5)


@pytest.mark.parametrize("name", ["007.jpg", "3.jpeg", "cat.jpg", "3.png", "-1.jpg", "٣.jpg"])
def test_other_names_are_refused(root: Path, name: str) -> None:
    (root / "train" / "rgb" / name).touch()
    with pytest.raises(UserError, match=r"is not named <number>\.jpg"):
        list_split(root, "train")


def test_hidden_files_are_passed_over(root: Path) -> None:
    for name in (".DS_Store", "._0.jpg", "Thumbs.db", "desktop.ini", "@eaDir"):
        (root / "train" / "rgb" / name).touch()
    assert list_split(root, "train").ids == (0, 1, 2)


def test_rgb_is_what_pillow_decodes(root: Path) -> None:
    path = root / "train" / "rgb" / "0.jpg"
    pixels = READERS["rgb"](path)
    assert pixels.shape == (32, 64, 3)
    assert pixels.dtype == np.uint8
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpeg_modes_become_rgb(root: Path, tmp_path: Path, mode: str) -> None:
    with Image.open(root / "train" / "rgb" / "0.jpg") as image:
        image.convert(mode).save(tmp_path / "0.jpg")
    with Image.open(tmp_path / "0.jpg") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(READERS["rgb"](tmp_path / "0.jpg"), np.asarray(image.convert("RGB")))


def test_labels_and_codes_come_back_exactly(tmp_path: Path) -> None:
    labels = np.array([[*range(19), 255]])
    np.testing.assert_array_equal(READERS["semseg"](save_grey(tmp_path / "0.png", labels)), labels)
    codes = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(READERS["depth"](save_grey(tmp_path / "1.png", codes)), codes)


@pytest.mark.parametrize("bits", [4, 8])
def test_palette_labels_are_read_as_indices(tmp_path: Path, bits: int) -> None:
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel())
    image.putpalette([(7 * value + 3) % 256 for value in range(3 * 16)])
    image.save(tmp_path / "0.png", bits=bits)
    np.testing.assert_array_equal(READERS["semseg"](tmp_path / "0.png"), labels)


def test_an_unknown_label_is_named(tmp_path: Path) -> None:
    path = save_grey(tmp_path / "7.png", np.array([[0, 18, 19], [255, 200, 0]]))
    with pytest.raises(DamagedFileError, match=r"7\.png: holds the label 19, 200; labels are 0\.\.18, or 255"):
        READERS["semseg"](path)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((4, 4), np.uint16), "16-bit grey"),
        (np.zeros((4, 4, 3), np.uint8), "8-bit RGB"),
        (np.zeros((4, 4, 4), np.uint8), "8-bit RGBA"),
        (np.zeros((4, 4), bool), "1-bit grey"),
    ],
)
def test_other_png_formats_are_refused(tmp_path: Path, pixels: np.ndarray, reason: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "0.png")
    for kind in ("semseg", "depth"):
        with pytest.raises(DamagedFileError, match=f"is a {reason} PNG"):
            READERS[kind](tmp_path / "0.png")


@pytest.mark.parametrize("kind", ["rgb", "semseg", "depth"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.8])
def test_a_file_cut_short_is_named(root: Path, kind: str, kept: float) -> None:
    path = list_split(root, "train").paths[kind][1]
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DamagedFileError) as error:
        READERS[kind](path)
    assert error.value.path == path
    assert str(path) in str(error.value)


def test_another_format_under_the_name_is_refused(root: Path) -> None:
    picture, labels = root / "train" / "rgb" / "0.jpg", root / "train" / "semseg" / "0.png"
    for path, data in ((picture, labels.read_bytes()), (labels, picture.read_bytes())):
        path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="is not a readable JPEG"):
        READERS["rgb"](picture)
    with pytest.raises(DamagedFileError, match="is not a readable PNG"):
        READERS["semseg"](labels)


def test_an_exif_rotation_is_refused(root: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation, accepted in ((1, True), (6, False)):
        exif[0x0112] = orientation
        with Image.open(root / "train" / "rgb" / "0.jpg") as image:
            image.save(tmp_path / "0.jpg", exif=exif)
        if accepted:
            assert READERS["rgb"](tmp_path / "0.jpg").shape == (32, 64, 3)
        else:
            with pytest.raises(DamagedFileError, match="EXIF rotation"):
                READERS["rgb"](tmp_path / "0.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_001, 20_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = save_grey(tmp_path / "0.png", np.zeros((4, 4)))
    data = bytearray(path.read_bytes())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"million are refused|exceeds limit"):
        READERS["semseg"](path)


def test_unequal_sizes_are_named_with_both(tmp_path: Path) -> None:
    paths = [save_grey(tmp_path / f"{k}.png", np.zeros(size)) for k, size in enumerate([(4, 8), (4, 8), (5, 8)])]
    sizes = [READERS["depth"].size(path) for path in paths]
    assert sizes == [(8, 4), (8, 4), (8, 5)]
    check_one_size(paths[:2], sizes[:2])
    with pytest.raises(DamagedFileError, match=r"2\.png: is 8 x 5 pixels, but .*0\.png is 8 x 4"):
        check_one_size(paths, sizes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"0\.jpg: cannot be opened"):
        READERS["rgb"](tmp_path / "0.jpg")

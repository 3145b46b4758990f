"""Which files a command means, and how one image is read."""

from pathlib import Path

import numpy as np
import pytest
from helpers.photographs import picture, save
from PIL import Image

from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.inference.photos import find_photos, read_photo


def test_every_kind_of_picture_becomes_red_green_blue(tmp_path: Path) -> None:
    rgb = picture(20, 30)
    assert (read_photo(save(tmp_path / "rgb.png", rgb)) == rgb).all()
    grey = read_photo(save(tmp_path / "grey.png", rgb[..., 0]))
    assert (grey == rgb[..., :1]).all()
    rgba = np.concatenate([rgb, np.full((20, 30, 1), 3, np.uint8)], axis=-1)
    assert (read_photo(save(tmp_path / "rgba.png", rgba)) == rgb).all()
    sixteen = rgb[..., 0].astype(np.uint16) * 257
    assert (read_photo(save(tmp_path / "sixteen.png", sixteen)) == rgb[..., :1]).all()
    assert (read_photo(save(tmp_path / "sixteen.tif", sixteen)) == rgb[..., :1]).all()
    Image.fromarray(rgb).quantize(16).save(tmp_path / "palette.gif")
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(rgb[..., 0] > 99).save(tmp_path / "bits.png")
    for name in ("palette.gif", "cmyk.jpg", "bits.png"):
        assert read_photo(tmp_path / name).shape == (20, 30, 3)
    with pytest.raises(DamagedFileError, match="floating-point"):
        read_photo(save(tmp_path / "float.tif", rgb[..., 0].astype(np.float32)))


def test_a_rotated_photo_is_seen_upright(tmp_path: Path) -> None:
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:10] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # held so that the camera's top is at the right
    upright = read_photo(save(tmp_path / "a.png", rgb, exif=exif))
    assert upright.shape == (30, 20, 3)
    assert (upright == np.rot90(rgb, -1)).all()


def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with pytest.raises(DamagedFileError, match="9000 x 9000 pixels; over 64 million are refused"):
        read_photo(tmp_path / "huge.png")


def found(inputs: str | list[str], output: Path) -> dict[str, str]:
    return {photo.path.name: photo.name.as_posix() for photo in find_photos(inputs, output)[0]}


def test_folders_files_patterns_and_lists(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    both = {"b.png": "b", "a street (1).JPG": "été/a street (1)"}
    assert found(str(photos), out) == both
    assert found(str(photos / "b.png"), out) == {"b.png": "b"}
    assert found(f"{photos}/**/*", out) == both
    assert found(f"{photos}/*.png", out) == {"b.png": "b"}
    assert found(f"{tmp_path}/my*/été/*.JPG", out) == {"a street (1).JPG": "my photos/été/a street (1)"}
    assert found([str(photos / "b.png"), str(photos / "été")], out) == {
        "b.png": "b",
        "a street (1).JPG": "a street (1)",
    }
    save(photos / "b.jpg", picture(9, 9))
    assert found(str(photos), out) == both | {"b.png": "b.png", "b.jpg": "b.jpg"}
    monkeypatch.chdir(photos)
    assert found("*.png", Path("out")) == {"b.png": "b"}
    assert found("b.png", Path()) == {"b.png": "b"}
    frames = [save(tmp_path / "frames" / f"{i:04}.png", picture(4, 4)) for i in (2, 10, 1)]
    assert [photo.path for photo in find_photos(str(tmp_path / "frames"), out)[0]] == sorted(frames)


def test_what_another_program_would_have_to_read_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "photo.jpg").write_bytes(postscript)
    with pytest.raises(DamagedFileError, match="no image that can be read"):
        read_photo(tmp_path / "photo.jpg")

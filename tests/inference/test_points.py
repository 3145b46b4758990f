"""The file of points read by code that knows nothing of ours, and each point put back into the image it came from."""

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.colours import viewer
from helpers.photographs import picture

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.inference.camera import Camera
from mtl_seg_depth.inference.points import write_points

FOCAL = 70.0


def read_ply(path: Path) -> tuple[list[str], list[tuple[float, float, float, int, int, int]]]:
    """The lines of the header, and the points by the properties that it names."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    properties = [line.split()[1:] for line in lines if line.startswith("property")]
    assert properties == [
        *(["float", axis] for axis in "xyz"),
        *(["uchar", colour] for colour in ("red", "green", "blue")),
    ]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    points = list(struct.iter_unpack("<fffBBB", body))
    assert len(points) == count
    return lines, points


def test_every_point_goes_back_to_its_pixel_and_neither_sky_nor_the_cap_has_one(tmp_path: Path) -> None:
    rgb = picture(40, 60)
    rgb[..., 0] = 0  # road
    rgb[:10, :, 0] = round(255 * CITYSCAPES.names.index("sky") / 18)
    seen = viewer(Camera((40, 72), 0.75, focal=FOCAL, ratio=2.0)).see(rgb)
    seen.prediction["depth"][20, 5:9] = 600  # twice the 300 m that networks of this data end at
    write_points(rgb, seen, viewer().tasks, tmp_path / "a.ply")
    lines, points = read_ply(tmp_path / "a.ply")
    assert "comment metres from the camera: x right, y down, z forward" in lines
    assert "comment focal length 70 pixels of 60 x 40 (focal)" in lines
    assert "comment left out: 600 pixels of sky and 4 at the largest depth there is, 600 m" in lines
    found = {}
    for x, y, z, *colour in points:
        column, row = x * FOCAL / z + 30 - 0.5, y * FOCAL / z + 20 - 0.5  # a pinhole's image of the point
        assert abs(column - round(column)) < 1e-3
        assert abs(row - round(row)) < 1e-3
        found[round(row), round(column)] = (z, colour)
    expected = {(row, column) for row in range(10, 40) for column in range(60)} - {(20, each) for each in range(5, 9)}
    assert found.keys() == expected
    for (row, column), (z, colour) in found.items():
        assert colour == rgb[row, column].tolist()
        assert z == pytest.approx(2 * (rgb[row, column, 1] / 255 * 100 + 4), rel=1e-3)


def test_the_focal_length_is_given_or_of_exif_or_guessed_and_fits_the_metres() -> None:
    size, seen = (100, 200), (50, 100)
    trained = Camera(trained_size=(40, 80), trained_focal=0.75)  # 60 pixels
    assert Camera((40, 80), 0.75, focal=300.0).focal_of(size, seen, 250.0) == (300, "focal")
    assert trained.focal_of(size, seen, 250.0) == (250, "EXIF")
    guessed, source = trained.focal_of(size, seen, None)
    assert (guessed, source) == (pytest.approx(150), "guessed: the training camera's field of view")
    # What is guessed makes the same metres as if it had been given.
    given, by_default = (trained.ratio_of(size, seen, exif)[0] for exif in (guessed, None))
    assert given == pytest.approx(by_default)
    assert Camera((40, 80), 0.75, ratio=2.0).focal_of(size, seen, 250.0) == (pytest.approx(240), "focal_ratio")
    assert Camera().focal_of((300, 200), seen, None)[0] == 300


def test_an_image_of_sky_alone_is_a_file_without_points(tmp_path: Path) -> None:
    rgb = np.full((33, 40, 3), round(255 * CITYSCAPES.names.index("sky") / 18), np.uint8)
    write_points(rgb, viewer().see(rgb), viewer().tasks, tmp_path / "a.ply")
    assert read_ply(tmp_path / "a.ply")[1] == []

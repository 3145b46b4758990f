import math

import numpy as np
import pytest
from PIL import Image

from mtl_seg_depth.drawing.pictures import (
    NOTHING,
    colour_depth,
    colour_error,
    colour_labels,
    confusion,
    panel_row,
    save,
    sheet,
)

NAN = math.nan


def row(height=24, width=48, tasks=("semseg", "depth")):
    generator = np.random.default_rng(0)
    labels, depth = generator.integers(0, 19, (height, width)), generator.uniform(4, 300, (height, width))
    prediction = {"semseg": labels[::-1], "depth": depth[::-1].astype(np.float32)}
    rgb = generator.random((height, width, 3), np.float32)
    return panel_row(rgb, labels, depth.astype(np.float32), {task: prediction[task] for task in tasks})


def test_labels_have_the_colours_of_cityscapes_and_ignored_ones_are_black():
    coloured = colour_labels(np.array([[0, 10, 13], [18, 255, 11]]))
    assert coloured.dtype == np.uint8
    assert coloured.tolist() == [
        [[128, 64, 128], [70, 130, 180], [0, 0, 142]],
        [[119, 11, 32], [0, 0, 0], [220, 20, 60]],
    ]


def test_near_is_bright_and_no_depth_is_grey():
    metres = np.array([[4, 8, 20, 60, 300, NAN]], np.float32)
    coloured = colour_depth(metres)
    assert coloured.shape == (1, 6, 3)
    assert coloured.dtype == np.uint8
    brightness = coloured[0].astype(int).sum(axis=-1)
    assert (np.diff(brightness[:5]) < 0).all()
    assert brightness[0] > 600
    assert brightness[4] < 10
    assert (coloured[0, 5] == NOTHING).all()


def test_depths_beyond_the_range_have_the_colour_of_its_ends():
    coloured = colour_depth(np.array([[0, -1, 1, 4, 300, 1e6, np.inf]], np.float32))[0].tolist()
    assert coloured[0] == coloured[1] == coloured[2] == coloured[3]
    assert coloured[4] == coloured[5] == coloured[6]


def test_errors_are_white_where_right_red_where_too_far_and_blue_where_too_near():
    truth = np.array([[10, 10, 10, 10, NAN]], np.float32)
    right, far, near, farther, nothing = colour_error(np.array([[10, 14, 7, 1000, 10]], np.float32), truth)[0].astype(
        int
    )
    assert right.min() > 240
    assert far[0] > far[2] + 50
    assert near[2] > near[0] + 50
    assert farther[0] > 80
    assert farther[1:].max() < 40
    assert (nothing == NOTHING).all()


def test_a_panel_shows_the_tasks_that_were_predicted():
    both = row()
    assert list(both) == [
        "image",
        "labels",
        "predicted labels",
        "depth (log scale, near is bright)",
        "predicted depth",
        "error (red: too far, blue: too near)",
    ]
    assert all(picture.shape == (24, 48, 3) and picture.dtype == np.uint8 for picture in both.values())
    assert list(row(tasks=("semseg",))) == list(both)[:3]
    assert list(row(tasks=("depth",))) == ["image", *list(both)[3:]]


def test_a_panel_s_image_is_the_picture():
    rgb = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)
    image = panel_row(rgb, np.zeros((2, 4), int), np.ones((2, 4), np.float32), {})["image"]
    np.testing.assert_array_equal(image, np.round(rgb * 255))


def test_a_sheet_has_a_column_for_every_picture_and_a_row_for_every_panel():
    drawn = sheet([row(), row(), row()], width=100)
    assert drawn.size == (6 * 100 + 5 * 4, 20 + 3 * 50 + 2 * 4)
    # Each label keeps its colour, though it is drawn larger.
    labels = row()["labels"]
    found = np.asarray(drawn)[20:70, 104:204]
    assert {tuple(pixel) for pixel in found.reshape(-1, 3)} <= {tuple(pixel) for pixel in labels.reshape(-1, 3)}
    np.testing.assert_array_equal(found, np.asarray(drawn)[74:124, 104:204])  # the second row is the first again


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_saved_picture_can_be_read_and_nothing_lies_beside_it(tmp_path, suffix):
    path = tmp_path / f"panel.{suffix}"
    drawn = sheet([row()], width=32)
    save(drawn, path)
    with Image.open(path) as read:
        assert read.size == drawn.size
        if suffix == "png":
            np.testing.assert_array_equal(np.asarray(read), np.asarray(drawn))
    assert list(tmp_path.iterdir()) == [path]


def corner(drawn, row, column):
    """The colour of a cell of a confusion matrix, beside its number."""
    return drawn.getpixel((150 + 40 * column + 3, 50 + 40 * row + 3))


def test_a_confusion_matrix_has_a_cell_for_every_label_and_prediction():
    matrix = np.diag(np.arange(19) * 1000)  # of class 0 there is nothing
    matrix[3, 5] = 3000
    drawn = confusion(matrix)
    white, whole, half = corner(drawn, 0, 0), corner(drawn, 18, 18), corner(drawn, 3, 5)
    assert sum(white) > sum(half) > sum(whole)
    assert corner(drawn, 3, 3) == half
    assert corner(drawn, 5, 3) == corner(drawn, 0, 18) == white
    written = np.asarray(drawn.crop((150 + 5 * 40, 50 + 3 * 40, 150 + 6 * 40, 50 + 4 * 40))).reshape(-1, 3)
    assert len(np.unique(written, axis=0)) > 5, "its share stands in it"


def test_a_confusion_matrix_of_nothing_can_be_drawn():
    assert confusion(np.zeros((19, 19), np.int64)).size == confusion(np.eye(19, dtype=np.int64)).size

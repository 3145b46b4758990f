import numpy as np
import pytest
from helpers.facts import tasks
from helpers.photographs import picture

from mtl_seg_depth.drawing.legend import legend
from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet


def values(height, width):
    generator = np.random.default_rng(0)
    return {
        "semseg": generator.integers(0, 19, (height, width)).astype(np.uint8),
        "depth": generator.uniform(4, 300, (height, width)).astype(np.float32),
    }


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (1, 300)])
@pytest.mark.parametrize("names", [("semseg", "depth"), ("semseg",), ("depth",)])
def test_a_sheet_shows_whatever_was_predicted(size, names):
    sheet = prediction_sheet(picture(*size), values(*size), tasks(*names), "a street")
    assert sheet.mode == "RGB"
    assert sheet.width >= 480
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 10


def test_a_legend_names_the_classes_there_are_and_all_of_them_without_an_image():
    labels = np.zeros((4, 4), np.uint8)
    few, all_of_them = legend(tasks("semseg"), 600, {"semseg": labels}), legend(tasks("semseg"), 600)
    assert few.width == all_of_them.width == 600
    assert few.height < all_of_them.height
    road = np.asarray(few).reshape(-1, 3)
    assert (road == [128, 64, 128]).all(axis=1).any()
    assert not (road == [70, 130, 180]).all(axis=1).any()


def test_the_depths_scale_goes_from_the_nearest_to_the_farthest():
    depth = tasks("depth")["depth"]
    scale = np.asarray(legend({"depth": depth}, 600))[7, :560]
    ends = depth.paint(np.array([[4.0, 300.0]], np.float32))[0]
    np.testing.assert_array_equal(scale[[0, -1]], ends)


def test_a_large_image_has_the_sheet_of_the_same_image_in_the_size_of_its_panels():
    """And so the borders in it are one pixel wide; in the image's own size they were lost."""
    labels = np.zeros((1440, 2560), np.uint8)
    labels[:, 1280:] = 1
    depth = np.full(labels.shape, 10, np.float32)
    image = np.full((*labels.shape, 3), 200, np.uint8)
    large = prediction_sheet(image, {"semseg": labels, "depth": depth}, tasks(), "a street")
    whole = {"semseg": labels[::4, ::4], "depth": depth[::4, ::4]}
    small = prediction_sheet(image[::4, ::4], whole, tasks(), "a street")
    np.testing.assert_array_equal(np.asarray(large), np.asarray(small))
    overlaid = np.asarray(large)[100, 660 : 660 + 640]
    assert (overlaid.sum(axis=1) < 0.8 * overlaid[0].sum()).sum() == 1

import math

import numpy as np

from mtl_seg_depth.tasks.colours import NOTHING
from mtl_seg_depth.tasks.depth.painting import paint_depth, paint_error

NAN = math.nan


def test_near_is_bright_and_no_depth_is_grey():
    metres = np.array([[4, 8, 20, 60, 300, NAN]], np.float32)
    coloured = paint_depth(metres, 4, 300)
    assert coloured.shape == (1, 6, 3)
    assert coloured.dtype == np.uint8
    brightness = coloured[0].astype(int).sum(axis=-1)
    assert (np.diff(brightness[:5]) < 0).all()
    assert brightness[0] > 600
    assert brightness[4] < 10
    assert (coloured[0, 5] == NOTHING).all()


def test_depths_beyond_the_range_have_the_colour_of_its_ends():
    coloured = paint_depth(np.array([[0, -1, 1, 4, 300, 1e6, np.inf]], np.float32), 4, 300)[0].tolist()
    assert coloured[0] == coloured[1] == coloured[2] == coloured[3]
    assert coloured[4] == coloured[5] == coloured[6]


def test_errors_are_white_where_right_red_where_too_far_and_blue_where_too_near():
    truth = np.array([[10, 10, 10, 10, NAN]], np.float32)
    right, far, near, farther, nothing = paint_error(np.array([[10, 14, 7, 1000, 10]], np.float32), truth)[0].astype(
        int
    )
    assert right.min() > 240
    assert far[0] > far[2] + 50
    assert near[2] > near[0] + 50
    assert farther[0] > 80
    assert farther[1:].max() < 40
    assert (nothing == NOTHING).all()

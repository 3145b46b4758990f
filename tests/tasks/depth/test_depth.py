import numpy as np
import pytest
from helpers.facts import depth_of_code, encode_depth
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.tasks.depth.codec import DepthStatistics

CODES = np.arange(256, dtype=np.uint8)


def test_every_code_survives_decoding_to_float32_and_encoding():
    np.testing.assert_array_equal(encode_depth(depth_of_code()), CODES)
    assert depth_of_code().dtype == np.float32
    assert encode_depth(depth_of_code()).dtype == np.uint8


@pytest.mark.parametrize(
    ("code", "metres"),
    [
        # disparity = (1/4 - 1/300) * (p - 1) / 254 + 1/300, with 1/4 - 1/300 = 74/300 and depth its reciprocal
        (1, 300.0),
        (2, 300 / (1 + 74 / 254)),
        (128, 300 / 38),
        (254, 300 / (75 - 74 / 254)),
        (255, 4.0),
    ],
)
def test_codes_stand_for_the_disparities_of_the_formula(code, metres):
    assert depth_of_code()[code] == pytest.approx(metres, rel=1e-7)


def test_larger_codes_are_nearer():
    assert (np.diff(depth_of_code()[1:]) < 0).all()


def test_code_zero_has_no_depth_and_is_the_only_one():
    np.testing.assert_array_equal(np.isnan(depth_of_code()), CODES == 0)
    assert encode_depth(np.nan) == 0


def test_depths_beyond_the_range_are_clamped():
    assert encode_depth([3.9, 0.1, 0.0, -5.0, -np.inf]).tolist() == [255] * 5
    assert encode_depth([300.1, 1e6, np.inf]).tolist() == [1] * 3


def test_writing_floors_to_the_farther_code():
    decoded = depth_of_code().astype(np.float64)
    disparity = 1 / decoded[1:]
    for share in (0.01, 0.5, 0.99):
        between = 1 / (disparity[:-1] + share * np.diff(disparity))
        np.testing.assert_array_equal(encode_depth(between), CODES[1:-1])


def test_any_shape_is_encoded():
    assert encode_depth(np.full((2, 3, 4), 10.0, np.float32)).shape == (2, 3, 4)


@given(st.floats(4, 300))
def test_encoding_loses_less_than_one_code(depth):
    decoded = depth_of_code()
    code = int(encode_depth(depth))
    nearer = decoded[min(code + 1, 255)]
    assert nearer * (1 - 1e-4) <= depth <= decoded[code] * (1 + 1e-4)
    assert abs(depth - decoded[code]) <= decoded[code] - nearer + 1e-4 * depth


@pytest.mark.parametrize(
    "values",
    [
        {"mean": 27.0, "std": 0.0},
        {"mean": 3.0, "std": 1.0},
        {"mean": 301.0, "std": 1.0},
        {"mean": 27.0, "std": 1.0, "min": 0.0},
        {"mean": 27.0, "std": float("nan")},
    ],
)
def test_statistics_that_no_data_set_has_are_refused(values):
    with pytest.raises(ValueError, match="depth statistics"):
        DepthStatistics(**values)

import numpy as np
import pytest
from helpers.facts import DEPTH_CODEC, STATISTICS, depth_of_code, encode_depth
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthSpec, DepthStatistics

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
    slack = 3e-4  # the thousandth of a code that encoding allows for is 0.03 % of 300 m
    assert nearer * (1 - slack) <= depth <= decoded[code] * (1 + slack)
    assert abs(depth - decoded[code]) <= decoded[code] - nearer + 1e-4 * depth


@pytest.mark.parametrize(
    "values",
    [
        {"mean": 27.0, "std": 0.0},
        {"mean": 3.0, "std": 1.0},
        {"mean": 301.0, "std": 1.0},
        {"mean": 27.0, "std": 1.0, "min": 0.0},
        {"mean": 27.0, "std": 1.0, "max": 20.0},
        {"mean": 27.0, "std": float("nan")},
    ],
)
def test_statistics_that_no_data_set_has_are_refused(values):
    with pytest.raises(ValueError, match="depth statistics"):
        DepthStatistics(**{"min": 4.0, "max": 300.0} | values)


METRES_16 = DepthCodec(bits=16, scale="metres", first=0.5, last=80.0)


def test_codes_of_16_bits_in_even_steps_of_metres():
    table = METRES_16.table()
    assert table.shape == (65536,)
    assert np.isnan(table[0])
    assert (table[1], table[-1]) == (0.5, 80)
    np.testing.assert_allclose(np.diff(table[1:]), 79.5 / 65534, rtol=1e-2)
    assert METRES_16.encode([np.nan, 0.1, 0.5, 80.0, 1e6]).tolist() == [0, 1, 1, 65535, 65535]
    assert METRES_16.encode(1.0).dtype == np.uint16
    codes = np.arange(65536, dtype=np.uint16)
    assert np.abs(METRES_16.encode(table).astype(int) - codes).max() <= 1


@pytest.mark.parametrize(("codec", "ends"), [(DEPTH_CODEC, (4, 300)), (METRES_16, (0.5, 80))])
def test_a_codec_says_which_depths_it_reaches(codec, ends):
    assert (codec.nearest, codec.farthest) == pytest.approx(ends)
    assert (np.nanmin(codec.table()), np.nanmax(codec.table())) == pytest.approx(ends)


@pytest.mark.parametrize(("first", "last"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, float("nan"))])
def test_codes_that_do_not_ascend_from_above_zero_are_refused(first, last):
    with pytest.raises(ValueError, match="ascend from above 0"):
        DepthCodec(bits=8, scale="metres", first=first, last=last)


def test_a_valid_range_that_the_codes_do_not_reach_is_refused():
    DepthSpec(DEPTH_CODEC, STATISTICS)
    for low, high in ((3.9, 300.0), (4.0, 301.0)):
        with pytest.raises(ValueError, match="this data's codes stand for 4 to 300 m"):
            DepthSpec(DEPTH_CODEC, DepthStatistics(27.0, 29.0, low, high))

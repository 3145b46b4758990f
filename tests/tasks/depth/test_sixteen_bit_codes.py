"""What codes of either width stand for, and which specs of depths are refused."""

import math

import numpy as np
import pytest
from helpers.composing import compose
from helpers.facts import DEPTH_CODEC, STATISTICS

from mtl_seg_depth.nodes import build
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthSpec, DepthStatistics

CODECS = {
    "Miniscapes": DEPTH_CODEC,
    "8 bits of metres": DepthCodec(8, "metres", 0.5, 80.0),
    "KITTI": DepthCodec(16, "metres", 1 / 256, 65535 / 256),
    "millimetres": DepthCodec(16, "metres", 0.001, 65.535),
    "a narrow range": DepthCodec(16, "metres", 100.0, 130.0),
    "disparity": DepthCodec(16, "disparity", 1 / 300, 1 / 4),
    "wide disparity": DepthCodec(16, "disparity", 1 / 1000, 2.0),
}


def of(scale: str, first: float, last: float) -> DepthCodec:
    return DepthCodec(16, scale, first, last)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (of("metres", 1 / 256, 65535 / 256), {1: 1 / 256, 256: 1.0, 32768: 128.0, 65535: 65535 / 256}),
        (of("metres", 4, 300), {1: 4.0, 2: 4 + 296 / 65534, 32768: 152.0, 65535: 300.0}),
        # The disparity halfway between 1/300 and 75/300 is 38/300.
        (of("disparity", 1 / 300, 1 / 4), {1: 300.0, 2: 300 / (1 + 74 / 65534), 32768: 300 / 38, 65535: 4.0}),
    ],
    ids=str,
)
def test_sixteen_bit_codes_stand_for_even_steps(codec: DepthCodec, expected: dict[int, float]) -> None:
    table = codec.table()
    assert table.shape == (65536,)
    assert table.dtype == np.float32
    assert np.flatnonzero(np.isnan(table)).tolist() == [0]
    for code, metres in expected.items():
        assert table[code] == pytest.approx(metres, rel=1e-7)
    assert (codec.nearest, codec.farthest) == pytest.approx((np.nanmin(table), np.nanmax(table)), rel=1e-7)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_every_code_survives_decoding_to_float32_and_encoding(codec: DepthCodec) -> None:
    codes = codec.encode(codec.table())
    assert codes.dtype == (np.uint8 if codec.bits == 8 else np.uint16)
    np.testing.assert_array_equal(codes, np.arange(2**codec.bits))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_what_lies_between_two_codes_is_floored(codec: DepthCodec) -> None:
    """To the nearer one where codes are metres, and the farther one where they are disparities."""
    codes = np.unique(np.geomspace(1, codec.largest - 1, 999).astype(int))
    steps = (codec.last - codec.first) / (codec.largest - 1)
    for share in (0.1, 0.5, 0.9):
        value = codec.first + (codes - 1 + share) * steps
        np.testing.assert_array_equal(codec.encode(value if codec.scale == "metres" else 1 / value), codes)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_depths_beyond_the_ends_are_clamped_and_missing_ones_have_code_zero(codec: DepthCodec) -> None:
    near, far = (1, codec.largest) if codec.scale == "metres" else (codec.largest, 1)
    assert codec.encode([codec.nearest * 0.99, 0.0, -5.0, -math.inf]).tolist() == [near] * 4
    assert codec.encode([codec.farthest * 1.01, 1e9, math.inf]).tolist() == [far] * 3
    assert codec.encode([[math.nan, codec.nearest], [codec.farthest, math.nan]]).tolist() == [[0, near], [far, 0]]


@pytest.mark.parametrize(("first", "last"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (math.nan, 1.0)])
def test_codes_that_do_not_ascend_from_above_zero_are_refused(first: float, last: float) -> None:
    with pytest.raises(ValueError, match=r"ascend from above 0, not"):
        DepthCodec(16, "metres", first, last)


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(4, 300, False), (5, 200, False), (0.5, 300, True), (3.99, 300, True), (4, 300.1, True), (4, 1000, True)],
)
def test_a_valid_range_that_the_codes_do_not_reach_is_refused(low: float, high: float, refused: bool) -> None:
    statistics = DepthStatistics(STATISTICS.mean, STATISTICS.std, low, high)
    if not refused:
        assert DepthSpec(DEPTH_CODEC, statistics).statistics == statistics
        return
    with pytest.raises(ValueError, match=rf"depth_min={low:g} to depth_max={high:g} m, and .* for 4 to 300 m"):
        DepthSpec(DEPTH_CODEC, statistics)


def test_a_configured_range_that_the_codes_do_not_reach_is_a_message_that_names_both() -> None:
    config = compose("data=miniscapes", "data.depth_min=0.5")
    with pytest.raises(UserError) as error:
        build("data", config["data"])
    for part in ("data: ", "depth_min=0.5", "depth_max=300 m", "codes stand for 4 to 300 m"):
        assert part in str(error.value)

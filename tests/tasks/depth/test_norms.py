import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.norms import Inverse, Log, MinMax, Standard

STATISTICS = DepthStatistics(mean=27.0727, std=29.1264, min=4, max=300)
NORMS = [Standard(STATISTICS), MinMax(STATISTICS), Log(STATISTICS), Inverse(STATISTICS)]


def named(norm):
    return type(norm).__name__


every_norm = pytest.mark.parametrize("norm", NORMS, ids=named)


@pytest.mark.parametrize(
    ("norm", "metres", "normalised"),
    [
        (Standard, 27.0727, 0.0),
        (Standard, 56.1991, 1.0),
        (Standard, 4.0, -23.0727 / 29.1264),
        (MinMax, 4.0, 0.0),
        (MinMax, 300.0, 1.0),
        (MinMax, 78.0, 74 / 296),
        (Log, 4.0, 0.0),
        (Log, 300.0, 1.0),
        (Log, 13.0, math.log(10) / math.log(297)),
        (Inverse, 300.0, 0.0),
        (Inverse, 4.0, 1.0),
        (Inverse, 12.0, (1 / 12 - 1 / 300) / (1 / 4 - 1 / 300)),
    ],
)
def test_the_formulas_by_hand(norm, metres, normalised):
    norm = norm(STATISTICS)
    assert norm.encode(torch.tensor(metres, dtype=torch.float64)).item() == pytest.approx(normalised, abs=1e-12)
    assert norm.decode(torch.tensor(normalised, dtype=torch.float64)).item() == pytest.approx(metres, rel=1e-12)


@every_norm
@given(metres=st.floats(4, 300))
def test_decode_undoes_encode_over_the_whole_range(norm, metres):
    exact = torch.tensor(metres, dtype=torch.float64)
    assert norm.decode(norm.encode(exact)).item() == pytest.approx(metres, rel=1e-10)
    # In float32 the far end of a disparity, 1/300 beside 1/4, keeps the fewest digits.
    single = torch.tensor(metres, dtype=torch.float32)
    assert norm.to_metres(norm.encode(single)).item() == pytest.approx(metres, rel=2e-5)


@every_norm
def test_to_metres_stays_within_the_valid_range_whatever_was_predicted(norm):
    predicted = torch.tensor([-math.inf, -1e38, -1e4, -2.0, 0.0, 0.5, 2.0, 1e4, 1e38, math.inf])
    metres = norm.to_metres(predicted)
    assert metres.isfinite().all()
    assert metres.min() == 4
    assert metres.max() == 300
    ends = (300, 4) if isinstance(norm, Inverse) else (4, 300)
    assert (metres[0].item(), metres[-1].item()) == ends


@every_norm
def test_to_metres_computes_in_float32_whatever_the_network_does(norm):
    predicted = torch.tensor([0.0625, 0.5, 0.75])  # exact in bfloat16
    metres = norm.to_metres(predicted.bfloat16())
    assert metres.dtype == torch.float32
    torch.testing.assert_close(metres, norm.to_metres(predicted), rtol=0, atol=0)


@every_norm
def test_another_range_is_respected(norm):
    other = type(norm)(DepthStatistics(mean=5.0, std=2.0, min=1.0, max=10.0))
    assert other.to_metres(torch.tensor([-1e4, 1e4])).sort().values.tolist() == [1, 10]
    torch.testing.assert_close(other.decode(other.encode(torch.tensor([1.0, 4.0, 10.0]))), torch.tensor([1.0, 4, 10]))

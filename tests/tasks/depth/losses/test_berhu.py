import math

import pytest
import torch

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.berhu import BerHu
from mtl_seg_depth.tasks.depth.norms import Standard

NORM = Standard(DepthStatistics(mean=20, std=10, min=4, max=300))


def depth_of(residuals, prediction=0.0):
    """Depths that leave these residuals where `prediction` is predicted everywhere."""
    return NORM.decode(prediction - torch.tensor(residuals, dtype=torch.float32))


def test_c_is_a_fifth_of_the_largest_residual_among_all_images():
    # The first image alone would have c = 0.2: linear below, quadratic beyond. The second one's 10 makes c = 2.
    depth = depth_of([[[1.0, -0.1]], [[10.0, 0.0]]])
    expected = ((1 + 0.1) / 2 + ((100 + 4) / 4 + 0) / 2) / 2
    assert BerHu(NORM)(torch.zeros(2, 1, 2), depth).item() == pytest.approx(expected, rel=1e-5)


def test_c_does_not_see_pixels_without_depth():
    depth = depth_of([[[1.0, 0.5, math.nan]]])
    prediction = torch.tensor([[[0.0, 0.0, 1000.0]]])
    expected = ((1 + 0.04) / 0.4 + (0.25 + 0.04) / 0.4) / 2  # c = 0.2
    assert BerHu(NORM)(prediction, depth).item() == pytest.approx(expected, rel=1e-5)


def test_no_gradient_flows_through_c():
    residual = torch.tensor([[[4.0, -2.0], [1.0, 0.5]]])
    prediction = residual.clone().requires_grad_()
    depth = NORM.decode(torch.zeros_like(residual))
    (slope,) = torch.autograd.grad(BerHu(NORM)(prediction, depth), prediction)
    # c = 0.8 held fixed: x / c beyond it, the sign within, a quarter of each for the mean of four pixels.
    expected = torch.tensor([[[4 / 0.8, -2 / 0.8], [1 / 0.8, 1.0]]]) / 4
    torch.testing.assert_close(slope, expected)


def test_the_two_pieces_meet_in_value_and_slope():
    for x in (0.2 - 1e-4, 0.2 + 1e-4):
        prediction = torch.tensor([[[x, 1.0]]], requires_grad=True)
        loss = BerHu(NORM)(prediction, NORM.decode(torch.zeros(1, 1, 2)))
        (slope,) = torch.autograd.grad(loss, prediction)
        assert 2 * loss.item() - (1 + 0.04) / 0.4 == pytest.approx(x, abs=1e-6)
        assert 2 * slope[0, 0, 0].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("fraction", [0, -0.2, 1.1, math.nan])
def test_fractions_that_make_no_sense_are_refused(fraction):
    with pytest.raises(ValueError, match="fraction is above 0 and at most 1"):
        BerHu(NORM, fraction)

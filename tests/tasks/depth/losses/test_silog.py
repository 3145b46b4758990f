import math

import pytest
import torch

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.silog import SILog
from mtl_seg_depth.tasks.depth.norms import Inverse, Log, MinMax, Standard

STATISTICS = DepthStatistics(mean=20, std=10, min=4, max=300)
NORM = Standard(STATISTICS)
NORMS = [norm(STATISTICS) for norm in (Standard, MinMax, Log, Inverse)]
NAN = math.nan
# Predicted 15, 30 and 20 m for 10, 20 and 40 m; 70 for 30 m; nothing in the third image.
METRES = torch.tensor([[[15.0, 30], [90, 20]], [[70, 9], [9, 9]], [[9, 9], [9, 9]]])
DEPTH = torch.tensor([[[10, 20], [NAN, 40]], [[30, NAN], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]])


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 0.85, 1.0])
def test_by_hand(lambda_):
    up, down, far = math.log(1.5), -math.log(2), math.log(7 / 3)
    mean, mean_square = (2 * up + down) / 3, (2 * up**2 + down**2) / 3
    first = math.sqrt(mean_square - lambda_ * mean**2)
    second = math.sqrt(far**2 - lambda_ * far**2)
    value = SILog(NORM, lambda_, alpha=10)(NORM.encode(METRES), DEPTH).item()
    assert value == pytest.approx(10 * (first + second) / 2, abs=1e-4)


def test_alpha_scales():
    values = [SILog(NORM, alpha=alpha)(NORM.encode(METRES), DEPTH).item() for alpha in (1, 30)]
    assert values[1] == pytest.approx(30 * values[0], rel=1e-6)


@pytest.mark.parametrize("scale", [0.5, 0.9, 2.0])
def test_lambda_one_forgives_any_scale_and_less_does_not(scale):
    def loss(lambda_, factor):
        return SILog(NORM, lambda_)(NORM.encode(METRES * factor), DEPTH).item()

    assert loss(1.0, scale) == pytest.approx(loss(1.0, 1.0), rel=1e-4)
    assert loss(0.85, scale) != pytest.approx(loss(0.85, 1.0), rel=1e-2)


@pytest.mark.parametrize("norm", NORMS[1:], ids=lambda norm: type(norm).__name__)
def test_the_same_metres_cost_the_same_whatever_the_normalisation(norm):
    expected = SILog(NORM)(NORM.encode(METRES), DEPTH)
    torch.testing.assert_close(SILog(norm)(norm.encode(METRES), DEPTH), expected, rtol=1e-4, atol=0)


def test_a_prediction_below_one_centimetre_counts_as_one_centimetre():
    depth = torch.tensor([[[1.0, 1.0]]])
    prediction = NORM.encode(torch.tensor([[[-50.0, 0.001]]])).requires_grad_()
    loss = SILog(NORM, lambda_=0, alpha=1)(prediction, depth)
    assert loss.item() == pytest.approx(math.log(100), rel=1e-5)
    assert torch.autograd.grad(loss, prediction)[0].tolist() == [[[0, 0]]]


@pytest.mark.parametrize(
    "arguments", [{"lambda_": -0.1}, {"lambda_": 1.1}, {"lambda_": NAN}, {"alpha": 0}, {"alpha": NAN}]
)
def test_values_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SILog(NORM, **arguments)

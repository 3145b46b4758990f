"""What every depth loss promises, and the values of those that are one line long.

A new loss is one more line in `LOSSES`.
"""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.berhu import BerHu
from mtl_seg_depth.tasks.depth.losses.depth_loss import ResidualLoss, mean_over_images
from mtl_seg_depth.tasks.depth.losses.gradient_matching import GradientMatching
from mtl_seg_depth.tasks.depth.losses.huber import Huber
from mtl_seg_depth.tasks.depth.losses.l1 import L1
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.losses.silog import SILog
from mtl_seg_depth.tasks.depth.norms import Inverse, Log, MinMax, Standard
from mtl_seg_depth.tasks.semseg.class_balanced import ClassBalanced
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.hard_pixels import HardPixels

LOSSES = [L1, L2, BerHu, Huber, SILog, GradientMatching]
NORMS = [Standard, MinMax, Log, Inverse]

# With mean 20 and deviation 10, depths of 10, 20, 30, 40 m are -1, 0, 1, 2.
STATISTICS = DepthStatistics(mean=20, std=10, min=4, max=300)
NAN = math.nan
DEPTH = torch.tensor([[[10, 20], [NAN, 40]], [[30, NAN], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]])
PREDICTION = torch.tensor([[[-0.5, 1], [7, 0]], [[5, 9], [9, 9]], [[9, 9], [9, 9]]])
"""Residuals 0.5, 1 and -2 in the first image, 4 in the second, none in the third."""

every_loss = pytest.mark.parametrize("loss", LOSSES)
every_norm = pytest.mark.parametrize("norm", NORMS)


def random_batch(norm, images=2, side=6):
    """A prediction and its depths, a quarter of them not valid."""
    generator = torch.Generator().manual_seed(0)
    depth = 4 + 296 * torch.rand(images, side, side, generator=generator) ** 3
    depth[torch.rand(images, side, side, generator=generator) < 0.25] = NAN
    prediction = norm.encode(4 + 296 * torch.rand(images, side, side, generator=generator) ** 3)
    return prediction, depth


def gradient(loss, prediction, depth):
    prediction = prediction.clone().requires_grad_()
    return torch.autograd.grad(loss(prediction, depth), prediction)[0]


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (L1, ((0.5 + 1 + 2) / 3 + 4) / 2),
        (L2, ((0.25 + 1 + 4) / 3 + 16) / 2),
        # c = 0.2 * 4 = 0.8; beyond it (x^2 + 0.64) / 1.6: 1.64 / 1.6, 4.64 / 1.6, 16.64 / 1.6
        (BerHu, ((0.5 + 1.025 + 2.9) / 3 + 10.4) / 2),
        # x^2 / 2 up to 1, |x| - 1/2 beyond
        (Huber, ((0.125 + 0.5 + 1.5) / 3 + 3.5) / 2),
    ],
)
def test_by_hand_the_mean_of_each_image_and_then_of_the_images_with_a_valid_pixel(loss, value):
    assert loss(Standard(STATISTICS))(PREDICTION, DEPTH).item() == pytest.approx(value, rel=1e-6)


def test_mean_over_images_leaves_out_what_is_not_valid_and_images_without_a_valid_pixel():
    values = torch.tensor([[[1.0, 2.0]], [[6.0, 100.0]], [[100.0, 100.0]]])
    valid = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
    assert mean_over_images(values, valid).item() == (1.5 + 6) / 2
    assert mean_over_images(values, torch.zeros_like(valid)).item() == 0


@every_norm
@every_loss
def test_without_a_valid_pixel_loss_and_gradient_are_zero(loss, norm):
    loss, nothing = loss(norm(STATISTICS)), torch.full((2, 3, 3), NAN)
    prediction = torch.randn(2, 3, 3)
    assert loss(prediction, nothing).item() == 0
    assert gradient(loss, prediction, nothing).tolist() == torch.zeros(2, 3, 3).tolist()


@every_norm
@every_loss
def test_pixels_without_depth_change_neither_loss_nor_gradient(loss, norm):
    norm = norm(STATISTICS)
    loss = loss(norm)
    prediction, depth = random_batch(norm)
    invalid = depth.isnan()
    expected, slope = loss(prediction, depth), gradient(loss, prediction, depth)
    assert slope.isfinite().all()
    assert (slope[invalid] == 0).all()
    assert (slope[~invalid] != 0).any()
    for wild in (-1e30, -50.0, 50.0, 1e30, math.inf, NAN):
        changed = torch.where(invalid, wild, prediction)
        torch.testing.assert_close(loss(changed, depth), expected)
        torch.testing.assert_close(gradient(loss, changed, depth), slope)


@every_norm
@every_loss
def test_a_perfect_prediction_costs_nothing_and_has_a_finite_gradient(loss, norm):
    norm = norm(STATISTICS)
    _, depth = random_batch(norm)
    perfect = norm.encode(depth).nan_to_num(0)
    assert loss(norm)(perfect, depth).item() == pytest.approx(0, abs=2e-5)
    assert gradient(loss(norm), perfect, depth).isfinite().all()


@every_norm
@every_loss
def test_worse_predictions_cost_more(loss, norm):
    norm = norm(STATISTICS)
    _, depth = random_batch(norm)
    costs = []
    for wrong in (1.0, 1.02, 1.1, 1.5):
        ramp = torch.linspace(1 / wrong, wrong, depth.numel()).view_as(depth)  # not one scale, which SI-log forgives
        costs.append(loss(norm)(norm.encode(depth * ramp).nan_to_num(0), depth).item())
    assert costs == sorted(costs)
    assert costs[0] < costs[1] < costs[3]


@every_loss
def test_a_step_against_the_gradient_lowers_the_loss(loss):
    norm = Log(STATISTICS)
    prediction, depth = random_batch(norm)
    slope = gradient(loss(norm), prediction, depth)
    better = prediction - 1e-3 * slope / slope.norm()
    assert loss(norm)(better, depth) < loss(norm)(prediction, depth)


@every_loss
def test_losses_are_float32_whatever_the_network_computes_in(loss):
    prediction, depth = random_batch(Standard(STATISTICS))
    coarse = prediction.bfloat16()
    value = loss(Standard(STATISTICS))(coarse, depth)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(Standard(STATISTICS))(coarse.float(), depth))


def trace(loss, *inputs):
    """Run loss and gradient on tensors without values: shapes that hang on values, and `.item()`, raise."""
    with FakeTensorMode() as mode:
        prediction, target = (mode.from_tensor(tensor) for tensor in inputs)
        torch.autograd.grad(loss(prediction, target), prediction)


@every_norm
@every_loss
def test_shapes_do_not_hang_on_values_and_nothing_waits_for_the_device(loss, norm):
    prediction, depth = random_batch(norm(STATISTICS))
    trace(loss(norm(STATISTICS)), prediction.requires_grad_(), depth)


@pytest.mark.parametrize("loss", [CrossEntropy, ClassBalanced, HardPixels])
def test_those_of_labels_too(loss):
    trace(loss(), torch.randn(2, 19, 4, 4, requires_grad=True), torch.full((2, 4, 4), 255))


@pytest.mark.parametrize(
    "faulty",
    [
        lambda prediction, depth: (prediction - depth)[~depth.isnan()].mean(),
        lambda prediction, depth: prediction.mean() * (1.0 if depth.isnan().any().item() else 2.0),
        lambda prediction, depth: prediction.mean() / max(1, int((~depth.isnan()).sum())),
    ],
    ids=["boolean indexing", "item", "int"],
)
def test_the_tracer_sees_shapes_and_branches_that_hang_on_values(faulty):
    prediction, depth = random_batch(Standard(STATISTICS))
    with pytest.raises((DynamicOutputShapeException, DataDependentOutputException)):
        trace(faulty, prediction.requires_grad_(), depth)


def test_a_loss_without_a_penalty_says_so():
    with pytest.raises(NotImplementedError, match="ResidualLoss has no penalty"):
        ResidualLoss(Standard(STATISTICS))(PREDICTION, DEPTH)

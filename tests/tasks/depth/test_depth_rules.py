"""A data set's rules of how its depths are scored, by hand."""

import math
from typing import Any

import pytest
import torch
from helpers.facts import CPU, DEPTH_CODEC, STATISTICS
from torch import Tensor

from mtl_seg_depth.tasks.depth.codec import DepthRules, DepthSpec
from mtl_seg_depth.tasks.depth.meter import DEPTH_ERRORS, DepthErrors
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.task import Measured

NAN = math.nan
# Three images: two valid pixels, one valid pixel, none.
DEPTH = torch.tensor([[[10.0, 10.0, NAN]], [[5.0, NAN, NAN]], [[NAN, NAN, NAN]]])
PREDICTED = torch.tensor([[[20.0, 10.0, 7.0]], [[8.0, 7.0, 7.0]], [[7.0, 7.0, 7.0]]])


def errors(over_pixels: bool, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    sums = DepthErrors(CPU, over_pixels)
    for predicted, depth in batches:
        sums.update(predicted, depth)
    return sums.compute()


def measured(depth: Tensor, predicted: Tensor, detailed: bool = False, **rules: Any) -> Measured:
    meter = Depth(DepthSpec(DEPTH_CODEC, STATISTICS, DepthRules(**rules))).meter(CPU, detailed)
    meter.update(predicted, depth)
    return meter.compute()


def test_over_images_every_image_counts_alike() -> None:
    found = errors(False, [(PREDICTED, DEPTH)])
    assert found["mae"] == pytest.approx((5 + 3) / 2)
    assert found["rmse"] == pytest.approx((math.sqrt(50) + 3) / 2)
    assert found["abs_rel"] == pytest.approx((0.5 + 0.6) / 2)
    assert found["sq_rel"] == pytest.approx((5 + 1.8) / 2)
    assert found["log_mae"] == pytest.approx((math.log(2) / 2 + math.log(1.6)) / 2)
    assert found["log_rmse"] == pytest.approx((math.log(2) / math.sqrt(2) + math.log(1.6)) / 2)
    assert found["si_log"] == pytest.approx(100 * (math.log(2) / 2 + 0) / 2, rel=1e-5)
    assert (found["delta1"], found["delta2"], found["delta3"]) == pytest.approx((0.25, 0.25, 0.75))


def test_over_pixels_every_pixel_counts_alike() -> None:
    found = errors(True, [(PREDICTED, DEPTH)])
    logs = (math.log(2), 0.0, math.log(1.6))
    square = sum(log**2 for log in logs) / 3
    assert found["mae"] == pytest.approx((10 + 0 + 3) / 3)
    assert found["rmse"] == pytest.approx(math.sqrt((100 + 0 + 9) / 3))
    assert found["abs_rel"] == pytest.approx((1 + 0 + 0.6) / 3)
    assert found["sq_rel"] == pytest.approx((10 + 0 + 1.8) / 3)
    assert found["log_mae"] == pytest.approx(sum(logs) / 3)
    assert found["log_rmse"] == pytest.approx(math.sqrt(square))
    assert found["si_log"] == pytest.approx(100 * math.sqrt(square - (sum(logs) / 3) ** 2))
    assert found["inverse_mae"] == pytest.approx((0.05 + 0 + 0.075) / 3)
    assert found["inverse_rmse"] == pytest.approx(math.sqrt((0.05**2 + 0.075**2) / 3))
    assert (found["delta1"], found["delta2"], found["delta3"]) == pytest.approx((1 / 3, 1 / 3, 2 / 3))


@pytest.mark.parametrize("over_pixels", [False, True])
def test_errors_do_not_depend_on_how_images_come_in_batches(over_pixels: bool) -> None:
    one_by_one = [(PREDICTED[i : i + 1], DEPTH[i : i + 1]) for i in range(3)]
    assert errors(over_pixels, one_by_one) == pytest.approx(errors(over_pixels, [(PREDICTED, DEPTH)]))


def test_of_images_with_equally_many_pixels_plain_means_are_the_same_either_way() -> None:
    depth, predicted = 4 + 100 * torch.rand(3, 8, 8), 4 + 100 * torch.rand(3, 8, 8)
    images, pixels = (errors(over, [(predicted, depth)]) for over in (False, True))
    for name in ("mae", "abs_rel", "sq_rel", "log_mae", "inverse_mae", "delta1", "delta2", "delta3"):
        assert images[name] == pytest.approx(pixels[name])
    assert images["rmse"] < pixels["rmse"]


@pytest.mark.parametrize("over_pixels", [False, True])
def test_without_a_valid_pixel_no_error_exists(over_pixels: bool) -> None:
    found = errors(over_pixels, [(PREDICTED[2:], DEPTH[2:])])
    assert list(found) == list(DEPTH_ERRORS)
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("mean_over", ["images", "pixels"])
def test_the_task_measures_by_the_rules_of_its_data(mean_over: str) -> None:
    found = measured(DEPTH, PREDICTED, mean_over=mean_over)
    expected = errors(mean_over == "pixels", [(PREDICTED, DEPTH)])
    assert found.headline == expected["si_log"]
    assert found.details == {f"depth_errors/{name}": value for name, value in expected.items()}


def test_depths_beyond_the_cap_are_not_scored() -> None:
    depth = torch.tensor([[[10.0, 79.0, 80.0, 80.01, 200.0, NAN]]])
    predicted = torch.tensor([[[11.0, 78.0, 170.0, 1.0, 1.0, 1.0]]])  # a prediction beyond the cap counts as it is
    capped = measured(depth, predicted, detailed=True, cap=80.0)
    assert capped.details["depth_errors/mae"] == pytest.approx((1 + 1 + 90) / 3)
    assert capped.details == pytest.approx(
        measured(depth[..., :3], predicted[..., :3], detailed=True).details, nan_ok=True
    )
    assert capped.details["by_distance/80-up/pixels"] == pytest.approx(100 / 3)
    without = measured(depth, predicted)
    assert without.details["depth_errors/mae"] == pytest.approx((1 + 1 + 90 + 79.01 + 199) / 5)


def test_an_image_that_lies_beyond_the_cap_is_none() -> None:
    depth, predicted = torch.tensor([[[10.0]], [[100.0]]]), torch.tensor([[[12.0]], [[50.0]]])
    assert measured(depth, predicted, cap=50.0).details["depth_errors/mae"] == pytest.approx(2)
    assert math.isnan(measured(depth[1:], predicted[1:], cap=50.0).headline)

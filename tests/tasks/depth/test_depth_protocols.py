"""Depth evaluation by the rules of papers, against their formulas in NumPy's float64 and by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.facts import CPU, DEPTH_CODEC, STATISTICS
from helpers.guesses import random_depths
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from mtl_seg_depth.tasks.depth.codec import DepthRules, DepthSpec
from mtl_seg_depth.tasks.depth.meter import DISTANCES, scaled_by_medians
from mtl_seg_depth.tasks.depth.rules import CROPS, PROTOCOLS, RuleChoices, described, differences
from mtl_seg_depth.tasks.depth.task import Depth

NAN = math.nan
HEIGHT, WIDTH = 50, 70
Array = NDArray[Any]


def measured(prediction: Tensor, depth: Tensor, rules: DepthRules, parts: int = 1) -> dict[str, float]:
    """Every number that the task's own meter gives."""
    task = Depth(DepthSpec(DEPTH_CODEC, STATISTICS, rules))
    meter = task.meter(CPU, detailed=True)
    size = (depth.shape[1], depth.shape[2])
    for one, other in zip(prediction.chunk(parts), depth.chunk(parts), strict=True):
        meter.update(one, task.scored(other, size))
    return meter.compute().details


def pixels_of(prediction: Array, depth: Array, rules: DepthRules) -> tuple[Array, Array]:
    """What one image is scored by, float64: predicted and true depths, in the order of the field's scripts."""
    mask = ~np.isnan(depth)
    mask &= depth >= (rules.min or 0)
    mask &= depth <= (rules.cap or np.inf)
    if rules.crop is not None:
        top, bottom, left, right = rules.crop
        inside = np.zeros_like(mask)
        inside[int(top * HEIGHT) : int(bottom * HEIGHT), int(left * WIDTH) : int(right * WIDTH)] = True
        mask &= inside
    p, t = prediction[mask].astype(np.float64), depth[mask].astype(np.float64)
    if rules.median_scaling and len(t):
        p = p * np.median(t) / np.median(p)
    if rules.clamp:
        p = np.clip(p, rules.min, rules.cap)
    return p, t


def errors(p: Array, t: Array) -> dict[str, float]:
    """The formulas of Eigen et al. (2014) and of KITTI's benchmark."""
    logs, ratio = np.log(p) - np.log(t), np.maximum(p / t, t / p)
    return {
        "si_log": 100 * np.sqrt(np.mean(logs**2) - np.mean(logs) ** 2),
        "mae": np.mean(np.abs(p - t)),
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "sq_rel_kitti": np.mean(((p - t) / t) ** 2),
        "log_mae": np.mean(np.abs(logs)),
        "log_rmse": np.sqrt(np.mean(logs**2)),
        "inverse_mae": np.mean(np.abs(1 / p - 1 / t)),
        "inverse_rmse": np.sqrt(np.mean((1 / p - 1 / t) ** 2)),
        "inverse_abs_rel": np.mean(np.abs(1 / p - 1 / t) * t),
        **{f"delta{n}": np.mean(ratio < 1.25**n) for n in (1, 2, 3)},
    }


def reference(prediction: Tensor, depth: Tensor, rules: DepthRules) -> dict[str, float]:
    """What `measured` is to give."""
    images = [pixels_of(p, t, rules) for p, t in zip(prediction.numpy(), depth.numpy(), strict=True)]
    p, t = (np.concatenate(each) for each in zip(*images, strict=True))
    each = [errors(*image) for image in images if len(image[0])]
    found = errors(p, t) if rules.mean_over == "pixels" else {n: np.mean([e[n] for e in each]) for n in each[0]}
    found = {f"depth_errors/{name}": value for name, value in found.items()}
    for low, high in zip(DISTANCES, (*DISTANCES[1:], np.inf), strict=True):
        band = (t >= low) & (t < high)
        name = f"by_distance/{low:g}-{'up' if high == np.inf else f'{high:g}'}"
        found[f"{name}/pixels"] = 100 * band.mean()
        if band.any():
            of_band = errors(p[band], t[band])
            found |= {f"{name}/{key}": of_band[key] for key in ("mae", "rmse", "abs_rel", "delta1")}
    return found


def scene(near: float) -> tuple[Tensor, Tensor]:
    """Five images with depths from `near` metres, the last one of them without a depth."""
    prediction, depth = random_depths(images=5, side=max(HEIGHT, WIDTH), seed=3)
    prediction, depth = prediction[:, :HEIGHT, :WIDTH] * near / 4, depth[:, :HEIGHT, :WIDTH] * near / 4
    depth[4] = NAN
    depth[1, :, 20:] = NAN  # an image of few pixels
    return prediction, depth


RULES = {
    **PROTOCOLS,
    "garg over pixels": replace(PROTOCOLS["kitti_garg"], mean_over="pixels"),
    "scaled": DepthRules(median_scaling=True),
    "scaled, clamped": replace(PROTOCOLS["kitti_eigen"], median_scaling=True),
    "scaled over pixels": DepthRules(median_scaling=True, mean_over="pixels"),
    "between": DepthRules(min=5.0, cap=50.0, crop=(0.1, 0.9, 0.2, 0.7)),
}


@pytest.mark.parametrize("name", RULES)
def test_every_number_is_that_of_the_formulas_in_float64(name: str) -> None:
    prediction, depth = scene(near=0.5 if "nyu" in name else 4)
    rules = RULES[name]
    expected = reference(prediction, depth, rules)
    for parts in (1, 5):  # a batch of all, and batches of one
        found = measured(prediction, depth, rules, parts)
        found = {key: value for key, value in found.items() if not math.isnan(value)}
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    if name != "nyuv2_multitask":
        assert expected != pytest.approx(reference(prediction, depth, DepthRules(mean_over=rules.mean_over)), rel=1e-3)


@pytest.mark.parametrize(
    ("crop", "size", "rows", "columns"),
    [
        ("garg", (375, 1242), (153, 371), (44, 1197)),
        ("eigen", (375, 1242), (124, 342), (44, 1197)),
        ("nyuv2", (480, 640), (45, 471), (41, 601)),
        ("nyuv2", (240, 320), (22, 235), (20, 300)),
        ("nyuv2", (288, 384), (27, 282), (24, 360)),
    ],
)
def test_crops_are_those_of_the_papers_in_pixels_and_shrink_with_the_image(
    crop: str, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    assert DepthRules(crop=CROPS[crop]).window(*size) == (slice(*rows), slice(*columns))


def test_a_crop_is_of_the_whole_image_where_only_a_part_of_it_is_predicted() -> None:
    """Images are scored from their top left corner to multiples of 32 pixels."""
    task = Depth(DepthSpec(DEPTH_CODEC, STATISTICS, DepthRules(crop=(0.5, 1, 0, 0.5))))
    scored = task.scored(torch.ones(1, 32, 64), (40, 72))
    assert scored.nansum() == (32 - 20) * 36
    assert scored[0, 20:, :36].isfinite().all()


def test_the_ends_of_the_range_count() -> None:
    depth = torch.tensor([[[0.99, 1.0, 80.0, 80.01, NAN]]])
    predicted = torch.tensor([[[9.0, 2.0, 77.0, 9.0, 9.0]]])
    assert measured(predicted, depth, DepthRules(min=1, cap=80))["depth_errors/mae"] == pytest.approx((1 + 3) / 2)


def test_predictions_are_clamped_to_both_ends_and_only_where_the_rules_say_so() -> None:
    depth, predicted = torch.tensor([[[10.0, 70.0]]]), torch.tensor([[[1.0, 170.0]]])
    assert measured(predicted, depth, DepthRules(min=5, cap=80))["depth_errors/mae"] == (9 + 100) / 2
    assert measured(predicted, depth, DepthRules(min=5, cap=80, clamp=True))["depth_errors/mae"] == (5 + 10) / 2


@pytest.mark.parametrize("rules", [PROTOCOLS["cityscapes"], DepthRules(median_scaling=True)])
@pytest.mark.parametrize("wrong", [NAN, math.inf, -math.inf])
def test_no_rule_makes_a_prediction_right_that_is_not_finite(rules: DepthRules, wrong: float) -> None:
    found = measured(torch.tensor([[[10.0, 20.0, wrong]]]), torch.tensor([[[10.0, 20.0, 30.0]]]), rules)
    assert found["depth_errors/mae"] == math.inf
    assert found["depth_errors/delta1"] == pytest.approx(2 / 3)


def test_medians_by_hand() -> None:
    depth = torch.tensor([[[1.0, 2.0, 4.0, 8.0]], [[1.0, 2.0, 90.0, NAN]], [[NAN, NAN, NAN, NAN]]])
    predicted = torch.tensor([[[1.0, 1.0, 2.0, 9.0]], [[4.0, 1.0, 9.0, 500.0]], [[5.0, 5.0, 5.0, 5.0]]])
    ratio = torch.tensor([3.0 / 1.5, 2.0 / 4.0, 1.0])
    torch.testing.assert_close(scaled_by_medians(predicted, depth), predicted * ratio.view(3, 1, 1))


def test_a_scale_that_is_off_costs_nothing_where_medians_are_scaled() -> None:
    _, depth = scene(near=4)
    found = measured(depth.nan_to_num(9) / 7, depth, DepthRules(median_scaling=True))
    assert found["depth_errors/abs_rel"] == pytest.approx(0, abs=1e-6)


def test_what_is_asked_for_takes_the_place_of_given_rules() -> None:
    own = DepthRules(cap=50.0, mean_over="pixels")
    assert RuleChoices().applied(own) == own
    assert RuleChoices(cap="none", min=2).applied(own) == DepthRules(min=2, mean_over="pixels")
    assert RuleChoices(crop="garg", median_scaling=True).applied(own) == replace(
        own, crop=CROPS["garg"], median_scaling=True
    )
    assert RuleChoices(protocol="kitti_garg").applied(own) == PROTOCOLS["kitti_garg"]
    asked = RuleChoices(protocol="kitti_garg", crop="none", clamp=False)
    assert asked.applied(own) == DepthRules(min=1e-3, cap=80.0)


def test_a_protocol_can_be_asked_for_by_every_name() -> None:
    assert {name: RuleChoices.model_validate({"protocol": name}).applied(DepthRules()) for name in PROTOCOLS} == dict(
        PROTOCOLS
    )


@pytest.mark.parametrize(
    "wrong",
    [{"cap": 0}, {"cap": "far"}, {"cap": True}, {"cap": NAN}, {"crop": "grag"}, {"crop": [0, 1]}, {"protocol": "kiti"}],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuleChoices.model_validate(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min": 80.0, "cap": 10.0}, "0 <= min < cap"),
        ({"clamp": True}, "there is neither"),
        ({"crop": (0.5, 0.5, 0, 1)}, "top, bottom, left, right"),
        ({"crop": (0, 1, 0, 1.1)}, "top, bottom, left, right"),
    ],
)
def test_rules_that_leave_nothing_to_score_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DepthRules(**wrong)


def test_two_rules_are_never_called_the_same() -> None:
    own = DepthRules()
    assert differences(own, own) == []
    assert differences(PROTOCOLS["kitti_garg"], own) == ["min_0.001", "cap_80", "crop_garg", "clamped"]
    assert differences(own, PROTOCOLS["kitti_garg"]) == ["min_none", "cap_none", "crop_none", "unclamped"]
    assert differences(DepthRules(cap=80.00000001), own) != differences(DepthRules(cap=80), own)
    assert differences(DepthRules(crop=(0, 0.5, 0, 1)), own) == ["crop_0_0.5_0_1"]
    assert differences(DepthRules(median_scaling=True, mean_over="pixels"), own) == ["median_scaled", "over_pixels"]
    named = ["_".join(differences(rules, own)) for rules in RULES.values()]
    assert len(set(named)) == len(named)


def test_rules_are_said_in_words() -> None:
    assert described(PROTOCOLS["kitti_garg"]) == "0.001 m to 80 m; crop garg; predictions clamped; image by image"
    assert described(DepthRules(cap=5.5, median_scaling=True, mean_over="pixels")) == (
        "0 m to 5.5 m; predictions scaled by medians; over all pixels"
    )

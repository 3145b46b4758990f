import math

import numpy as np
import pytest
import torch
from helpers.facts import CPU
from helpers.guesses import random_depths

from mtl_seg_depth.tasks.depth.codec import DepthRules
from mtl_seg_depth.tasks.depth.meter import (
    DEPTH_ERRORS,
    DISTANCE_ERRORS,
    DepthErrors,
    DepthMeter,
    DistanceErrors,
    distance_names,
)

NAN = math.nan


def errors(prediction, depth, over_pixels=False):
    sums = DepthErrors(CPU, over_pixels)
    sums.update(prediction, depth)
    return sums.compute()


def reference(prediction, depth):
    """One image's errors in plain float64, from the definitions of the KITTI and Eigen benchmarks."""
    p, t = prediction.astype(np.float64), depth.astype(np.float64)
    p, t = p[~np.isnan(t)], t[~np.isnan(t)]
    d = np.log(np.maximum(t, 0.01)) - np.log(np.maximum(p, 0.01))
    ratio = np.maximum(p / t, t / p)
    return {
        "si_log": 100 * np.sqrt(np.mean(d**2) - np.mean(d) ** 2),
        "mae": np.mean(np.abs(p - t)),
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "log_mae": np.mean(np.abs(d)),
        "log_rmse": np.sqrt(np.mean(d**2)),
        "inverse_mae": np.mean(np.abs(1 / t - 1 / p)),
        "inverse_rmse": np.sqrt(np.mean((1 / t - 1 / p) ** 2)),
        "inverse_abs_rel": np.mean(np.abs(1 / t - 1 / p) * t),
        "delta1": np.mean(ratio < 1.25),
        "delta2": np.mean(ratio < 1.25**2),
        "delta3": np.mean(ratio < 1.25**3),
        "sq_rel_kitti": np.mean(((p - t) / t) ** 2),
    }


def test_every_error_agrees_with_a_float64_reference_image_by_image():
    prediction, depth = random_depths()
    each = [reference(p, t) for p, t in zip(prediction.numpy(), depth.numpy(), strict=True)]
    ours = errors(prediction, depth)
    assert tuple(ours) == tuple(each[0]) == DEPTH_ERRORS
    for name, value in ours.items():
        assert value == pytest.approx(np.mean([one[name] for one in each]), rel=1e-6), name


def test_by_hand():
    depth = torch.tensor([[[10.0, 20.0, NAN]], [[40.0, NAN, NAN]]])
    prediction = torch.tensor([[[20.0, 20.0, 7.0]], [[36.0, 7.0, 7.0]]])
    ours, ln2, ln9 = errors(prediction, depth), math.log(2), math.log(40 / 36)
    expected = {
        "si_log": 100 * (ln2 / 2 + 0) / 2,
        "mae": (5 + 4) / 2,
        "rmse": (math.sqrt(50) + 4) / 2,
        "abs_rel": (0.5 + 0.1) / 2,
        "sq_rel": (5 + 0.4) / 2,
        "log_mae": (ln2 / 2 + ln9) / 2,
        "log_rmse": (ln2 / math.sqrt(2) + ln9) / 2,
        "inverse_mae": (0.025 + 1 / 36 - 1 / 40) / 2,
        "inverse_rmse": (0.05 / math.sqrt(2) + 1 / 36 - 1 / 40) / 2,
        "inverse_abs_rel": (0.25 + 4 / 36) / 2,
        "delta1": (0.5 + 1) / 2,
        "delta2": (0.5 + 1) / 2,
        "delta3": (0.5 + 1) / 2,
        "sq_rel_kitti": (0.5 + 0.01) / 2,
    }
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize(
    ("factor", "within"),
    [
        (1.24, (1, 1, 1)),
        (1.26, (0, 1, 1)),
        (1.57, (0, 0, 1)),
        (1.96, (0, 0, 0)),
        (1 / 1.24, (1, 1, 1)),
        (1 / 1.26, (0, 1, 1)),
    ],
)
def test_delta_thresholds_by_hand(factor, within):
    ours = errors(torch.full((1, 1, 1), 50 * factor), torch.full((1, 1, 1), 50.0))
    assert (ours["delta1"], ours["delta2"], ours["delta3"]) == within


def test_images_without_a_valid_pixel_are_left_out():
    prediction, depth = random_depths()
    more = torch.cat([depth, torch.full_like(depth[:2], NAN)])
    assert errors(torch.cat([prediction, prediction[:2]]), more) == errors(prediction, depth)


def test_with_no_valid_pixel_at_all_the_errors_are_nan():
    assert all(math.isnan(value) for value in errors(torch.ones(1, 2, 2), torch.full((1, 2, 2), NAN)).values())


def test_what_is_predicted_where_there_is_no_depth_does_not_matter():
    prediction, depth = random_depths()
    for wild in (NAN, math.inf, 0.0, -1.0):
        assert errors(prediction.where(~depth.isnan(), wild), depth) == errors(prediction, depth)


@pytest.mark.parametrize("scale", [0.01, 0.5, 1.1, 3.0])
def test_si_log_forgives_a_scale(scale):
    prediction, depth = random_depths()
    once, scaled = errors(prediction, depth), errors(prediction * scale, depth)
    assert scaled["si_log"] == pytest.approx(once["si_log"], rel=1e-5)
    assert scaled["log_rmse"] != pytest.approx(once["log_rmse"], rel=1e-3)


@pytest.mark.parametrize("scale", [3.0, 20.0])
def test_si_log_is_exact_where_the_scale_is_far_off_and_the_rest_nearly_right(scale):
    prediction, depth = random_depths(images=1, side=10)
    prediction = depth.nan_to_num(5) * scale * torch.linspace(0.999, 1.001, 100).view(1, 10, 10)
    expected = reference(prediction[0].numpy(), depth[0].numpy())["si_log"]
    assert errors(prediction, depth)["si_log"] == pytest.approx(expected, rel=2e-4)


def test_a_perfect_prediction_has_no_error():
    _, depth = random_depths()
    ours = errors(depth.nan_to_num(5), depth)
    assert all(ours[name] == (1 if name.startswith("delta") else 0) for name in DEPTH_ERRORS)


def test_predictions_below_one_centimetre_count_as_one_centimetre_in_logarithms_and_quotients():
    ours = errors(torch.tensor([[[0.0]], [[-3.0]]]), torch.tensor([[[1.0]], [[1.0]]]))
    assert ours["log_mae"] == pytest.approx(math.log(100), rel=1e-6)
    assert ours["inverse_mae"] == pytest.approx(99, rel=1e-6)
    assert ours["mae"] == pytest.approx((1 + 4) / 2)


def test_bfloat16_predictions_are_scored_in_float32():
    prediction, depth = random_depths()
    assert errors(prediction.bfloat16(), depth) == errors(prediction.bfloat16().float(), depth)


def test_errors_by_distance_against_numpy() -> None:
    generator = np.random.default_rng(1)
    depth = generator.uniform(4, 120, (3, 11, 13)).astype(np.float32)
    depth.flat[:4] = 10, 20, 40, 80  # a band begins with its first metre
    predicted = (depth * generator.uniform(0.6, 1.6, depth.shape)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.2] = np.nan
    errors = DistanceErrors(CPU)
    for index in range(3):
        errors.update(torch.from_numpy(predicted[index : index + 1]), torch.from_numpy(depth[index : index + 1]))
    computed = errors.compute()
    assert list(computed) == distance_names() == ["0-10", "10-20", "20-40", "40-80", "80-up"]
    valid = ~np.isnan(depth)
    for (low, high), values in zip(
        [(0, 10), (10, 20), (20, 40), (40, 80), (80, np.inf)], computed.values(), strict=True
    ):
        inside = valid & (depth >= low) & (depth < high)
        d, p = depth[inside].astype(np.float64), predicted[inside].astype(np.float64)
        expected = {
            "mae": np.abs(p - d).mean(),
            "rmse": np.sqrt(((p - d) ** 2).mean()),
            "abs_rel": (np.abs(p - d) / d).mean(),
            "delta1": (np.maximum(p / d, d / p) < 1.25).mean(),
            "pixels": 100 * inside.sum() / valid.sum(),
        }
        assert values == pytest.approx(expected, rel=1e-5)


def test_a_band_without_a_pixel_has_no_errors() -> None:
    errors = DistanceErrors(CPU)
    errors.update(torch.full((1, 2, 2), 12.0), torch.full((1, 2, 2), 15.0))
    computed = errors.compute()
    assert computed["10-20"] == pytest.approx({"mae": 3, "rmse": 3, "abs_rel": 0.2, "delta1": 0, "pixels": 100})
    assert computed["0-10"]["pixels"] == 0
    assert np.isnan(computed["0-10"]["mae"])


def test_over_pixels_every_error_is_that_of_one_image_of_all_pixels():
    prediction, depth = random_depths()
    depth[0, :20] = NAN  # an image with few pixels counts as few
    ours = errors(prediction, depth, over_pixels=True)
    sums = DepthErrors(CPU, over_pixels=True)
    for part in (slice(0, 1), slice(1, 4)):
        sums.update(prediction[part], depth[part])
    assert sums.compute() == pytest.approx(ours, rel=1e-12)
    assert ours == pytest.approx(reference(prediction.numpy(), depth.numpy()), rel=1e-6)
    assert ours["mae"] != pytest.approx(errors(prediction, depth)["mae"], rel=1e-3)


def measured(prediction, depth, by_distance=False, **rules):
    meter = DepthMeter(CPU, DepthRules(**rules), by_distance)
    meter.update(prediction, depth)
    return meter.compute()


def test_a_meter_gives_every_error_and_by_distance_where_that_is_asked_for():
    prediction, depth = random_depths()
    plain, detailed = measured(prediction, depth), measured(prediction, depth, by_distance=True)
    own = errors(prediction, depth)
    assert plain.details == {f"depth_errors/{name}": value for name, value in own.items()}
    assert plain.headline == own["si_log"]
    bands = {f"by_distance/{band}/{name}" for band in distance_names() for name in DISTANCE_ERRORS}
    assert set(detailed.details) == set(plain.details) | bands
    assert detailed.headline == plain.headline


def test_rules_say_how_far_and_over_what_is_averaged():
    prediction, depth = random_depths()
    near = depth.where(depth <= 80, NAN)
    assert measured(prediction, depth, cap=80) == measured(prediction, near)
    over_pixels = measured(prediction, depth, mean_over="pixels")
    assert over_pixels.headline == errors(prediction, depth, over_pixels=True)["si_log"]
    banded = measured(prediction, depth, cap=80, by_distance=True)
    assert banded.details["by_distance/80-up/pixels"] == 0

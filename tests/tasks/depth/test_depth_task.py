import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.facts import CPU, DEPTH_SPEC, STATISTICS, depth_of_code
from helpers.guesses import random_depths

from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthRules, DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.depth.losses.l1 import L1
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.norms import Log, Standard
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.task import ViewGeometry

NAN = math.nan
NEAR = DepthSpec(DepthCodec(16, "metres", 0.5, 80.0), DepthStatistics(10.0, 5.0, 0.5, 80.0))


def test_one_channel_standardised_and_squared_unless_told_otherwise():
    task = Depth(DEPTH_SPEC)
    assert (task.name, task.channels, task.outside, task.noise_factor) == ("depth", 1, 0, 0.5)
    assert isinstance(task.norm, Standard)
    assert isinstance(task.criterion, L2)


def test_targets_are_the_metres_of_the_codes():
    codes = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    target = Depth(DEPTH_SPEC).target(codes)
    assert target.dtype == torch.float32
    np.testing.assert_array_equal(target, depth_of_code().reshape(1, 16, 16))
    wide = torch.tensor([[[0, 1, 65535]]])
    np.testing.assert_allclose(Depth(NEAR).target(wide), [[[NAN, 0.5, 80]]])


def test_a_camera_that_came_nearer_sees_nearer_depths_and_none_beyond_the_range():
    target = torch.tensor([[[8.0, 300.0, 7.0, NAN]], [[150.0, 4.0, 300.0, NAN]]])
    view = ViewGeometry(flip=torch.zeros(2), zoom=torch.tensor([2.0, 0.5]), tilt=None)
    expected = torch.tensor([[[4.0, 150.0, NAN, NAN]], [[300.0, 8.0, NAN, NAN]]])
    seen = Depth(DEPTH_SPEC).seen(target, view)
    torch.testing.assert_close(seen, expected, rtol=0, atol=0, equal_nan=True)
    unzoomed = Depth(DEPTH_SPEC).seen(target, ViewGeometry(flip=torch.zeros(2), zoom=None, tilt=None))
    assert unzoomed is target


def test_the_loss_and_the_prediction_read_the_one_channel():
    norm = Log(STATISTICS)
    task = Depth(DEPTH_SPEC, norm, L1(norm))
    prediction, depth = random_depths(images=2, side=8)
    raw = norm.encode(prediction).unsqueeze(1)
    torch.testing.assert_close(task.loss(raw, depth), L1(norm)(norm.encode(prediction), depth))
    torch.testing.assert_close(task.decode(raw), prediction)
    assert task.decode(raw * 100).max() == 300


def test_the_settings_say_normalisation_and_loss():
    settings = {
        "depth_norm": {"_target_": "mtl_seg_depth.tasks.depth.Log"},
        "loss": {"_target_": "mtl_seg_depth.losses.L1"},
    }
    task = Depth.configured(DEPTH_SPEC, settings)
    assert isinstance(task.norm, Log)
    assert isinstance(task.criterion, L1)
    assert task.criterion.depth_norm is task.norm
    assert task.norm.statistics is STATISTICS


def test_the_data_s_rules_are_those_of_the_meter():
    capped = Depth(DepthSpec(NEAR.codec, NEAR.statistics, DepthRules(cap=20.0, mean_over="pixels")))
    prediction, depth = torch.full((1, 1, 3), 10.0), torch.tensor([[[10.0, 20.0, 80.0]]])
    meter = capped.meter(CPU)
    meter.update(prediction, depth)
    assert meter.compute().details["depth_errors/mae"] == 5


@pytest.mark.parametrize(("spec", "code"), [(DEPTH_SPEC, 255), (NEAR, 1)])
def test_the_mean_depth_is_the_best_guess(spec, code):
    codes = np.zeros((2, 10, 12), np.uint8 if spec.codec.bits == 8 else np.uint16)
    codes[1, 3, :7] = code
    assert Depth(spec).constant(codes).item() == pytest.approx(spec.codec.nearest)
    assert Depth(spec).constant(codes * 0) == 0


@pytest.mark.parametrize(
    ("spec", "ends", "some"), [(DEPTH_SPEC, (4, 300), {10, 40, 100}), (NEAR, (0.8, 80), {1, 10, 20})]
)
def test_a_scale_has_two_decades_at_most_and_round_ticks_apart(spec, ends, some):
    task = Depth(spec)
    ticks = task.tick_metres()
    assert task.shown_range == pytest.approx(ends)
    assert (ticks[0], ticks[-1]) == pytest.approx(ends)
    assert ticks == sorted(set(ticks))
    assert some <= set(ticks)
    assert all(far / near > 1.19 for near, far in pairwise(ticks))


def test_views_are_the_geometric_mean_of_their_depths_without_their_zooms():
    task = Depth(DEPTH_SPEC)
    pool = task.pool((2, 3))
    for metres, zoom in ((10.0, 1.0), (20.0, 2.0)):
        pool.add(task.norm.encode(torch.full((1, 1, 4, 6), metres)), zoom, mirrored=False)
    torch.testing.assert_close(pool.result(), torch.full((1, 2, 3), 20.0))


def test_between_a_near_and_a_far_thing_no_depth_is_made_up_where_an_image_is_enlarged():
    depth = torch.full((1, 6, 8), 5.0)
    depth[:, :, 4:] = 80
    large = Depth(DEPTH_SPEC).enlarged(depth, (60, 80))
    torch.testing.assert_close(large.unique(), torch.tensor([5.0, 80.0]))
    assert (large[:, :, :40] < 6).all()
    assert (large[:, :, 40:] > 79).all()


def test_a_surface_has_no_stairs_where_an_image_is_enlarged():
    depth = torch.logspace(1, 1.2, 8).expand(1, 6, 8)
    large = Depth(DEPTH_SPEC).enlarged(depth, (60, 80))
    across = large[0, 0, 5:-5]
    assert (across.diff() > 0).all()
    assert (across.diff() / across[1:] < 0.01).all()
    assert Depth(DEPTH_SPEC).enlarged(depth, (3, 4)).shape == (1, 3, 4)

import numpy as np
import pytest
import torch
from helpers.facts import depth_of_code, tasks
from helpers.tiny_split import split_of, tiny_split

from mtl_seg_depth.scoring.baseline import SAMPLE, Constant


def test_the_most_frequent_class_and_the_mean_depth_everywhere():
    rgb = np.zeros((2, 32, 32, 3), np.uint8)
    semseg = np.full((2, 32, 32), 255, np.uint8)
    semseg[0, 0, :5], semseg[1, 0, :6] = 3, 11  # most pixels are ignored
    depth = np.zeros((2, 32, 32), np.uint8)
    depth[0, 0, :3], depth[1, 0, :1] = 255, 1  # three pixels at 4 m and one at 300 m
    prediction = Constant(split_of(rgb, semseg, depth), tasks())(torch.zeros(5, 3, 7, 9))
    assert torch.equal(prediction["semseg"], torch.full((5, 7, 9), 11))
    torch.testing.assert_close(prediction["depth"], torch.full((5, 7, 9), (3 * 4 + 300) / 4))


def test_values_agree_with_the_arrays():
    split = tiny_split()
    values = Constant(split, tasks()).values
    assert values["semseg"] == np.bincount(split.targets["semseg"][split.targets["semseg"] < 19]).argmax()
    assert values["depth"] == pytest.approx(
        depth_of_code()[split.targets["depth"][split.targets["depth"] > 0]].mean(dtype=np.float64)
    )


def test_only_the_tasks_asked_for_are_predicted():
    assert list(Constant(tiny_split(), tasks("depth"))(torch.zeros(1, 3, 2, 2))) == ["depth"]


def test_large_splits_are_sampled_evenly():
    count = 2 * SAMPLE + 1
    depth = np.ones((count, 1, 1), np.uint8)
    depth[::3] = 255  # every third image is counted
    split = split_of(np.zeros((count, 1, 1, 3), np.uint8), depth * 0, depth)
    assert Constant(split, tasks("depth")).values["depth"] == 4


def test_a_split_without_any_depth_does_not_fail():
    split = split_of(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint8))
    assert Constant(split, tasks("depth")).values["depth"] == 0

import dataclasses

import numpy as np
import pytest
import torch
from helpers.facts import CPU, tasks

from mtl_seg_depth.config import CROSS_ENTROPY
from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.pools import Probabilities, Votes
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import ViewGeometry

THREE = Classes(("grass", "rock", "snow"), ((0, 255, 0), (99, 99, 99), (255, 255, 255)), ignore_index=7)


def test_labels_have_the_colours_of_cityscapes_and_ignored_ones_are_black():
    coloured = tasks()["semseg"].paint(np.array([[0, 10, 13], [18, 255, 11]]))
    assert coloured.dtype == np.uint8
    assert coloured.tolist() == [
        [[128, 64, 128], [70, 130, 180], [0, 0, 142]],
        [[119, 11, 32], [0, 0, 0], [220, 20, 60]],
    ]


def test_channels_and_what_is_outside_are_the_classes():
    task = Semseg(THREE)
    assert (task.name, task.channels, task.outside, task.noise_factor) == ("semseg", 3, 7, 1.0)


def test_targets_are_the_stored_ids_and_follow_no_zoom():
    codes = torch.tensor([[[0, 2, 7]]], dtype=torch.uint8)
    target = Semseg(THREE).target(codes)
    assert target.dtype == torch.int64
    assert target.tolist() == codes.tolist()
    view = ViewGeometry(flip=torch.ones(1), zoom=torch.tensor([2.0]), tilt=None)
    assert Semseg(THREE).seen(target, view).equal(target)


def test_the_loss_leaves_out_the_data_s_own_ignored_id():
    task, raw = Semseg(THREE), torch.randn(1, 3, 1, 2)
    first = torch.nn.functional.cross_entropy(raw[..., :1], torch.tensor([[[1]]]))
    torch.testing.assert_close(task.loss(raw, torch.tensor([[[1, 7]]])), first)


def test_the_likeliest_class_is_predicted():
    raw = torch.tensor([0.5, 2.0, 1.0]).view(1, 3, 1, 1)
    assert Semseg(THREE).decode(raw).tolist() == [[[1]]]


def test_the_most_frequent_class_is_the_best_guess_and_ignored_pixels_do_not_count():
    codes = np.repeat(np.array([0, 2, 7, 255], np.uint8), [3, 5, 100, 200]).reshape(1, 4, -1)
    assert Semseg(THREE).constant(codes) == 2


def test_the_settings_say_how_absent_classes_count():
    for absent in ("exclude", "zero"):
        task = Semseg.configured(THREE, {"validation": {"absent_classes": absent}, "semseg_loss": CROSS_ENTROPY})
        assert task.absent == task.meter(CPU).absent == absent


def test_views_are_brought_together_by_probability_or_by_vote():
    assert isinstance(Semseg(THREE).pool((4, 4)), Probabilities)
    assert isinstance(Semseg(THREE).pool((4, 4), "probabilities"), Probabilities)
    assert isinstance(Semseg(THREE).pool((4, 4), "votes"), Votes)


def test_other_classes_or_another_order_do_not_fit():
    assert Semseg(CITYSCAPES).misfit(CITYSCAPES) is None
    recoloured = dataclasses.replace(THREE, colours=tuple(reversed(THREE.colours)))
    assert Semseg(THREE).misfit(recoloured) is None
    turned = dataclasses.replace(THREE, names=("snow", "rock", "grass"))
    assert "grass, rock, snow apart, and the data have snow, rock, grass" in (Semseg(THREE).misfit(turned) or "")
    assert Semseg(THREE).misfit(CITYSCAPES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("one",), "colours": ((0, 0, 0),)}, "two or more"),
        ({"names": ("a", "b", "b")}, "a name and a colour of its own"),
        ({"names": ("a", "b")}, "a name and a colour of its own"),
        ({"ignore_index": 2}, r"ignore_index is within 3\.\.255, not 2"),
        ({"ignore_index": 256}, r"ignore_index is within 3\.\.255, not 256"),
    ],
)
def test_classes_that_cannot_be_stored_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(THREE, **change)

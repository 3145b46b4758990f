import math

import pytest
import torch
from torch.nn import functional as F

from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy


def random_batch():
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(19, (2, 5, 6), generator=generator)
    labels[torch.rand(2, 5, 6, generator=generator) < 0.3] = 255
    return 4 * torch.randn(2, 19, 5, 6, generator=generator), labels


def test_by_hand_the_mean_over_all_labelled_pixels_of_the_batch():
    # Two classes. Logits ln 3 apart: the right class has 3/4 or 1/4. The second image has one pixel, the first three.
    logits = torch.zeros(2, 2, 2, 2)
    logits[:, 1] = math.log(3)
    labels = torch.tensor([[[1, 1], [0, 255]], [[0, 255], [255, 255]]])
    expected = (2 * math.log(4 / 3) + 2 * math.log(4)) / 4
    assert CrossEntropy()(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_equals_torch_in_value_and_gradient_where_something_is_labelled():
    logits, labels = random_batch()
    logits.requires_grad_()
    ours, theirs = CrossEntropy()(logits, labels), F.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


def test_with_everything_ignored_loss_and_gradient_are_zero():
    logits = torch.randn(2, 19, 3, 3, requires_grad=True)
    loss = CrossEntropy()(logits, torch.full((2, 3, 3), 255))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, logits)[0].abs().max() == 0


def test_ignored_pixels_have_no_gradient():
    logits, labels = random_batch()
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(CrossEntropy()(logits, labels), logits)
    unmoved = (slope == 0).all(dim=1)
    assert torch.equal(unmoved, labels == 255)


def test_surer_of_the_right_class_is_cheaper():
    labels = torch.tensor([[[3]]])
    costs = []
    for height in (-5.0, 0.0, 1.0, 5.0, 50.0):
        logits = torch.zeros(1, 19, 1, 1)
        logits[0, 3] = height
        costs.append(CrossEntropy()(logits, labels).item())
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 5


def test_bfloat16_logits_give_a_float32_loss():
    logits, labels = random_batch()
    loss = CrossEntropy()(logits.bfloat16(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, CrossEntropy()(logits.bfloat16().float(), labels))


def test_another_label_can_be_the_ignored_one():
    logits, labels = random_batch()
    expected = F.cross_entropy(logits, labels.where(labels != 255, 4), ignore_index=4)
    torch.testing.assert_close(CrossEntropy(ignore_index=4)(logits, labels.where(labels != 255, 4)), expected)

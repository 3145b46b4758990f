"""Losses that weigh pixels by their class, or choose the hard ones."""

import math

import pytest
import torch
from torch import Tensor

from mtl_seg_depth.tasks.semseg.class_balanced import ClassBalanced
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.hard_pixels import HardPixels

BOTH = pytest.mark.parametrize("loss", [ClassBalanced(), HardPixels()])


def of_probabilities(right: list[float], labels: list[int]) -> tuple[Tensor, Tensor]:
    """Logits [1, 2, 1, n] that give the right class of each pixel this probability; 255 stays ignored."""
    chance = torch.tensor(right)
    own = torch.tensor([0 if label == 255 else label for label in labels])
    first = torch.where(own == 0, chance, 1 - chance)
    return torch.stack([first, 1 - first]).log().view(1, 2, 1, -1), torch.tensor(labels).view(1, 1, -1)


def random_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(19, (2, 5, 6), generator=generator) ** 2 // 19
    labels[torch.rand(2, 5, 6, generator=generator) < 0.3] = 255
    return 4 * torch.randn(2, 19, 5, 6, generator=generator), labels


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0, (3 * math.log(2) + math.log(4)) / 4),  # every pixel alike
        (1, (math.log(2) + math.log(4)) / 2),  # every class alike
        (0.5, (3**0.5 * math.log(2) + math.log(4)) / (3**0.5 + 1)),
    ],
)
def test_by_hand_classes_are_weighted_by_a_power_of_their_pixels(power: float, expected: float) -> None:
    logits, labels = of_probabilities([0.5, 0.5, 0.5, 0.25, 0.1], [0, 0, 0, 1, 255])
    assert ClassBalanced(power=power)(logits, labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("share", "right", "expected"),
    [
        (0.25, [0.9, 0.8, 0.5, 0.25], (math.log(2) + math.log(4)) / 2),  # two below 0.7
        (0.75, [0.9, 0.8, 0.5, 0.25], (math.log(1 / 0.8) + math.log(2) + math.log(4)) / 3),  # three at least
        (0.25, [0.9, 0.8, 0.95, 0.99], math.log(1 / 0.8)),  # the hardest one, though it is easy
        (1.0, [0.9, 0.8, 0.5, 0.25], (math.log(1 / 0.9) + math.log(1 / 0.8) + math.log(2) + math.log(4)) / 4),
    ],
)
def test_by_hand_hard_pixels_count_and_never_too_few(share: float, right: list[float], expected: float) -> None:
    logits, labels = of_probabilities([*right, 0.01], [0, 1, 0, 1, 255])
    assert HardPixels(threshold=0.7, share=share)(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_at_their_ends_both_are_plain_cross_entropy() -> None:
    logits, labels = random_batch()
    plain = CrossEntropy()(logits, labels)
    for loss in (ClassBalanced(power=0), HardPixels(share=1), HardPixels(threshold=1)):
        torch.testing.assert_close(loss(logits, labels), plain)


def test_rare_classes_and_hard_pixels_get_more_of_the_gradient() -> None:
    logits, labels = of_probabilities([0.6] * 8 + [0.6], [0] * 8 + [1])
    logits.requires_grad_()
    plain, balanced = (
        torch.autograd.grad(loss(logits, labels), logits)[0].abs().sum(dim=(0, 1, 2))
        for loss in (CrossEntropy(), ClassBalanced())
    )
    assert balanced[-1] / balanced[0] == pytest.approx(8**0.5, rel=1e-4)
    assert plain[-1] / plain[0] == pytest.approx(1, rel=1e-4)
    logits, labels = of_probabilities([0.9, 0.3], [0, 0])
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(HardPixels()(logits, labels), logits)
    assert slope[..., 0].abs().max() == 0
    assert slope[..., 1].abs().max() > 0


@BOTH
def test_ignored_pixels_change_nothing_and_all_of_them_give_zero(loss: CrossEntropy) -> None:
    logits, labels = random_batch()
    ignored = (labels == 255).unsqueeze(1)
    wild = torch.where(ignored, 1e4, logits)
    assert loss(wild, labels).equal(loss(logits, labels))
    logits.requires_grad_()
    nothing = loss(logits, torch.full_like(labels, 255))
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0


@BOTH
def test_surer_of_the_right_class_is_cheaper(loss: CrossEntropy) -> None:
    costs = [loss(*of_probabilities([right, right], [0, 1])).item() for right in (0.01, 0.3, 0.6, 0.8, 0.99)]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 5


@BOTH
def test_bfloat16_logits_give_a_float32_loss(loss: CrossEntropy) -> None:
    logits, labels = random_batch()
    assert loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize(
    "make", [lambda: ClassBalanced(power=2), lambda: HardPixels(threshold=0), lambda: HardPixels(share=0)]
)
def test_what_makes_no_sense_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"power|threshold|share"):
        make()

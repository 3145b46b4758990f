"""Resizing by two matrix products, against torch's own operator."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.models.blocks import upsample

SIZES = [
    ((16, 16), (64, 64)),
    ((8, 20), (32, 80)),
    ((5, 7), (13, 31)),
    ((4, 4), (4, 4)),
    ((1, 1), (8, 8)),
    ((9, 6), (3, 4)),
]


def reference(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("small", "size"), SIZES)
@pytest.mark.parametrize("channels", [1, 19, 256])
def test_values_and_gradients_are_those_of_torch(channels: int, small: tuple[int, int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = torch.randn(2, channels, *small).contiguous(memory_format=torch.channels_last).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.randn(2, channels, *size)
    one, other = upsample(ours, size), reference(theirs, size)
    torch.testing.assert_close(one, other, rtol=0, atol=2e-6)
    (one * weights).sum().backward()
    (other * weights).sum().backward()
    assert ours.grad is not None
    scale = (size[0] * size[1]) / (small[0] * small[1])
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=4e-6 * max(1, scale))


def test_in_bfloat16_it_is_as_exact_as_the_format() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 20, 16, 16)
    ours, exact = upsample(features.bfloat16(), (64, 64)), reference(features, (64, 64))
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), exact, rtol=2**-7, atol=2**-6)


def test_the_result_is_channels_last() -> None:
    assert upsample(torch.rand(2, 20, 4, 4), (16, 16)).is_contiguous(memory_format=torch.channels_last)


def test_training_after_a_validation_in_inference_mode() -> None:
    features = torch.rand(1, 2, 3, 3, requires_grad=True)
    with torch.inference_mode():
        upsample(features, (7, 11))
    upsample(features, (7, 11)).sum().backward()
    assert features.grad is not None

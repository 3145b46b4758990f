"""Random labels and depths, and predictions that are right most of the time."""

import math

import torch
from torch import Tensor


def random_labels(images: int = 3, side: int = 40, ignored: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predictions that are right three times out of four, and labels of 19 classes with ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(19, (images, side, side), generator=generator)
    guess = torch.randint(19, labels.shape, generator=generator)
    prediction = torch.where(torch.rand(labels.shape, generator=generator) < 0.75, labels, guess)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return prediction, labels


def random_depths(images: int = 4, side: int = 30, invalid: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predictions within a factor of about 1.3, and depths of 4 to 300 m with pixels that have none."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, side, side)
    depth = 4 + 296 * torch.rand(shape, generator=generator) ** 2
    prediction = (depth * torch.exp(0.3 * torch.randn(shape, generator=generator))).clamp(4, 300)
    depth[torch.rand(shape, generator=generator) < invalid] = math.nan
    return prediction, depth

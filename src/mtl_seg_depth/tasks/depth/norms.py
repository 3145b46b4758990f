"""Depth normalisations: what a network predicts instead of metres. Every one has an exact inverse."""

import math

import torch
from torch import Tensor

from mtl_seg_depth.system import installation
from mtl_seg_depth.tasks.depth.codec import DepthStatistics


class DepthNorm:
    """Base: maps metres to what the network predicts and back, any shape.

    `decode(encode(depth)) == depth` to rounding on [min, max]. A subclass implements `encode` and `decode`.
    """

    def __init__(self, statistics: DepthStatistics) -> None:
        self.statistics = statistics

    def encode(self, depth: Tensor) -> Tensor:
        """Normalised depth from metres."""
        raise NotImplementedError(f"{type(self).__name__} has no encode()")

    def decode(self, normalised: Tensor) -> Tensor:
        """Metres from normalised depth, not limited to the valid range."""
        raise NotImplementedError(f"{type(self).__name__} has no decode()")

    def limited(self, metres: Tensor) -> Tensor:
        """Metres within the valid range."""
        return metres.clamp(self.statistics.min, self.statistics.max)

    def to_metres(self, normalised: Tensor) -> Tensor:
        """Metres within the valid range: the depth that is scored and shown."""
        return self.limited(self.decode(normalised.float()))


class Standard(DepthNorm):
    """Zero mean and unit deviation: `(d - mean) / std`."""

    def __init__(self, statistics: DepthStatistics) -> None:
        super().__init__(statistics)
        if statistics.mean is None or statistics.std is None:
            raise ValueError(
                "standard depth needs data.depth_mean and data.depth_std, which "
                f"`{installation.command('check_data')} data=...` measures; depth_norm=log and depth_norm=inverse need "
                "neither"
            )
        self.mean, self.std = statistics.mean, statistics.std

    def encode(self, depth: Tensor) -> Tensor:
        """Deviations from the mean."""
        return (depth - self.mean) / self.std

    def decode(self, normalised: Tensor) -> Tensor:
        """Metres from deviations."""
        return normalised * self.std + self.mean


class MinMax(DepthNorm):
    """The valid range as 0..1: `(d - min) / (max - min)`."""

    def encode(self, depth: Tensor) -> Tensor:
        """Share of the range."""
        return (depth - self.statistics.min) / (self.statistics.max - self.statistics.min)

    def decode(self, normalised: Tensor) -> Tensor:
        """Metres from a share of the range."""
        return normalised * (self.statistics.max - self.statistics.min) + self.statistics.min


class Log(DepthNorm):
    """The valid range as 0..1 on a logarithmic scale: `ln(d - min + 1) / ln(max - min + 1)`."""

    def __init__(self, statistics: DepthStatistics) -> None:
        super().__init__(statistics)
        self.scale = math.log(statistics.max - statistics.min + 1)

    def encode(self, depth: Tensor) -> Tensor:
        """Share of the logarithmic range."""
        return torch.log(depth - self.statistics.min + 1) / self.scale

    def decode(self, normalised: Tensor) -> Tensor:
        """Metres from a share of the logarithmic range."""
        return torch.exp(normalised * self.scale) + self.statistics.min - 1


class Inverse(DepthNorm):
    """Disparity as 0..1: `(1/d - 1/max) / (1/min - 1/max)`, the scale on which stereo errors are even.

    Beyond either end of 0..1 `decode` stays at that end: a disparity of zero or less has no depth.
    """

    def __init__(self, statistics: DepthStatistics) -> None:
        super().__init__(statistics)
        self.far = 1 / statistics.max
        self.near = 1 / statistics.min

    def encode(self, depth: Tensor) -> Tensor:
        """Share of the disparity range."""
        return (1 / depth - self.far) / (self.near - self.far)

    def decode(self, normalised: Tensor) -> Tensor:
        """Metres from a share of the disparity range."""
        return 1 / (normalised * (self.near - self.far) + self.far).clamp(self.far, self.near)

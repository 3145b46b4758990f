"""Atrous spatial pyramid pooling, and the plain projection that stands in its place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.blocks import conv_bn_relu

MOST_RATES = 32


class ASPP(nn.Module):
    """Context at several scales, [B, in_channels, h, w] -> [B, out_channels, h, w].

    A 1x1 convolution, one 3x3 for each atrous rate and image pooling in parallel, concatenated and projected by a
    1x1; every convolution without bias, followed by BatchNorm and ReLU. Any number of rates.

    Source: Chen et al., Rethinking Atrous Convolution, 2017, section 3.3; the report's section 1.3 has rates 3, 6, 9.
    """

    def __init__(self, in_channels: int, atrous_rates: Sequence[int] = (3, 6, 9), out_channels: int = 256) -> None:
        super().__init__()
        if not 1 <= len(atrous_rates) <= MOST_RATES or min(atrous_rates) < 1:
            shown = list(atrous_rates[:MOST_RATES])
            raise ValueError(f"atrous_rates takes whole numbers from 1, one to {MOST_RATES} of them; not {shown}")
        self.out_channels = out_channels
        self.branches = nn.ModuleList(
            [
                conv_bn_relu(in_channels, out_channels, 1),
                *(conv_bn_relu(in_channels, out_channels, 3, dilation=rate) for rate in atrous_rates),
            ]
        )
        # To one value: a mean, which a GPU differentiates in one order; to more it would add up in any.
        self.image_pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(in_channels, out_channels, 1))
        self.project = conv_bn_relu((len(atrous_rates) + 2) * out_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Pyramid of features [B, in_channels, h, w]."""
        pooled = self.image_pooling(features).expand(-1, -1, *features.shape[-2:])
        pyramid = [branch(features) for branch in self.branches]
        projected: Tensor = self.project(torch.cat([*pyramid, pooled], dim=1))
        return projected


class Projection(nn.Module):
    """The bottleneck without a pyramid: one 1x1 convolution to `out_channels`, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int = 256) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.project = conv_bn_relu(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Project features [B, in_channels, h, w]."""
        projected: Tensor = self.project(features)
        return projected

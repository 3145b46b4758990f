"""Decoders: bring the bottleneck to stride 4, sharpen it there or on the way, and predict."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.blocks import conv_bn_relu, upsample
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation


class Decoder(nn.Module):
    """Bottleneck [B, in_channels, h, w] and fine features [B, skip_channels, H/4, W/4] -> features and prediction.

    With `skip_channels`, the fine features go through a 1x1 to 48 channels, meet the upsampled bottleneck, and two
    3x3 convolutions follow (Chen et al., DeepLabv3+, ECCV 2018, section 3). Without, the bottleneck is only upsampled
    and predicted from: the report's baseline. `forward` returns ([B, out_channels, H/4, W/4] features,
    [B, outputs, H/4, W/4] prediction), both at the resolution of the fine features.
    """

    SKIP_CHANNELS = 48

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        skip_channels: int | None,
        se: bool = False,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        self.reduce: nn.Module | None = None
        self.refine: nn.Module = nn.Identity()
        self.out_channels = in_channels
        if skip_channels is not None:
            self.reduce = conv_bn_relu(skip_channels, self.SKIP_CHANNELS, 1)
            self.refine = nn.Sequential(
                conv_bn_relu(in_channels + self.SKIP_CHANNELS, out_channels, 3),
                conv_bn_relu(out_channels, out_channels, 3),
            )
            self.out_channels = out_channels
        self.attention = SqueezeExcitation(self.out_channels) if se else nn.Identity()
        self.predict = nn.Conv2d(self.out_channels, outputs, 1)

    def forward(self, bottleneck: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features and prediction at the resolution of the first of `skips`, the fine features; it takes no others."""
        fine = skips[0]
        features = upsample(bottleneck, (fine.shape[-2], fine.shape[-1]))
        if self.reduce is not None:
            features = torch.cat([features, self.reduce(fine)], dim=1)
        features = self.attention(self.refine(features))
        return features, self.predict(features)


class PyramidDecoder(nn.Module):
    """Bottleneck [B, in_channels, h, w] and features of all scales, the finest first -> features and prediction.

    From the coarsest feature to the finest, what is known so far is resized to it, meets it after a 1x1 to 48 channels,
    and goes through a 3x3 convolution; two at the finest. It returns what `Decoder` does.

    Source: Ronneberger et al., U-Net, 2015, for skips from all scales; the widths are DeepLabv3+'s, as in `Decoder`.
    """

    SKIP_CHANNELS = Decoder.SKIP_CHANNELS

    def __init__(
        self, in_channels: int, outputs: int, skip_channels: Sequence[int], se: bool = False, out_channels: int = 256
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.reduce = nn.ModuleList(conv_bn_relu(channels, self.SKIP_CHANNELS, 1) for channels in skip_channels)
        inputs = [*(out_channels for _ in skip_channels[1:]), in_channels]
        self.merge = nn.ModuleList(conv_bn_relu(width + self.SKIP_CHANNELS, out_channels, 3) for width in inputs)
        self.refine = conv_bn_relu(out_channels, out_channels, 3)
        self.attention = SqueezeExcitation(out_channels) if se else nn.Identity()
        self.predict = nn.Conv2d(out_channels, outputs, 1)

    def forward(self, bottleneck: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features and prediction at the resolution of the first of `skips`."""
        features = bottleneck
        for skip, reduce, merge in reversed(list(zip(skips, self.reduce, self.merge, strict=True))):
            features = upsample(features, (skip.shape[-2], skip.shape[-1]))
            features = merge(torch.cat([features, reduce(skip)], dim=1))
        features = self.attention(self.refine(features))
        return features, self.predict(features)

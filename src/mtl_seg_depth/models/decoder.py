"""Decoders: bring the bottleneck to stride 4, sharpen it there, and predict."""

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

    def forward(self, bottleneck: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Features and prediction at the resolution of `fine`."""
        features = upsample(bottleneck, (fine.shape[-2], fine.shape[-1]))
        if self.reduce is not None:
            features = torch.cat([features, self.reduce(fine)], dim=1)
        features = self.attention(self.refine(features))
        return features, self.predict(features)

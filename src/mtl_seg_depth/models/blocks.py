"""The small pieces that encoder, ASPP and decoder share."""

from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias, BatchNorm and ReLU, [B, in, H, W] -> [B, out, H, W], padded to keep H and W."""
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def upsample(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of [B, C, h, w] to [B, C, *size]; pixel areas, not pixel centres, are aligned."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)

"""The small pieces that encoder, ASPP and decoder share."""

import functools

import torch
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
    """Bilinear resize of [B, C, h, w] to [B, C, *size]; pixel areas, not pixel centres, are aligned.

    The result is channels last in memory. Resizing is linear in rows and in columns, so it is a product with a matrix
    for each: the same numbers to rounding as torch's own operator, with a backward pass that is many times faster on a
    CPU and always the same on a GPU. Exported networks keep the operator, which every runtime knows.
    """
    if torch.compiler.is_compiling() or type(features) is not Tensor:
        return F.interpolate(features, size=size, mode="bilinear", align_corners=False)
    batch, channels, height, width = features.shape
    rows, columns = (
        _bilinear(coarse, fine, features.dtype, features.device)
        for coarse, fine in ((height, size[0]), (width, size[1]))
    )
    wide = columns @ features.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    full = rows @ wide.view(batch, height, size[1] * channels)
    return full.view(batch, *size, channels).permute(0, 3, 1, 2)


@functools.cache  # for good: a captured step goes on reading them where they are
def _bilinear(coarse: int, fine: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix [fine, coarse] that resizes a line of pixels."""
    with torch.inference_mode(False):  # used in training, though a validation may have been first
        line = torch.eye(coarse)[None]
        return F.interpolate(line, size=fine, mode="linear", align_corners=False)[0].T.to(device, dtype).contiguous()

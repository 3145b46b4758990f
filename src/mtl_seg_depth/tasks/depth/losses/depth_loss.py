"""What the depth regression losses share: the target, the mask, and the order of the averages."""

import torch
from torch import Tensor, nn

from mtl_seg_depth.system.processes import batch_mean
from mtl_seg_depth.system.tensors import at_least_float32
from mtl_seg_depth.tasks.depth.norms import DepthNorm


def mean_over_images(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid pixels of each image, then over the images of the batch that have any; zero where none has.

    Args:
        values: [B, H, W]; finite also where not valid, since nan times zero is nan.
        valid: [B, H, W] bool.
    """
    pixels = valid.sum(dim=(1, 2))
    per_image = torch.where(valid, values, 0).sum(dim=(1, 2)) / pixels.clamp(min=1)
    return batch_mean(per_image.sum(), (pixels > 0).sum())


class DepthLoss(nn.Module):
    """Base: maps normalised predictions [B, H, W] and depths [B, H, W] in metres, nan where not valid, to a scalar."""

    def __init__(self, depth_norm: DepthNorm) -> None:
        super().__init__()
        self.depth_norm = depth_norm


class ResidualLoss(DepthLoss):
    """Base of the losses on normalised depth: a subclass says what one pixel's residual costs."""

    def penalty(self, residual: Tensor, valid: Tensor) -> Tensor:
        """Cost [B, H, W] of residuals [B, H, W], which are zero where not valid."""
        raise NotImplementedError(f"{type(self).__name__} has no penalty()")

    def forward(self, prediction: Tensor, depth: Tensor) -> Tensor:
        """Scalar from normalised predictions [B, H, W] and depths [B, H, W] in metres, nan where not valid."""
        valid = ~torch.isnan(depth)
        target = self.depth_norm.encode(torch.where(valid, depth, self.depth_norm.statistics.typical))
        residual = torch.where(valid, at_least_float32(prediction) - target, 0)
        return mean_over_images(self.penalty(residual, valid), valid)

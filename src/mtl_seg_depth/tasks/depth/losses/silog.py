"""Scale-invariant logarithmic error."""

import torch
from torch import Tensor

from mtl_seg_depth.system.tensors import at_least_float32
from mtl_seg_depth.tasks.depth.losses.depth_loss import DepthLoss, mean_over_images
from mtl_seg_depth.tasks.depth.norms import DepthNorm


class SILog(DepthLoss):
    """Scale-invariant log error of each image in metres, then the mean over images with any valid pixel.

    `alpha * sqrt(mean(d^2) - lambda_ * mean(d)^2)` with d the difference of log depths: lambda_ 0 is log RMSE, 1
    forgives any scale. Computed on metres whatever the normalisation; a prediction below 1 cm counts as 1 cm.

    Source: Eigen et al., NeurIPS 2014, equation 4; root and alpha as in Lee et al., From Big to Small, 2019.
    """

    SMALLEST_DEPTH = 0.01
    """Metres."""
    SMALLEST_VARIANCE = 1e-12
    """Keeps the root's gradient finite."""

    def __init__(self, depth_norm: DepthNorm, lambda_: float = 0.85, alpha: float = 10.0) -> None:
        super().__init__(depth_norm)
        if not 0 <= lambda_ <= 1:
            raise ValueError(f"lambda_ is within 0..1, not {lambda_}")
        if not alpha > 0:
            raise ValueError(f"alpha is above 0, not {alpha}")
        self.lambda_ = lambda_
        self.alpha = alpha

    def difference(self, prediction: Tensor, depth: Tensor) -> Tensor:
        """Of the logarithms of predicted and true metres, [B, H, W]; 0 where there is no depth."""
        valid = ~torch.isnan(depth)
        # Decoded, a wild prediction can be infinite, and its gradient nan even where the difference is masked.
        metres = self.depth_norm.decode(torch.where(valid, at_least_float32(prediction), 0)).clamp(
            min=self.SMALLEST_DEPTH
        )
        return torch.where(valid, metres.log() - torch.where(valid, depth, 1).log(), 0)

    def forward(self, prediction: Tensor, depth: Tensor) -> Tensor:
        """Scalar from normalised predictions [B, H, W] and depths [B, H, W] in metres, nan where not valid."""
        difference, valid = self.difference(prediction, depth), ~torch.isnan(depth)
        pixels = valid.sum(dim=(1, 2)).clamp(min=1)
        mean = difference.sum(dim=(1, 2)) / pixels
        variance = difference.square().sum(dim=(1, 2)) / pixels - self.lambda_ * mean.square()
        error = self.alpha * variance.clamp(min=self.SMALLEST_VARIANCE).sqrt()
        return mean_over_images(error[:, None, None].expand_as(depth), valid)

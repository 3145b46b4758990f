"""Scale-invariant logarithmic error, and edges where they are."""

import torch
from torch import Tensor

from mtl_seg_depth.tasks.depth.losses.depth_loss import mean_over_images
from mtl_seg_depth.tasks.depth.losses.silog import SILog
from mtl_seg_depth.tasks.depth.norms import DepthNorm


class GradientMatching(SILog):
    """SI-log error plus `weight` times how much the error changes from pixel to neighbour, at several scales.

    With r the difference of log depths, a scale costs the mean of |r(x + 1, y) - r(x, y)|, plus that of
    |r(x, y + 1) - r(x, y)|, over neighbours that are both valid, of each image, and then over images that have any;
    scale k looks at every 2^k-th pixel of every 2^k-th row. A wrong scale costs nothing here; a blurred or displaced
    edge does.

    Source: Ranftl et al., Towards Robust Monocular Depth Estimation (MiDaS), TPAMI 2022, equation 11, there on inverse
    depth; in log depth Li & Snavely, MegaDepth, CVPR 2018, equation 4.
    """

    def __init__(
        self, depth_norm: DepthNorm, lambda_: float = 0.85, alpha: float = 10.0, weight: float = 0.5, scales: int = 4
    ) -> None:
        super().__init__(depth_norm, lambda_, alpha)
        if not weight >= 0:
            raise ValueError(f"weight is 0 or more, not {weight}")
        if not 1 <= scales <= 8:
            raise ValueError(f"scales are 1 to 8, not {scales}")
        self.weight = weight
        self.scales = scales

    def forward(self, prediction: Tensor, depth: Tensor) -> Tensor:
        """Scalar from normalised predictions [B, H, W] and depths [B, H, W] in metres, nan where not valid."""
        difference, valid = self.difference(prediction, depth), ~torch.isnan(depth)
        cost = super().forward(prediction, depth)
        for scale in range(self.scales):
            step = 2**scale
            r, there = difference[:, ::step, ::step], valid[:, ::step, ::step]
            for axis in (1, 2):
                both = there.narrow(axis, 1, there.shape[axis] - 1) & there.narrow(axis, 0, there.shape[axis] - 1)
                cost = cost + self.weight * mean_over_images(r.diff(dim=axis).abs(), both)
        return cost

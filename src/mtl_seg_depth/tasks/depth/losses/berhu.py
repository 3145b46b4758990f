"""Linear for small residuals, quadratic for large ones: Huber's reverse."""

import torch
from torch import Tensor

from mtl_seg_depth.system.processes import largest
from mtl_seg_depth.tasks.depth.losses.depth_loss import ResidualLoss
from mtl_seg_depth.tasks.depth.norms import DepthNorm


class BerHu(ResidualLoss):
    """Reverse Huber loss of normalised depth: `|x|` up to c, `(x^2 + c^2) / (2c)` beyond.

    c is `fraction` of the largest residual among all valid pixels of the batch, and no gradient flows through it.
    Source: Laina et al., Deeper Depth Prediction, 3DV 2016, equation 2.
    """

    def __init__(self, depth_norm: DepthNorm, fraction: float = 0.2) -> None:
        super().__init__(depth_norm)
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction is above 0 and at most 1, not {fraction}")
        self.fraction = fraction

    def penalty(self, residual: Tensor, valid: Tensor) -> Tensor:  # noqa: ARG002
        """BerHu's function of the residual."""
        size = residual.abs()
        c = self.fraction * largest(size.detach().amax())
        quadratic = (residual.square() + c.square()) / (2 * c.clamp(min=torch.finfo(c.dtype).tiny))
        return torch.where(size <= c, size, quadratic)

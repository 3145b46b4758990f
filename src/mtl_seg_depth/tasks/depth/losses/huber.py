"""Quadratic for small residuals, linear for large ones."""

from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.tasks.depth.losses.depth_loss import ResidualLoss
from mtl_seg_depth.tasks.depth.norms import DepthNorm


class Huber(ResidualLoss):
    """Huber loss of normalised depth: `x^2 / 2` up to `delta`, `delta (|x| - delta / 2)` beyond (Huber, 1964)."""

    def __init__(self, depth_norm: DepthNorm, delta: float = 1.0) -> None:
        super().__init__(depth_norm)
        if not delta > 0:
            raise ValueError(f"delta is above 0, in units of normalised depth; not {delta}")
        self.delta = delta

    def penalty(self, residual: Tensor, valid: Tensor) -> Tensor:  # noqa: ARG002
        """Huber's function of the residual."""
        return F.huber_loss(residual, residual.new_zeros(()).expand_as(residual), reduction="none", delta=self.delta)

"""Absolute error."""

from torch import Tensor

from mtl_seg_depth.tasks.depth.losses.depth_loss import ResidualLoss


class L1(ResidualLoss):
    """Mean absolute error of normalised depth."""

    def penalty(self, residual: Tensor, valid: Tensor) -> Tensor:  # noqa: ARG002
        """The residual's size."""
        return residual.abs()

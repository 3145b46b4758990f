"""The product of the losses instead of their sum."""

from torch import Tensor

from mtl_seg_depth.weighting.weighting import Weighting


class Geometric(Weighting):
    """Geometric mean of the losses: the scale of none of them matters, and every loss falls by the same share.

    `(L_1 ... L_K) ^ (1 / K)`, so the weight of a task is the mean divided by K times its loss. Losses below 1e-8 count
    as 1e-8 and send no gradient: at 0 the derivative would be infinite.

    Source: Chennupati et al., MultiNet++, CVPR Workshops 2019 (geometric loss strategy).
    """

    SMALLEST_LOSS = 1e-8

    def forward(self, losses: Tensor) -> Tensor:
        """The geometric mean."""
        return losses.clamp(min=self.SMALLEST_LOSS).log().mean().exp()

"""Scales learned until every scaled loss is alike."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Weighting


class IMTLL(Weighting):
    """IMTL-L, the loss balance of impartial multi-task learning: all losses are scaled to about 1.

    The network descends `sum e^s_i L_i`, and the s_i, learned with it from 0, `sum (e^s_i L_i - s_i)`, which is least
    where every `e^s_i` is `1 / L_i`. `Uncertainty` has half of that, up to constants, for s_i = log (2 / s^2) of a
    classification: there it begins with twice the weight.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021 (loss balance).
    """

    def __init__(self, **weighting: Any) -> None:
        super().__init__(**weighting)
        self.scales = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, losses: Tensor) -> Tensor:
        """The scaled losses, and what keeps the scales from vanishing."""
        return (self.scales.exp() * losses - self.scales).sum()

"""Weights learned from each task's own noise."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Weighting


class Uncertainty(Weighting):
    """Homoscedastic uncertainty: every task's noise variance s^2 is learned with the network.

    The negative log likelihood of a regression with Gaussian noise is `L / (2 s^2) + log s`, that of a classification
    with logits scaled by 1/s^2 is about `L / s^2 + log s`; `noise_factors` tell the two apart, and all are summed. So
    a regression's variance settles where s^2 is its loss, a classification's where s^2 is twice its loss, and either
    loss is then weighted by 1 / (2 L). What is learned is log s^2, from 0: any number is allowed, and none divides by
    zero.

    Source: Kendall, Gal & Cipolla, CVPR 2018, equations 7 and 10.
    """

    factors: Tensor

    def __init__(self, **weighting: Any) -> None:
        super().__init__(**weighting)
        self.register_buffer("factors", torch.tensor(self.noise_factors), persistent=False)
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, losses: Tensor) -> Tensor:
        """The summed negative log likelihoods."""
        return (self.factors * torch.exp(-self.log_variances) * losses + self.log_variances / 2).sum()

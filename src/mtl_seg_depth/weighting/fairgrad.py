"""Improvements shared out by alpha-fairness."""

from typing import Any

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import normalised, solve


class FairGrad(GradientWeighting):
    """Fair resource allocation: the update is the resource, what a task gains from it is its share.

    The weights solve `G^T G w = w^(-1 / alpha)`, G the gradients as columns: what task i gains, to first order, is
    `w_i^(-1 / alpha)`. At alpha = 1 that is Nash bargaining; the larger alpha is, the more alike are the gains. The
    weights are not on the scale of the sum: the update is `|g|^((1 - alpha) / (1 + alpha))` long, of gradients of
    length |g|. A task without gradient has no weight.

    With `b_i = |g_i| w_i`, C the cosines and p = 1 / alpha, it is `C b = s` and `s_i b_i^p = |g_i|^(p - 1)`. Newton's
    method solves the first and the logarithm of the second, for b and s above 0, while p goes from 1, where it is
    easy, to its own value. A ridge in C bounds b where gradients leave no direction that is good for all. What it finds
    is exact for alpha from 0.5 to 5, and others are refused.

    Source: Ban & Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024, equation 4; alpha as in the authors'
    scripts.
    """

    ITERATIONS = 30
    UNTIL = 15
    """The iteration from which on p is what was asked for."""
    REACH = 0.9
    """How much of the way to the boundary an iteration may go."""

    def __init__(self, alpha: float = 2.0, **weighting: Any) -> None:
        super().__init__(**weighting)
        if not 0.5 <= alpha <= 5:
            raise ValueError(f"alpha is from 0.5 to 5, not {alpha}")
        self.alpha = alpha

    def combine_many(self, gram: Tensor) -> Tensor:
        """The fair weights."""
        lengths, cosines = normalised(gram)
        scales = torch.where(lengths > 0, lengths, 1.0).log()
        b = (len(gram) / cosines.sum()).sqrt() * torch.ones_like(lengths)  # the best multiple for p = 1
        s = 1 / b
        for number in range(1, self.ITERATIONS + 1):
            power = self.alpha ** -min(1.0, number / self.UNTIL)
            lack = (power - 1) * scales - s.log() - power * b.log()
            right = s - cosines @ b + s * lack
            newton = solve(cosines + power * torch.diag(s / b), right[:, None]).squeeze(1)
            change = s * (lack - power * newton / b)
            to_boundary = torch.maximum(-newton / b, -change / s).max()
            step = (self.REACH / to_boundary.clamp(min=DIVISOR)).clamp(max=1)
            b, s = b + step * newton, s + step * change
        weights: Tensor = (lengths > 0) * b / lengths.clamp(min=DIVISOR)
        return weights

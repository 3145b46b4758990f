"""The update that bargaining tasks would agree on."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import normalised, solve


class NashMTL(GradientWeighting):
    """Nash bargaining: the direction with the largest product of the tasks' improvements.

    Its weights solve `G^T G alpha = 1 / alpha`, G the gradients as columns. For two tasks with the cosine cos between
    their gradients that is `alpha_i = 1 / (|g_i| (1 + cos)^(1/2))`: both tasks improve alike, whatever their scales.
    The update of the shared parameters is then K^(1/2) long in every step, so that learning rate and schedule alone
    say how far it goes. The authors' code also shortens it to length 1, which a smaller learning rate does as well.

    Gradients some positive sum of which is zero, as opposite ones, leave nothing to agree on: the update vanishes. A
    task without gradient has no weight.

    For more than two tasks, `beta_i = |g_i| alpha_i` minimise the convex `beta^T C beta / 2 - sum log beta_i`, C the
    cosines. Newton's method finds them: with the step y relative to beta, `(B C B + 1) y = 1 - B C beta` for B the
    diagonal matrix of beta, taken by `1 / (1 + m)` with m the largest share that a beta would lose, the function falls
    in every iteration by half of what its slope promises. A ridge in C bounds beta where the update vanishes.

    Source: Navon et al., ICML 2022, section 3.
    """

    ITERATIONS = 20

    def combine_two(self, gram: Tensor) -> Tensor:
        """The bargaining solution."""
        lengths = gram.diagonal().sqrt()
        cosine = gram[0, 1] / lengths.prod().clamp(min=DIVISOR)
        alpha: Tensor = (lengths > 0) / (lengths.clamp(min=DIVISOR) * (1 + cosine).clamp(min=1e-6).sqrt())
        return alpha

    def combine_many(self, gram: Tensor) -> Tensor:
        """The bargaining solution, by Newton's method."""
        lengths, cosines = normalised(gram)
        size = len(gram)
        eye = torch.eye(size, dtype=gram.dtype, device=gram.device)
        beta = torch.ones_like(lengths)
        for _ in range(self.ITERATIONS):
            beta = beta * (size / (beta @ cosines @ beta)).sqrt()  # the best multiple
            curvature = torch.outer(beta, beta) * cosines
            y = solve(curvature + eye, 1 - curvature.sum(dim=1, keepdim=True)).squeeze(1)
            beta = beta * (1 + y / (1 + torch.relu(-y).max()))
        alpha: Tensor = (lengths > 0) * beta / lengths.clamp(min=DIVISOR)
        return alpha

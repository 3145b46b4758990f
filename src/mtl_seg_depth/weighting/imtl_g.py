"""The update whose projections onto all gradients are equal."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import normalised, solve


class IMTLG(GradientWeighting):
    """IMTL-G, the gradient balance of impartial multi-task learning: no task is favoured, whatever their scales.

    The weights sum to K, and the update is as long in the direction of one gradient as in that of any other. With u_i
    the directions and C their cosines, `alpha_i = y_i / |g_i|` with `C y` equal in all its components; for two tasks
    alpha is in proportion to 1 / |g_i|. For more, weights can be negative. A task without gradient has no weight.

    A ridge in C decides where gradients depend on each other, as opposite ones do: the update then vanishes.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021 (gradient balance).
    """

    def combine_two(self, gram: Tensor) -> Tensor:
        """In proportion to 1 / |g_i|."""
        return self._shares(gram, torch.ones_like(gram[0]))

    def combine_many(self, gram: Tensor) -> Tensor:
        """From the y that C makes equal."""
        _, cosines = normalised(gram)
        return self._shares(gram, solve(cosines, torch.ones_like(gram[:, :1])).squeeze(1))

    def _shares(self, gram: Tensor, y: Tensor) -> Tensor:
        """Summing to K; zero where positive and negative ones cancel."""
        lengths = gram.diagonal().sqrt()
        alpha = (lengths > 0) * y / lengths.clamp(min=DIVISOR)
        total = alpha.sum()
        return len(gram) * alpha / torch.where(total.abs() > 1e-9 * alpha.abs().sum(), total, torch.inf)

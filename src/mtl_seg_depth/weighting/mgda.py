"""The shortest update among the weighted means of the gradients."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import non_negative, normalised


class MGDA(GradientWeighting):
    """Multiple-gradient descent: the direction in which the task that gains least gains most.

    The weights minimise `|sum w_i g_i|`, each 0 or more and their sum 1; the sum is taken K times. It is short where
    tasks contradict each other and zero where no direction helps all, as where one task has no gradient; the smallest
    gradient rules it.

    For two tasks `w_1 = <g_2 - g_1, g_2> / |g_1 - g_2|^2`, cut to 0 .. 1. For more, with b_i = |g_i| w_i, C the cosines
    and a_i in proportion to 1 / |g_i|, b is a multiple of the b of 0 or more that minimises
    `b^T (C + a a^T) b / 2 - a^T b`: both have `C b` equal to a multiple of a where b is not 0, and larger elsewhere.

    Source: Desideri, Comptes Rendus Mathematique 350, 2012; Sener & Koltun, NeurIPS 2018, algorithm 2
    without their normalisation of the gradients, whose search this replaces.
    """

    def combine_two(self, gram: Tensor) -> Tensor:
        """Twice (w, 1 - w)."""
        a, b, c = gram[0, 0], gram[0, 1], gram[1, 1]
        w = ((c - b) / (a - 2 * b + c).clamp(min=DIVISOR)).clamp(0, 1)
        return 2 * torch.stack([w, 1 - w])

    def combine_many(self, gram: Tensor) -> Tensor:
        """K times the weights of the shortest."""
        lengths, cosines = normalised(gram)
        # Shorter than this is no gradient beside the longest, but still the first to be chosen.
        lengths = lengths.clamp(min=DIVISOR).maximum(1e-12 * lengths.max())
        a = lengths.min() / lengths
        weights = a * non_negative(cosines + torch.outer(a, a), -a)
        return len(gram) * weights / weights.sum()

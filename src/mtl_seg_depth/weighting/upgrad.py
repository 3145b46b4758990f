"""Gradients that lose what contradicts any other task."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import non_negative, normalised


class UPGrad(GradientWeighting):
    """Unconflicting projection of gradients: each becomes the nearest one that harms no task, and they are summed.

    To first order, no task gets worse, and each contributes in proportion to its gradient's length. For two tasks this
    is PCGrad, which for more only sees to the task met last.

    The projection of g_i is `g_i + sum x_j g_j` with the x of 0 or more that make it shortest. With G the Gram matrix,
    x minimises `x^T G x / 2 + G_i x`; for the sake of gradients of different lengths, it is solved with the cosines.
    A task without gradient is harmed by nothing.

    Source: Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024, equation 3 and proposition 1; the
    sum instead of their mean.
    """

    def combine_two(self, gram: Tensor) -> Tensor:
        """1, and more for a gradient that the other one leans against."""
        return 1 + torch.relu(-gram[0, 1]) / gram.diagonal().clamp(min=DIVISOR)

    def combine_many(self, gram: Tensor) -> Tensor:
        """1, and what the projections of all gradients add."""
        lengths, cosines = normalised(gram)
        added = torch.stack([non_negative(cosines, row) for row in cosines])
        return 1 + (lengths > 0) * (lengths @ added) / lengths.clamp(min=DIVISOR)

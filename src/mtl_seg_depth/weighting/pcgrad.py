"""Gradients that lose what contradicts the other task."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting


class PCGrad(GradientWeighting):
    """Projecting conflicting gradients: each is projected onto the plane normal to the other, if they conflict.

    `g_i - min(0, <g_i, g_j>) / |g_j|^2 g_j`, summed over the tasks; without a conflict it is the plain sum. The paper's
    random order matters for three tasks and more.

    Source: Yu et al., NeurIPS 2020, algorithm 1.
    """

    def combine(self, gram: Tensor) -> Tensor:
        """1, and more for a gradient that the other one leans against."""
        return 1 + torch.relu(-gram[0, 1]) / gram.diagonal().clamp(min=DIVISOR)

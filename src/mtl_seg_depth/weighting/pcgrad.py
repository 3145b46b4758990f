"""Gradients that lose what contradicts another task."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.draws import orders
from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.weighting import Losses


class PCGrad(GradientWeighting):
    """Projecting conflicting gradients: each is projected onto the plane normal to another, if they conflict.

    `g_i - min(0, <g_i, g_j>) / |g_j|^2 g_j` for one j after the other, summed over the tasks i; without a conflict it
    is the plain sum. Each i meets the others in a random order, which matters for three tasks and more. It is a
    function of the number of the step, and so the same whether or not a training was interrupted.

    Source: Yu et al., NeurIPS 2020, algorithm 1.
    """

    steps: Tensor

    def __init__(self, **weighting: Any) -> None:
        super().__init__(**weighting)
        ordered = len(self.tasks) > 2
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=ordered)

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the combined gradients; then count the step, if there is anything to order."""
        super().backward(losses, network)
        if len(self.tasks) > 2:
            self.steps += 1

    def combine_two(self, gram: Tensor) -> Tensor:
        """1, and more for a gradient that the other one leans against."""
        return 1 + torch.relu(-gram[0, 1]) / gram.diagonal().clamp(min=DIVISOR)

    def combine_many(self, gram: Tensor) -> Tensor:
        """What all projected gradients together hold of each gradient."""
        return project(gram, orders(self.steps, len(gram))).sum(dim=0)


def project(gram: Tensor, order: Tensor) -> Tensor:
    """The projected gradients [k, k], as rows of weights of the original ones.

    Args:
        gram: inner products [k, k].
        order: int64 [k, k], in row i the indices of those that gradient i meets, one after the other; its own is
            passed over.
    """
    index = torch.arange(len(gram), device=gram.device)
    weights = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for other in order.T:
        conflict = torch.relu(-(gram[other] * weights).sum(dim=1)) / gram.diagonal()[other].clamp(min=DIVISOR)
        met = (other[:, None] == index) & (other != index)[:, None]
        weights = weights + conflict[:, None] * met
    return weights

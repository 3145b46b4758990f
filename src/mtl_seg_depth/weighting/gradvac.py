"""Gradients turned towards each other until they are as alike as usual."""

from typing import Any

import torch
from torch import Tensor

from mtl_seg_depth.weighting.draws import orders
from mtl_seg_depth.weighting.gradients import DIVISOR
from mtl_seg_depth.weighting.pcgrad import PCGrad


class GradVac(PCGrad):
    """Gradient vaccine: PCGrad that expects of two gradients the cosine that they have had so far, not 0.

    Where gradient i meets j with a cosine phi below their target phi^, it gets
    `|g_i| (phi^ (1 - phi^2)^(1/2) - phi (1 - phi^^2)^(1/2)) / (|g_j| (1 - phi^^2)^(1/2))` times g_j, after which its
    cosine is the target; then phi^ moves to phi by the share `beta`. Targets begin at 0, as PCGrad's stay. Orders are
    PCGrad's.

    Source: Wang, Tsvetkov, Firat & Cao, ICLR 2021, algorithm 1, over all shared parameters at once; beta as in LibMTL,
    whose numbers the published tables of dense prediction have.
    """

    SMALLEST_SINE = 1e-4
    """Of a target: gradients that have always been parallel would have to stay so to the last digit."""

    targets: Tensor
    """[K, K] in float64."""

    def __init__(self, beta: float = 0.5, **weighting: Any) -> None:
        super().__init__(**weighting)
        if not 0 <= beta <= 1:
            raise ValueError(f"beta is from 0 to 1, not {beta}")
        self.beta = beta
        self.register_buffer("targets", torch.zeros(len(self.tasks), len(self.tasks), dtype=torch.float64))

    def combine(self, gram: Tensor) -> Tensor:
        """What all turned gradients together hold of each gradient; the targets move."""
        size = len(gram)
        index = torch.arange(size, device=gram.device)
        weights = torch.eye(size, dtype=gram.dtype, device=gram.device)
        targets = self.targets[:size, :size]
        for other in orders(self.steps, size).T:
            met = (other[:, None] == index) & (other != index)[:, None]
            own = ((weights @ gram) * weights).sum(dim=1).clamp(min=0).sqrt()
            length = gram.diagonal()[other].sqrt()
            cosine = ((gram[other] * weights).sum(dim=1) / (own * length).clamp(min=DIVISOR)).clamp(-1, 1)
            target = targets.gather(1, other[:, None]).squeeze(1)
            sine = (1 - target.square()).clamp(min=0).sqrt().clamp(min=self.SMALLEST_SINE)
            turn = own * (target * (1 - cosine.square()).sqrt() / sine - cosine) / length.clamp(min=DIVISOR)
            turn = torch.where((cosine < target) & (length > 0), turn, 0.0)
            weights = weights + turn[:, None] * met
            targets = torch.where(met, torch.lerp(targets, cosine[:, None], self.beta), targets)
        self.targets[:size, :size] = targets
        return weights.sum(dim=0)

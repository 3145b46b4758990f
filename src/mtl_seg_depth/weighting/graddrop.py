"""Each component of the update in the direction of one sign alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.draws import hashed, uniform
from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting, gram_matrix
from mtl_seg_depth.weighting.weighting import Losses


class GradDrop(GradientWeighting):
    """Gradient sign dropout: component by component, only the tasks of one sign are heard, chosen at random.

    With the purity `P = (1 + sum g_i / sum |g_i|) / 2`, between 0 and 1, of a component of the gradients, the positive
    ones are kept with probability P, else the negative ones; a task lets the share `leak` of what it loses through. So
    equal signs are the plain sum. What is drawn is a function of the run's seed, the number of the step and the place.

    The logged weight of a task is the share of its squared length that was kept.

    Source: Chen et al., Just Pick a Sign, NeurIPS 2020, algorithm 1; on the gradients of the shared parameters instead
    of those of an activation, as in the published tables of dense prediction.
    """

    steps: Tensor

    def __init__(self, leak: float = 0.0, seed: int = 0, **weighting: Any) -> None:
        super().__init__(**weighting)
        if not 0 <= leak <= 1:
            raise ValueError(f"leak is from 0 to 1, not {leak}")
        self.leak = leak
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the combined gradients; then count the step."""
        super().backward(losses, network)
        self.steps += 1

    @torch.no_grad()
    def merge(self, shared: Mapping[int, Sequence[Tensor | None]]) -> None:
        """Turn each parameter's first gradient into the sum of what is kept, in place."""
        gram = gram_matrix(list(shared.values()))
        kept = []
        for index, own in shared.items():
            first = next(gradient for gradient in own if gradient is not None)
            rows = torch.stack([torch.zeros_like(first) if gradient is None else gradient for gradient in own])
            purity = rows.sum(dim=0) / rows.abs().sum(dim=0).clamp(min=torch.finfo(rows.dtype).tiny) / 2 + 0.5
            drawn = uniform(hashed(self.seed) + index, self.steps, first.numel()).view(first.shape)
            passed = torch.where(purity > drawn, rows > 0, rows < 0)
            held = rows * (self.leak + (1 - self.leak) * passed)
            kept.append((held * rows).flatten(1).sum(dim=1, dtype=torch.float64))
            first.copy_(held.sum(dim=0))
        self.note(gram, torch.stack(kept).sum(dim=0) / gram.diagonal().clamp(min=DIVISOR))

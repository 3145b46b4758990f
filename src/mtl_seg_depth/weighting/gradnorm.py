"""Weights learned until the gradients are as long as the tasks' progress asks for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.weighting import Losses


class GradNorm(GradientWeighting):
    """Gradient normalisation: a task that has progressed less gets a longer gradient.

    The network descends `sum w_i L_i`. With `G_i = |w_i g_i|` and the inverse rates r_i, the losses relative to their
    first values, divided by their mean, the weights descend `sum |G_i - mean(G) r_i^alpha|`, the second term held
    constant; then they are scaled to sum to K. The run's optimiser trains them. G is over all shared parameters, of
    which the paper takes the last layer to save time. A task that reaches none keeps its share of the sum.

    `alpha` pulls the rates together: at 0 all gradients become equally long.

    Source: Chen, Badrinarayanan, Lee & Rabinovich, ICML 2018, algorithm 1 and equation 2; alpha as for NYUv2 there.
    """

    SMALLEST = 1e-3
    """Of the weights, before they are scaled."""

    first: Tensor
    """[K], the first losses above 0."""

    def __init__(self, alpha: float = 1.5, **weighting: Any) -> None:
        super().__init__(**weighting)
        if alpha < 0:
            raise ValueError(f"alpha is 0 or more, not {alpha}")
        self.alpha = alpha
        self.factors = nn.Parameter(torch.ones(len(self.tasks)))
        self.register_buffer("first", torch.zeros(len(self.tasks)))

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients of the weighted losses, and those of the weights."""
        values, factors = self.stack(losses).detach(), self.factors.detach()
        self.first.copy_(torch.where(self.first > 0, self.first, values))
        self.relative = values / self.first.clamp(min=torch.finfo(values.dtype).tiny)
        weighted = {task: factor * losses[task] for task, factor in zip(self.tasks, factors, strict=True)}
        super().backward(weighted, network)
        self.weights.copy_(factors)

    def combine(self, gram: Tensor) -> Tensor:
        """Ones, as the losses are weighted already; their weights get the gradients by which they learn."""
        relative, factors = (
            torch.stack([values[task] for task in self.sharing]).to(gram) for values in (self.relative, self.factors)
        )
        lengths = gram.diagonal().sqrt()
        rates = relative / relative.mean().clamp(min=DIVISOR)
        slopes = (lengths - lengths.mean() * rates.pow(self.alpha)).sign() * lengths / factors
        self.factors.grad = torch.zeros_like(self.factors)
        for task, slope in zip(self.sharing, slopes, strict=True):
            self.factors.grad[task] = slope
        return torch.ones_like(lengths)

    @torch.no_grad()
    def after_step(self, recompute: Callable[[], Losses]) -> None:  # noqa: ARG002
        """Scale the weights to sum to K; none gets to 0, whatever the learning rate."""
        factors = self.factors.clamp(min=self.SMALLEST)
        self.factors.copy_(len(self.tasks) * factors / factors.sum())

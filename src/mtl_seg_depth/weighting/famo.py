"""Weights that make all losses fall at the same rate, learned from the losses alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Losses, Weighting


class FAMO(Weighting):
    """Fast adaptive multitask optimisation: the task that improved least, relative to its loss, gains weight.

    With z = softmax(logits), the network descends `c sum z_i log L_i`, c such that the tasks' weights c z_i / L_i sum
    to 1. After the update the losses of the same batch are computed again, and the logits descend the relative
    improvement `sum z_i (log L_i(before) - log L_i(after))` with an Adam of their own. Each step costs a forward pass
    more. The losses must be 0 or more; 1e-8 is added to each.

    `learning_rate` and `gamma`, the decay of the logits, are those of that Adam.

    Source: Liu, Feng, Stone & Liu, NeurIPS 2023; Adam and its rate as in the authors' code.
    """

    EPS = 1e-8
    BETAS = (0.9, 0.999)

    logits: Tensor
    before: Tensor
    """[K], log losses before the update, from `backward` to `after_step`."""
    exp_avg: Tensor
    exp_avg_sq: Tensor
    updates: Tensor

    def __init__(self, learning_rate: float = 0.025, gamma: float = 1e-3, **weighting: Any) -> None:
        super().__init__(**weighting)
        if learning_rate <= 0:
            raise ValueError(f"learning_rate is above 0, not {learning_rate}")
        if gamma < 0:
            raise ValueError(f"gamma is 0 or more, not {gamma}")
        self.learning_rate = learning_rate
        self.gamma = gamma
        # Buffers, not parameters: the run's optimiser and its learning rate have no part in them.
        for name in ("logits", "exp_avg", "exp_avg_sq"):
            self.register_buffer(name, torch.zeros(len(self.tasks)))
        self.register_buffer("updates", torch.zeros(()))
        self.register_buffer("before", torch.zeros(len(self.tasks)), persistent=False)

    def forward(self, losses: Tensor) -> Tensor:
        """The weighted sum of log losses, scaled so that the tasks' weights sum to 1."""
        shares = torch.softmax(self.logits, dim=0)
        scale = 1 / (shares / (losses.detach() + self.EPS)).sum()
        return scale * (shares * torch.log(losses + self.EPS)).sum()

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients, and keep the losses for after the step."""
        super().backward(losses, network)
        self.before.copy_(torch.log(self.stack(losses).detach() + self.EPS))

    @torch.no_grad()
    def after_step(self, recompute: Callable[[], Losses]) -> None:
        """Move the logits against the relative improvement of each task."""
        improvement = self.before - torch.log(self.stack(recompute()) + self.EPS)
        shares = torch.softmax(self.logits, dim=0)
        gradient = shares * (improvement - (shares * improvement).sum())
        # Written out, and its state in buffers: a checkpoint finds them, and no count of updates is read by the host.
        gradient = gradient + self.gamma * self.logits
        self.updates += 1
        self.exp_avg.lerp_(gradient, 1 - self.BETAS[0])
        self.exp_avg_sq.lerp_(gradient.square(), 1 - self.BETAS[1])
        mean, square = (
            average / (1 - torch.pow(beta, self.updates))
            for average, beta in zip((self.exp_avg, self.exp_avg_sq), self.BETAS, strict=True)
        )
        self.logits -= self.learning_rate * mean / (square.sqrt() + self.EPS)

"""The worst loss, smoothly."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Losses, Weighting


class STCH(Weighting):
    """Smooth Tchebycheff scalarisation: the tasks that are worst, relative to where they were, weigh most.

    `mu K log sum exp(log(L_i / N_i) / mu)`, N_i the mean loss of a measuring epoch: a smooth maximum of the K log
    losses, the closer the smaller mu is; its derivatives by them sum to K. The measuring epoch comes after
    `warm_up_epochs`; until it ends, the network descends the sum of the log losses. A run that is shorter descends
    nothing else. Losses below 1e-8 count as 1e-8 and send no gradient.

    Source: Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024; log
    losses, the measuring epoch and both defaults as in the authors' code for multi-task learning.
    """

    SMALLEST_LOSS = 1e-8

    steps: Tensor
    sums: Tensor
    """[K], of the losses in the measuring epoch."""

    def __init__(self, mu: float = 1.0, warm_up_epochs: int = 4, **weighting: Any) -> None:
        super().__init__(**weighting)
        if mu <= 0:
            raise ValueError(f"mu is above 0, not {mu}")
        if warm_up_epochs < 0:
            raise ValueError(f"warm_up_epochs is 0 or more, not {warm_up_epochs}")
        self.mu = mu
        self.warm_up_epochs = warm_up_epochs
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(len(self.tasks), dtype=torch.float64))

    def forward(self, losses: Tensor) -> Tensor:
        """The smooth maximum, or the sum as long as there is nothing to compare with."""
        logs = losses.clamp(min=self.SMALLEST_LOSS).log()
        measured = (self.sums / self.steps_per_epoch).clamp(min=self.SMALLEST_LOSS).log().to(losses)
        smooth = self.mu * len(self.tasks) * torch.logsumexp((logs - measured) / self.mu, dim=0)
        return torch.where(self.steps // self.steps_per_epoch > self.warm_up_epochs, smooth, logs.sum())

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients; then measure, if it is time, and count the step."""
        super().backward(losses, network)
        with torch.no_grad():
            measuring = self.steps // self.steps_per_epoch == self.warm_up_epochs
            self.sums += torch.where(measuring, self.stack(losses), 0.0)
            self.steps += 1

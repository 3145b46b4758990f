"""Weights from how fast each loss fell lately."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Losses, Weighting


class DynamicWeightAverage(Weighting):
    """Dynamic weight average: a task whose loss falls more slowly than the others' weighs more.

    In epoch t the weights are `K softmax(r / temperature)` with r the mean loss of epoch t-1 over that of epoch t-2,
    and 1 for every task in the first two epochs. They sum to K. A higher temperature makes them more alike.

    Source: Liu, Johns & Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019.
    """

    steps: Tensor
    sums: Tensor
    """[K], over this epoch so far."""
    means: Tensor
    """[2, K], over the last epoch but one and over the last one."""

    def __init__(self, temperature: float = 2.0, **weighting: Any) -> None:
        super().__init__(**weighting)
        if temperature <= 0:
            raise ValueError(f"temperature is above 0, not {temperature}")
        self.temperature = temperature
        tasks = len(self.tasks)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(tasks, dtype=torch.float64))
        self.register_buffer("means", torch.ones(2, tasks, dtype=torch.float64))

    def forward(self, losses: Tensor) -> Tensor:
        """The sum with this epoch's weights."""
        before, last = self.means
        tiny = torch.finfo(losses.dtype).tiny  # a loss that was 0 has not fallen: not a nan
        ratios = torch.where(self.steps >= 2 * self.steps_per_epoch, last / before.clamp(min=tiny), 1.0)
        weights = len(self.tasks) * torch.softmax(ratios / self.temperature, dim=0)
        return (weights.to(losses) * losses).sum()

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients; then count the step, with no decision that the host would have to wait for."""
        super().backward(losses, network)
        with torch.no_grad():
            self.sums += self.stack(losses)
            self.steps += 1
            ended = self.steps % self.steps_per_epoch == 0
            shifted = torch.stack([self.means[1], self.sums / self.steps_per_epoch])
            self.means.copy_(torch.where(ended, shifted, self.means))
            self.sums.copy_(torch.where(ended, 0.0, self.sums))

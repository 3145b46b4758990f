"""Weights drawn anew for every step."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.draws import uniform
from mtl_seg_depth.weighting.weighting import Losses, Weighting


class RLW(Weighting):
    """Random loss weighting: the litmus test that any other method has to pass.

    In every step the weights are `softmax(z)`, z independent and standard normal: they sum to 1, and are 1 / K on
    average. They are a function of the run's seed and of the number of the step, and so the same whether or not a
    training was interrupted.

    Source: Lin, Ye, Zhang & Tsang, Reasonable Effectiveness of Random Weighting, TMLR 2022, algorithm 2.
    """

    steps: Tensor

    def __init__(self, seed: int = 0, **weighting: Any) -> None:
        super().__init__(**weighting)
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, losses: Tensor) -> Tensor:
        """The sum with this step's weights."""
        length, angle = uniform(self.seed, self.steps, 2 * len(self.tasks)).chunk(2)
        normal = (-2 * length.log()).sqrt() * (2 * math.pi * angle).cos()  # Box and Muller
        return (torch.softmax(normal, dim=0).to(losses) * losses).sum()

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients; then count the step."""
        super().backward(losses, network)
        self.steps += 1

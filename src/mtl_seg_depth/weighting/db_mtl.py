"""Losses on one scale by their logarithms, gradients by their lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.weighting import Losses


class DBMTL(GradientWeighting):
    """Dual balancing: of losses, through their logarithms, and of gradients, by making all as long as the longest.

    Each task's gradient of log L_i over the shared parameters is averaged over the steps, `beta g' + (1 - beta) g`
    from zero, and the averages are summed after each was given the length of the longest. A parameter of one task
    takes the gradient of its log loss. The averages cost the memory of K networks, in a checkpoint too. Losses below
    1e-8 count as 1e-8 and send no gradient; a task whose average is zero has no weight.

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, 2023, algorithm 1; beta constant and as in LibMTL.
    """

    SMALLEST_LOSS = 1e-8

    def __init__(self, beta: float = 0.9, **weighting: Any) -> None:
        super().__init__(**weighting)
        if not 0 <= beta < 1:
            raise ValueError(f"beta is 0 or more and below 1, not {beta}")
        self.beta = beta

    def prepare(self, network: nn.Module) -> None:
        """Begin every task's average of every parameter at zero."""
        for index, parameter in enumerate(each for each in network.parameters() if each.requires_grad):
            for task in range(len(self.tasks)):
                self.register_buffer(f"average_{task}_{index}", torch.zeros_like(parameter.detach()))

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the gradients of the log losses, the shared ones averaged and combined."""
        values = {task: loss.clamp(min=self.SMALLEST_LOSS) for task, loss in losses.items()}
        super().backward({task: value.log() for task, value in values.items()}, network)
        self.weights.div_(self.stack(values).detach())

    @torch.no_grad()
    def merge(self, shared: Mapping[int, Sequence[Tensor | None]]) -> None:
        """Combine the averages instead of the newest gradients."""
        newest, averages = [], []
        for index, own in shared.items():
            for task, gradient in zip(self.sharing, own, strict=True):
                if gradient is not None:
                    newest.append(gradient)
                    averages.append(self.get_buffer(f"average_{task}_{index}"))
        torch._foreach_lerp_(newest, averages, self.beta)
        torch._foreach_copy_(averages, newest)
        super().merge(shared)

    def combine(self, gram: Tensor) -> Tensor:
        """The longest's length over each one's."""
        lengths = gram.diagonal().sqrt()
        weights: Tensor = (lengths > 0) * lengths.max() / lengths.clamp(min=DIVISOR)
        return weights

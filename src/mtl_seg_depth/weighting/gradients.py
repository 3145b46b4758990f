"""What the methods share that combine the tasks' gradients instead of their losses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.weighting.weighting import Losses, Weighting

DIVISOR = torch.finfo(torch.float64).tiny
"""Smallest divisor: a task without gradient gives no nan."""


class GradientWeighting(Weighting):
    """Base: every task's own gradient is computed, and those of shared parameters are summed with weights.

    Shared is a parameter that gets a gradient from more than one task: in `joint` nearly all of them, in `branched`
    the encoder's. A parameter of one task takes that task's gradient as it is, so a network of one task is trained
    as if there were no method. But for NashMTL everything is on the scale of the plain sum of the losses: for gradients
    that are orthogonal and of one length the weights are 1, or little more.

    The suite has two tasks, and for two each method's weights are a formula in the inner products of the gradients
    (the Gram matrix): no solver, no state, and nothing that waits for the device. Each task costs a backward pass and
    the memory of its gradients.
    """

    cosine: Tensor
    """Between the tasks' gradients over the shared parameters, in the newest step; nan where nothing is shared."""

    def __init__(self, **weighting: Any) -> None:
        super().__init__(**weighting)
        if len(self.tasks) > 2:
            raise ValueError(f"{type(self).__name__} balances two tasks, not {len(self.tasks)}")
        self.register_buffer("cosine", torch.tensor(torch.nan), persistent=False)

    def combine(self, gram: Tensor) -> Tensor:
        """The weights [2] of two gradients, from their inner products [2, 2] in float64."""
        raise NotImplementedError(f"{type(self).__name__} has no combine()")

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the combined gradients, and each parameter of one task alone with that task's."""
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        gradients = []
        for task in self.tasks:
            # Through `.grad` rather than autograd.grad: there torch gives a gradient its parameter's memory layout,
            # which fused optimisers rely on.
            torch.autograd.backward(losses[task], retain_graph=task != self.tasks[-1])
            gradients.append([parameter.grad for parameter in parameters])
            network.zero_grad(set_to_none=True)
        self.weights.fill_(1)
        shared: list[list[Tensor]] = [[] for _ in self.tasks]
        for parameter, *own in zip(parameters, *gradients, strict=True):
            present = [gradient for gradient in own if gradient is not None]
            parameter.grad = present[0] if present else None
            if len(present) > 1:
                for gradient, of_task in zip(present, shared, strict=True):
                    of_task.append(gradient)
        if shared[-1]:
            self._merge(*shared)

    @torch.no_grad()
    def _merge(self, first: list[Tensor], second: list[Tensor]) -> None:
        """Turn the first task's shared gradients into the weighted sums, in place."""
        a, b, c = inner(first, first), inner(first, second), inner(second, second)
        self.cosine.copy_(b / (a * c).sqrt().clamp(min=DIVISOR))
        self.weights.copy_(self.combine(torch.stack([a, b, b, c]).view(2, 2)))
        torch._foreach_mul_(first, self.weights[0])
        torch._foreach_mul_(second, self.weights[1])
        torch._foreach_add_(first, second)

    def logged(self) -> dict[str, Tensor]:
        """The weights, of shared parameters only, and where there are two tasks the cosine of their gradients."""
        return {**super().logged(), **({"gradient_cosine": self.cosine} if len(self.tasks) > 1 else {})}


def inner(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner product of two lists of tensors as of two long vectors, summed in float64."""
    return torch.stack([(x * y).sum(dtype=torch.float64) for x, y in zip(first, second, strict=True)]).sum()

"""What the loop asks of any way to balance tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

Losses = Mapping[str, Tensor]
"""Each task's loss, a scalar."""


class Weighting(nn.Module):
    """Base: makes the gradient of one step out of the losses of the tasks.

    A method with a formula for the combined loss implements `forward`; one that works on the tasks' gradients derives
    from `GradientWeighting`. What a method learns by gradient are its parameters, trained by the run's optimiser
    without weight decay; all else that the next step depends on is in persistent buffers, so that a checkpoint
    continues exactly.

    Args:
        tasks: those of the network, in the order of every tensor [K] here.
        steps_per_epoch: optimiser steps.
        noise_factors: by task, what multiplies L / s^2 in its negative log likelihood with noise of variance s^2: 1/2
            for a regression, 1 for a classification and for every task that is not named.
    """

    capturable: ClassVar[bool] = True
    """Whether a step is the same operations whatever the losses are, so that it can be captured as a CUDA graph."""

    combines_gradients: ClassVar[bool] = False
    """Whether it works on each task's gradient, and averages these over the processes that train together."""

    weights: Tensor
    """[K], of the newest step: by how much of each task's loss the network descended; nan before the first."""

    def __init__(
        self, tasks: Sequence[str], steps_per_epoch: int, noise_factors: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.steps_per_epoch = steps_per_epoch
        self.noise_factors = tuple((noise_factors or {}).get(task, 1.0) for task in self.tasks)
        self.register_buffer("weights", torch.full((len(self.tasks),), torch.nan), persistent=False)

    def prepare(self, network: nn.Module) -> None:
        """Make what is to be kept for each parameter of a network, before the first step or a checkpoint is loaded."""

    def forward(self, losses: Tensor) -> Tensor:
        """The scalar to descend, from the tasks' losses [K]."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def backward(self, losses: Losses, network: nn.Module) -> None:  # noqa: ARG002
        """Leave the gradients of this step in the parameters' `.grad`, which is None before."""
        values = self.stack(losses)
        # First through the formula alone: its derivatives by the losses are the weights worth knowing.
        leaf = values.detach().requires_grad_()
        torch.autograd.backward(self(leaf))
        assert leaf.grad is not None
        self.weights.copy_(leaf.grad)
        torch.autograd.backward(values, leaf.grad)

    def after_step(self, recompute: Callable[[], Losses]) -> None:
        """What a method does once the parameters are updated.

        Args:
            recompute: gives the losses of the same batch with the new parameters, without gradients and without a
                trace in the network; it costs a forward pass.
        """

    def logged(self) -> dict[str, Tensor]:
        """What to write beside the losses, of the newest step: names and scalars on the device.

        Meant for log points: reading the values waits for the device.
        """
        return {f"weight/{task}": weight for task, weight in zip(self.tasks, self.weights, strict=True)}

    def stack(self, losses: Losses) -> Tensor:
        """The losses as one tensor [K]."""
        return torch.stack([losses[task] for task in self.tasks])

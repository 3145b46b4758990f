"""An exponential moving average of a network's weights, which often scores better than the weights themselves."""

import copy

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.network import Network


class MovingAverage(nn.Module):
    """A copy of a network that follows it, update by update, towards what it was on average lately.

    After update n the copy moves to the network by 1 - min(decay, (1 + n) / (10 + n)): the first updates count for
    more, so that the copy soon forgets the initial weights (as TensorFlow's ExponentialMovingAverage does with
    `num_updates`). Running statistics are averaged as weights are, counters are copied. Nothing waits for the device.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Args:
        network: to follow; on its device.
        decay: share of itself that the copy keeps in an update, within 0..1, in the long run.
    """

    updates: Tensor
    """How many there were: float32, a scalar."""

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"a moving average keeps a share between 0 and 1 of itself, not {decay}")
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), device=next(network.parameters()).device))

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Move towards the network as it is now."""
        self.updates.add_(1)
        step = 1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        own, other = (list(part.state_dict().values()) for part in (self.network, network))
        ours, theirs = ([tensor for tensor in part if tensor.is_floating_point()] for part in (own, other))
        difference = torch._foreach_sub(theirs, ours)
        torch._foreach_mul_(difference, step)
        torch._foreach_add_(ours, difference)
        counters, counted = ([tensor for tensor in part if not tensor.is_floating_point()] for part in (own, other))
        if counters:
            torch._foreach_copy_(counters, counted)

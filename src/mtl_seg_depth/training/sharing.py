"""How the network of a step is run where its batch is spread: over several processes, or in parts one after another."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from mtl_seg_depth.models.network import Predictions
from mtl_seg_depth.models.recomputing import is_random
from mtl_seg_depth.models.running_statistics import RunningStatisticsUntouched
from mtl_seg_depth.system.processes import several
from mtl_seg_depth.training.step import Step


class InParts(nn.Module):
    """A network that takes a batch in `parts`, one after another, and in memory has the activations of one alone.

    Predictions are of the whole batch, so losses, weightings and gradients are what they are without parts. For that
    every part is computed twice: to predict, and again when gradients go back through it. Only BatchNorm sees the
    parts: each is normalised by itself, and the running statistics move once for each of them.
    """

    def __init__(self, network: nn.Module, parts: int) -> None:
        super().__init__()
        self.network = network
        self.parts = parts
        self.draws = is_random(network)

    def forward(self, image: Tensor) -> Predictions:
        """As the network has it, from images [B, 3, H, W], B a multiple of the parts."""
        if not torch.is_grad_enabled():
            every = [self.network(part) for part in image.chunk(self.parts)]
        else:
            every = [
                checkpoint(
                    self.network,
                    part,
                    use_reentrant=False,
                    preserve_rng_state=self.draws,
                    context_fn=lambda: (nullcontext(), RunningStatisticsUntouched(self.network)),
                )
                for part in image.chunk(self.parts)
            ]
        return {
            task: [torch.cat(same) for same in zip(*(part[task] for part in every), strict=True)] for task in every[0]
        }


def average_gradients(step: Step) -> None:
    """Have the gradients of a step's network averaged over all processes, bucket by bucket while others are computed.

    A weighting that works on the gradients of each task averages these itself: nothing is changed then, nor where
    there is one process alone. What the network holds is made equal to what the first process has.
    """
    if several() and not step.weighting.combines_gradients:
        assert isinstance(step.forward, nn.Module)
        step.forward = DistributedDataParallel(step.forward, gradient_as_bucket_view=True, static_graph=True)

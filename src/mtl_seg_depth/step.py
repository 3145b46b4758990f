"""One optimiser step as one callable: forward, losses, backward, update."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn, optim

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.precision import Precision
from mtl_seg_depth.weighting.weighting import Weighting


class Step:
    """Trains a network on one batch at a time; nothing in it waits for the device.

    Args:
        network: in training mode.
        losses: per task, maps one prediction and the batch's target of that name to a scalar.
        weighting: folds the tasks' losses into one.
        optimizer: over the parameters of network and weighting.
        precision: what the network computes in; losses are float32.
        clip_norm: largest norm of the gradient, longer ones are shortened to it; None for no limit.
    """

    def __init__(
        self,
        network: Network,
        losses: Mapping[str, nn.Module],
        weighting: Weighting,
        optimizer: optim.Optimizer,
        precision: Precision,
        clip_norm: float | None = None,
    ) -> None:
        if set(losses) != set(network.tasks):
            raise ValueError(f"the network predicts {sorted(network.tasks)}, the losses are for {sorted(losses)}")
        self.network = network
        self.losses = losses
        self.weighting = weighting
        self.optimizer = optimizer
        self.precision = precision
        self.clip_norm = clip_norm

    def __call__(self, batch: Batch, learning_rate: float) -> dict[str, Tensor]:
        """Update the parameters once; each task's loss, before the update, as a scalar on the device."""
        with self.precision.autocast(batch.rgb.device):
            outputs = self.network(batch.rgb)
        losses = {
            task: torch.stack([loss(prediction, getattr(batch, task)) for prediction in outputs[task]]).mean()
            for task, loss in self.losses.items()
        }
        self.optimizer.zero_grad(set_to_none=True)
        self.weighting.backward(losses)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(group["params"], self.clip_norm)
        self.optimizer.step()
        return {task: loss.detach() for task, loss in losses.items()}

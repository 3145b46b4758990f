"""One optimiser step as one callable: forward, losses, backward, update."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn, optim

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.models.network import Network, Predictions
from mtl_seg_depth.models.running_statistics import RunningStatisticsUntouched
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.system.processes import whole
from mtl_seg_depth.training.averaging import MovingAverage
from mtl_seg_depth.training.parameter_groups import set_rate
from mtl_seg_depth.weighting.weighting import Weighting


class Step:
    """Trains a network on one batch at a time; nothing in it waits for the device.

    Args:
        network: in training mode.
        losses: per task, maps one raw prediction and the batch's target of that name to a scalar.
        weighting: makes one gradient out of the tasks' losses.
        optimizer: over the parameters of network and weighting.
        precision: what the network computes in; losses are float32.
        clip_norm: largest norm of the network's gradient, longer ones are shortened to it; None for no limit.
        average: follows the network; None for none.
    """

    def __init__(
        self,
        network: Network,
        losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
        weighting: Weighting,
        optimizer: optim.Optimizer,
        precision: Precision,
        clip_norm: float | None = None,
        average: MovingAverage | None = None,
    ) -> None:
        if set(losses) != set(network.tasks):
            raise ValueError(f"the network predicts {sorted(network.tasks)}, the losses are for {sorted(losses)}")
        self.network = network
        self.forward: Callable[[Tensor], Predictions] = network
        """The network, or another form of it on the same parameters: compiled, in parts, shared between processes."""
        self.losses = losses
        self.weighting = weighting
        self.optimizer = optimizer
        self.precision = precision
        self.clip_norm = clip_norm
        self.average = average
        weighting.prepare(network)

    @property
    def scored_network(self) -> Network:
        """What is to be scored and kept: the average of the network where there is one, else the network."""
        return self.network if self.average is None else self.average.network

    def __call__(self, batch: Batch, learning_rate: float | Tensor) -> dict[str, Tensor]:
        """Update the parameters once; each task's loss, before the update, as a scalar on the device."""
        losses = self._losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.weighting.backward(losses, self.network)
        set_rate(self.optimizer, learning_rate)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        self.weighting.after_step(lambda: self._recompute(batch))
        if self.average is not None:
            self.average.update(self.network)
        return {task: loss.detach() for task, loss in losses.items()}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each task's loss, the mean over its predictions, of the whole batch if this process has a share of it."""
        with self.precision.autocast(batch.image.device):
            outputs = self.forward(batch.image)
        return {
            task: whole(torch.stack([loss(prediction, batch.targets[task]) for prediction in outputs[task]]).mean())
            for task, loss in self.losses.items()
        }

    def _recompute(self, batch: Batch) -> dict[str, Tensor]:
        """The losses as the parameters are now, to compare with those before the update."""
        with torch.no_grad(), RunningStatisticsUntouched(self.network):
            return self._losses(batch)

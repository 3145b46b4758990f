"""From images to classes and metres: the one way to predict, for validation, evaluation and prediction alike."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from mtl_seg_depth.models.network import Network
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.task import Task

Predict = Callable[[Tensor], dict[str, Tensor]]
"""Maps images [B, 3, H, W] in 0..1 to predictions, as a `Predictor` does; with test-time augmentation or without."""


class PredictAt(Protocol):
    """A `Predict` that gives predictions in another size than the images', if asked to."""

    def __call__(self, image: Tensor, size: Size | None = None) -> dict[str, Tensor]:
        """Predictions of images [B, 3, H, W], in their own size or in `size`."""


NARROW = 64
"""Pixels; on a CPU, narrower images are computed in fp32 whatever was asked for.

There bf16 convolutions of stride 2 read memory that nobody wrote where their input is 1 or 2 pixels wide, as the last
stage's is then (oneDNN in torch 2.15, with AMX): now and then a whole prediction is nan.
"""


class Predictor:
    """A network in evaluation mode with what it takes to read its outputs.

    Calling it maps images [B, 3, H, W] in 0..1 to the prediction of every task that the network has, as `Task.decode`
    gives it.
    """

    def __init__(self, network: Network, tasks: Mapping[str, Task], precision: Precision) -> None:
        self.network = network
        self.tasks = {name: tasks[name] for name in network.tasks}
        self.precision = precision

    @torch.inference_mode()
    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """What the network itself says of a batch: raw predictions [B, C, H, W], in the format it computes in.

        What is infinite becomes nan, so that no limit makes a likely value of it. Leaves the network in the mode it
        was in.
        """
        training = self.network.training
        self.network.eval()
        narrow = image.device.type == "cpu" and image.shape[-1] < NARROW
        with (Precision("fp32") if narrow else self.precision).autocast(image.device):
            outputs = self.network(image)
        self.network.train(training)
        nan = math.nan
        return {task: raw[-1].nan_to_num(nan, posinf=nan, neginf=nan) for task, raw in outputs.items()}

    @torch.inference_mode()
    def __call__(self, image: Tensor, size: Size | None = None) -> dict[str, Tensor]:
        """Predict a batch, in its own size or in `size`; leaves the network in the mode it was in."""
        return decoded(self.tasks, self.outputs(image), size)


def decoded(tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], size: Size | None = None) -> dict[str, Tensor]:
    """The predictions that raw ones [B, C, h, w] mean, in their own size or in `size`."""
    found = {}
    for name, raw in outputs.items():
        task, own = tasks[name], (raw.shape[-2], raw.shape[-1])
        if size is None or size == own:
            found[name] = task.decode(raw)
        else:
            pool = task.pool(own)
            pool.add(raw.float(), 1.0, mirrored=False)
            found[name] = task.pooled(pool, size)
    return found

"""From pictures to classes and metres: the one way to predict, for validation, evaluation and prediction alike."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.scoring.metrics import AbsentClass, Scorer, Scores
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.depth.norms import DepthNorm

Predict = Callable[[Tensor], dict[str, Tensor]]
"""Maps rgb [B, 3, H, W] in 0..1 to predictions, as a `Predictor` does; with test-time augmentation or without."""

NARROW = 64
"""Pixels; on a CPU, narrower pictures are computed in fp32 whatever was asked for.

There bf16 convolutions of stride 2 read memory that nobody wrote where their input is 1 or 2 pixels wide, as the last
stage's is then (oneDNN in torch 2.15, with AMX): now and then a whole prediction is nan.
"""


class Predictor:
    """A network in evaluation mode with what it takes to read its outputs.

    Calling it maps rgb [B, 3, H, W] in 0..1 to `{"semseg": classes int64 [B, H, W], "depth": metres float32
    [B, H, W]}`, for the tasks that the network has, depth within the valid range.
    """

    def __init__(self, network: Network, depth_norm: DepthNorm, precision: Precision) -> None:
        self.network = network
        self.depth_norm = depth_norm
        self.precision = precision

    @torch.inference_mode()
    def outputs(self, rgb: Tensor) -> dict[str, Tensor]:
        """What the network itself says of a batch: `semseg` logits [B, 19, H, W], `depth` normalised [B, H, W].

        Both in the number format that the network computes in; leaves the network in the mode it was in.
        """
        training = self.network.training
        self.network.eval()
        narrow = rgb.device.type == "cpu" and rgb.shape[-1] < NARROW
        with (Precision("fp32") if narrow else self.precision).autocast(rgb.device):
            outputs = self.network(rgb)
        self.network.train(training)
        return {task: predictions[-1] for task, predictions in outputs.items()}

    @torch.inference_mode()
    def __call__(self, rgb: Tensor) -> dict[str, Tensor]:
        """Predict a batch; leaves the network in the mode it was in."""
        outputs = self.outputs(rgb)
        prediction = {}
        if "semseg" in outputs:
            prediction["semseg"] = outputs["semseg"].argmax(dim=1)
        if "depth" in outputs:
            prediction["depth"] = self.depth_norm.to_metres(outputs["depth"])
        return prediction


def score(
    predict: Predict, batches: Iterable[Batch], absent: AbsentClass = "exclude", by_distance: bool = False
) -> Scores:
    """Predict every batch and compare: the scores of a whole split; depth errors `by_distance` too where wanted."""
    scorer: Scorer | None = None
    for batch in batches:
        prediction = predict(batch.rgb)
        scorer = scorer or Scorer(tuple(prediction), batch.rgb.device, absent, by_distance)
        scorer.update(prediction, batch.semseg, batch.depth)
    if scorer is None:
        raise ValueError("no batch to score")
    return scorer.compute()

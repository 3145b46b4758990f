"""From pictures to classes and metres: the one way to predict, for validation, evaluation and prediction alike."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.depth_norm import DepthNorm
from mtl_seg_depth.metrics import AbsentClass, Scorer, Scores
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.precision import Precision


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
    def __call__(self, rgb: Tensor) -> dict[str, Tensor]:
        """Predict a batch; leaves the network in the mode it was in."""
        training = self.network.training
        self.network.eval()
        with self.precision.autocast(rgb.device):
            outputs = self.network(rgb)
        self.network.train(training)
        prediction = {}
        if "semseg" in outputs:
            prediction["semseg"] = outputs["semseg"][-1].argmax(dim=1)
        if "depth" in outputs:
            prediction["depth"] = self.depth_norm.to_metres(outputs["depth"][-1])
        return prediction


def score(
    predict: Callable[[Tensor], dict[str, Tensor]], batches: Iterable[Batch], absent: AbsentClass = "exclude"
) -> Scores:
    """Predict every batch and compare: the scores of a whole split. `predict` maps rgb as a `Predictor` does."""
    scorer: Scorer | None = None
    for batch in batches:
        prediction = predict(batch.rgb)
        scorer = scorer or Scorer(tuple(prediction), batch.rgb.device, absent)
        scorer.update(prediction, batch.semseg, batch.depth)
    if scorer is None:
        raise ValueError("no batch to score")
    return scorer.compute()

"""Weights that stay as they are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mtl_seg_depth.weighting.weighting import Weighting


class Fixed(Weighting):
    """The weighted sum of the losses: the report's way, `semseg` and `depth` its two weights."""

    def __init__(self, semseg: float, depth: float) -> None:
        super().__init__()
        if min(semseg, depth) < 0 or semseg + depth <= 0:
            raise ValueError(f"task weights are 0 or more and not both 0, not semseg={semseg} depth={depth}")
        self.weights = {"semseg": semseg, "depth": depth}

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum over the tasks that the network has."""
        return torch.stack([self.weights[task] * loss for task, loss in losses.items()]).sum()

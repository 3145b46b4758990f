"""Weights that stay as they are."""

from typing import Any

import torch
from torch import Tensor

from mtl_seg_depth.weighting.weighting import Weighting


class Fixed(Weighting):
    """The weighted sum of the losses: the report's way, `semseg` and `depth` its two weights.

    A network of one task takes the weight of that task.
    """

    fixed: Tensor

    def __init__(self, semseg: float, depth: float, **weighting: Any) -> None:
        super().__init__(**weighting)
        if min(semseg, depth) < 0 or semseg + depth <= 0:
            raise ValueError(f"task weights are 0 or more and not both 0, not semseg={semseg} depth={depth}")
        by_task = {"semseg": semseg, "depth": depth}
        fixed = [by_task[task] for task in self.tasks]
        if not any(fixed):
            raise ValueError(f"{self.tasks[0]}=0 leaves a network of that task alone nothing to learn")
        self.register_buffer("fixed", torch.tensor(fixed), persistent=False)

    def forward(self, losses: Tensor) -> Tensor:
        """The weighted sum over the tasks that the network has."""
        return (self.fixed * losses).sum()

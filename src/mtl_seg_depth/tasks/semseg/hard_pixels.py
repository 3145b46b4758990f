"""Cross-entropy over the pixels that are hard."""

import math

import torch
from torch import Tensor

from mtl_seg_depth.system.processes import batch_mean, gathered, total
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.pixels import pixel_costs


class HardPixels(CrossEntropy):
    """Mean cross-entropy over the pixels whose right class has a probability below `threshold`: OHEM.

    They are never fewer than the hardest `share` of the batch's labelled pixels, or those as hard as the easiest of
    them. Zero where all are ignored.

    Source: Shrivastava et al., Online Hard Example Mining, CVPR 2016; the rule for pixels is that of Yuan et al.,
    OCNet, 2018, whose smallest number is a share here, so that it holds for any size.
    """

    def __init__(self, ignore_index: int = 255, threshold: float = 0.7, share: float = 0.1) -> None:
        super().__init__(ignore_index)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold, a probability, is above 0 and at most 1; not {threshold}")
        if not 0 < share <= 1:
            raise ValueError(f"share is above 0 and at most 1, not {share}")
        self.threshold = threshold
        self.share = share

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar from logits [B, C, H, W] and labels [B, H, W] int64."""
        costs, counted = pixel_costs(logits, labels, self.ignore_index)
        hardest = gathered(torch.where(counted, costs, -1)).sort(descending=True).values
        last = (self.share * total(counted.sum())).ceil().long().clamp(min=1).view(1) - 1
        chosen = counted & (costs.detach() >= hardest.gather(0, last).clamp(max=-math.log(self.threshold)))
        return batch_mean(torch.where(chosen, costs, 0).sum(), chosen.sum())

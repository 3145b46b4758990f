"""Cross-entropy in which rare classes count for more."""

import torch
from torch import Tensor

from mtl_seg_depth.system.processes import part, total
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.pixels import pixel_costs


class ClassBalanced(CrossEntropy):
    """Weighted mean of the cross-entropy over the labelled pixels of the batch; zero where all are ignored.

    A pixel's weight is n^-power, n the pixels of its class in the batch: 0 is plain cross-entropy, 1 the mean over the
    classes that are there of each one's mean.

    Source: inverse-frequency weights as in Eigen & Fergus, ICCV 2015, section 5, on the batch and with a power, as
    word2vec and many since have tempered frequencies.
    """

    def __init__(self, ignore_index: int = 255, power: float = 0.5) -> None:
        super().__init__(ignore_index)
        if not 0 <= power <= 1:
            raise ValueError(f"power is within 0..1, not {power}")
        self.power = power

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar from logits [B, C, H, W] and labels [B, H, W] int64."""
        costs, counted = pixel_costs(logits, labels, self.ignore_index)
        classes = torch.arange(logits.shape[1], device=labels.device)
        pixels = total(torch.stack([(labels == each).sum() for each in classes.unbind()]))
        weights = torch.where(pixels > 0, pixels.clamp(min=1).float().pow(-self.power), 0)
        of_pixel = torch.where(counted, weights[torch.where(counted, labels, 0)], 0)
        return part((of_pixel * costs).sum()) / (weights * pixels).sum().clamp(min=torch.finfo(torch.float32).tiny)

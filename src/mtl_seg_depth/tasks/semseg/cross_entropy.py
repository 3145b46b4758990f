"""The segmentation loss."""

from torch import Tensor, nn

from mtl_seg_depth.system.processes import batch_mean
from mtl_seg_depth.tasks.semseg.pixels import pixel_costs


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the pixels of the batch that are not ignored; zero where all of them are."""

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar from logits [B, C, H, W] and labels [B, H, W] int64."""
        costs, counted = pixel_costs(logits, labels, self.ignore_index)
        return batch_mean(costs.sum(), counted.sum())

"""The segmentation loss."""

from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.labels import IGNORE_INDEX


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the pixels of the batch that are not ignored; zero where all of them are."""

    def __init__(self, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar from logits [B, C, H, W] and labels [B, H, W] int64."""
        total = F.cross_entropy(logits.float(), labels, ignore_index=self.ignore_index, reduction="sum")
        counted = (labels != self.ignore_index).sum().clamp(min=1)
        return total / counted

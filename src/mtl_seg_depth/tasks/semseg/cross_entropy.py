"""The segmentation loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.system.processes import batch_mean
from mtl_seg_depth.system.tensors import at_least_float32


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the pixels of the batch that are not ignored; zero where all of them are."""

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar from logits [B, C, H, W] and labels [B, H, W] int64."""
        # Pixel by pixel, as channels-last logits lie in memory: torch's own operator would first turn them around.
        log_probabilities = F.log_softmax(at_least_float32(logits).permute(0, 2, 3, 1), dim=-1)
        counted = labels != self.ignore_index
        of_label = log_probabilities.gather(-1, torch.where(counted, labels, 0).unsqueeze(-1)).squeeze(-1)
        return batch_mean(-torch.where(counted, of_label, 0).sum(), counted.sum())

"""Cross-entropy pixel by pixel."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.system.tensors import at_least_float32


def pixel_costs(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """What each pixel costs, float32 or finer [B, H, W], 0 where ignored; and which are counted, bool [B, H, W].

    Args:
        logits: [B, C, H, W] of any floating type.
        labels: int64 [B, H, W].
        ignore_index: the label of pixels that do not count.
    """
    # Pixel by pixel, as channels-last logits lie in memory: torch's own operator would first turn them around.
    log_probabilities = F.log_softmax(at_least_float32(logits).permute(0, 2, 3, 1), dim=-1)
    counted = labels != ignore_index
    of_label = log_probabilities.gather(-1, torch.where(counted, labels, 0).unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, -of_label, 0), counted

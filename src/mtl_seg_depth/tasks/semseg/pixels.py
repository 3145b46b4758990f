"""Cross-entropy pixel by pixel, for losses that weigh or choose pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_costs(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """What each pixel costs, float32 [B, H, W], 0 where ignored; and which are counted, bool [B, H, W].

    Args:
        logits: [B, C, H, W] of any floating type.
        labels: int64 [B, H, W].
        ignore_index: the label of pixels that do not count.
    """
    log_probabilities = F.log_softmax(logits.float().permute(0, 2, 3, 1), dim=-1)
    counted = labels != ignore_index
    of_label = log_probabilities.gather(-1, torch.where(counted, labels, 0).unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, -of_label, 0), counted

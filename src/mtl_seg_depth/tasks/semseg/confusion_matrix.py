"""Mean IoU from one confusion matrix, as running sums."""

from typing import Literal

import torch
from torch import Tensor

from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.task import Confusion, Measured


class ConfusionMatrix:
    """Pixels by label (rows) and prediction (columns), int64 [C, C], over everything seen so far.

    Args:
        classes: of the data set.
        device: of what is measured.
        absent: mean IoU leaves a class in neither labels nor predictions out (`exclude`), as the Cityscapes benchmark
            does, or counts it as 0 (`zero`), as the report's template did.
    """

    def __init__(self, classes: Classes, device: torch.device, absent: Literal["exclude", "zero"] = "exclude") -> None:
        self.classes = classes
        self.absent = absent
        self.matrix = torch.zeros(len(classes), len(classes), dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, labels: Tensor) -> None:
        """Count predicted classes [B, H, W] against labels [B, H, W]; labels without a class are ignored."""
        # One bin for every pair of an 8-bit label and a prediction: ignored labels fall behind the matrix, so no mask.
        count = len(self.classes)
        pairs = (labels * count + prediction).flatten().to(torch.int32)
        counts = torch.bincount(pairs, minlength=256 * count)
        self.matrix += counts[: count * count].view(count, count)

    def iou(self) -> Tensor:
        """Intersection over union of every class, float64 [C] in 0..1; nan where a class was never seen."""
        matrix = self.matrix.double().cpu()
        hits = matrix.diagonal()
        return hits / (matrix.sum(dim=0) + matrix.sum(dim=1) - hits)

    def mean_iou(self) -> float:
        """Mean IoU in per cent; 0 where no pixel was counted at all."""
        iou = self.iou()
        if self.absent == "zero":
            return 100 * iou.nan_to_num(0.0).mean().item()
        return 100 * iou.nanmean().nan_to_num(0.0).item()

    def compute(self) -> Measured:
        """Mean IoU, and every class's own in per cent."""
        percent = (100 * self.iou()).tolist()
        iou = {f"iou/{name}": value for name, value in zip(self.classes.names, percent, strict=True)}
        return Measured(self.mean_iou(), iou, Confusion(self.matrix.cpu(), self.classes.names))

"""Mean IoU and accuracies from one confusion matrix, as running sums."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.task import Confusion, Measured


class ConfusionMatrix:
    """Pixels by label (rows) and prediction (columns) over everything seen so far; one predicted of no class is wrong.

    Args:
        classes: of the data set.
        device: of what is measured.
        absent: mean IoU leaves a class in neither labels nor predictions out (`exclude`), as the Cityscapes benchmark
            does, or counts it as 0 (`zero`), as the report's template did.
        meant: what every 8-bit prediction stands for among the classes, [256], or None for itself; 255 is no class.
    """

    def __init__(
        self,
        classes: Classes,
        device: torch.device,
        absent: Literal["exclude", "zero"] = "exclude",
        meant: Sequence[int] | None = None,
    ) -> None:
        self.classes = classes
        self.absent = absent
        self.meant = None if meant is None else torch.tensor(meant, device=device)
        self.counts = torch.zeros(len(classes), len(classes) + 1, dtype=torch.int64, device=device)
        """The matrix, and a last column of pixels that were predicted to be of no class."""

    @property
    def sums(self) -> Sequence[Tensor]:
        """The counts."""
        return [self.counts]

    @property
    def matrix(self) -> Tensor:
        """Pixels by label and predicted class, int64 [C, C]."""
        return self.counts[:, :-1]

    def update(self, prediction: Tensor, labels: Tensor) -> None:
        """Count predicted classes [B, H, W] against labels [B, H, W]; labels without a class are ignored."""
        # One bin for every pair of an 8-bit label and a prediction: ignored labels fall behind the matrix, so no mask.
        # On a GPU bincount waits for the least and the largest of them.
        if self.meant is not None:
            prediction = self.meant[prediction]
        rows, columns = self.counts.shape
        pairs = (labels * columns + prediction.clamp(max=rows)).flatten().to(torch.int32)
        counts = torch.bincount(pairs, minlength=256 * columns)
        self.counts += counts[: rows * columns].view(rows, columns)

    def iou(self) -> Tensor:
        """Intersection over union of every class, float64 [C] in 0..1; nan where a class was never seen."""
        counts = self.counts.double().cpu()
        hits = counts.diagonal()
        return hits / (counts[:, :-1].sum(dim=0) + counts.sum(dim=1) - hits)

    def mean_iou(self) -> float:
        """Mean IoU in per cent; nan where no pixel was counted at all."""
        iou = self.iou()
        if self.absent == "zero" and not iou.isnan().all():
            iou = iou.nan_to_num(0.0)
        return 100 * iou.nanmean().item()

    def accuracy(self) -> float:
        """Pixels of the right class in per cent of those that have one; nan where no pixel was counted at all."""
        counts = self.counts.double().cpu()
        return (100 * counts.diagonal().sum() / counts.sum()).item()

    def mean_class_accuracy(self) -> float:
        """Mean over the classes that have labels of the share that is predicted right, in per cent; nan for none."""
        counts = self.counts.double().cpu()
        return 100 * (counts.diagonal() / counts.sum(dim=1)).nanmean().item()

    def compute(self) -> Measured:
        """Mean IoU, every class's own, the pixel accuracy and the mean class accuracy, in per cent."""
        percent = (100 * self.iou()).tolist()
        iou = {f"iou/{name}": value for name, value in zip(self.classes.names, percent, strict=True)}
        accuracies = {"pixel_accuracy": self.accuracy(), "mean_class_accuracy": self.mean_class_accuracy()}
        confusion = Confusion(self.matrix.cpu(), self.classes.names)
        broken = self.meant is None and bool(self.counts[:, -1].any())  # else classes without a counterpart are there
        return Measured(self.mean_iou(), iou | accuracies, confusion, broken)

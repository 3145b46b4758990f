"""Semantic segmentation as a task."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.nodes import build
from mtl_seg_depth.tasks.occurrences import occurrences
from mtl_seg_depth.tasks.resize import Size, enlarge
from mtl_seg_depth.tasks.semseg.class_map import Mapped
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.confusion_matrix import ConfusionMatrix
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.headline import MEAN_IOU
from mtl_seg_depth.tasks.semseg.pools import Probabilities, Votes, likeliest
from mtl_seg_depth.tasks.task import Image, Pool, Task

AbsentClass = Literal["exclude", "zero"]


class Semseg(Task):
    """One class for every pixel: cross-entropy on logits [B, C, H, W], judged by mean IoU.

    Targets and predictions are class ids, int64 [B, H, W]; `classes.ignore_index` is left out, and `NO_CLASS` is wrong.

    Args:
        classes: of the data set.
        absent: how mean IoU counts a class in neither labels nor predictions; see `ConfusionMatrix`.
        mapped: to score a network of other classes on data of other classes: `classes` are those of the map.
        criterion: maps logits and labels to a scalar; None for plain cross-entropy.
    """

    headline = MEAN_IOU
    spec_type = Classes
    noise_factor = 1.0

    def __init__(
        self,
        classes: Classes,
        absent: AbsentClass = "exclude",
        mapped: Mapped | None = None,
        criterion: CrossEntropy | None = None,
    ) -> None:
        self.classes = classes
        self.absent = absent
        self.mapped = mapped
        self.channels = len(classes)
        self.outside = classes.ignore_index
        self.criterion = criterion or CrossEntropy(classes.ignore_index)
        self.palette = classes.palette()

    @classmethod
    def configured(cls, spec: Classes, settings: Mapping[str, Any]) -> Self:
        """With `validation.absent_classes` and `semseg_loss` of the settings."""
        criterion = build("semseg_loss", settings["semseg_loss"], ignore_index=spec.ignore_index)
        return cls(spec, settings["validation"]["absent_classes"], criterion=criterion)

    def misfit(self, spec: Classes) -> str | None:
        """Classes that are others, or in another order."""
        if spec.names == self.classes.names:
            return None
        return f"the network tells {', '.join(self.classes.names)} apart, and the data have {', '.join(spec.names)}"

    def target(self, codes: Tensor) -> Tensor:
        """The ids themselves, or those that a map makes of them."""
        if self.mapped is None:
            return codes.long()
        return torch.tensor(self.mapped.label_ids, device=codes.device)[codes.long()]

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """The configured loss."""
        loss: Tensor = self.criterion(raw, target)
        return loss

    def decode(self, raw: Tensor) -> Tensor:
        """The likeliest class, or `NO_CLASS`."""
        return likeliest(raw)

    def meter(self, device: torch.device, detailed: bool = False) -> ConfusionMatrix:  # noqa: ARG002
        """One confusion matrix of everything."""
        meant = None if self.mapped is None else self.mapped.predicted_ids
        return ConfusionMatrix(self.classes, device, self.absent, meant)

    def pool(self, size: Size, how: str | None = None) -> Pool:
        """The class of the highest mean probability, or with `how="votes"` the one that most views vote for."""
        return (Votes if how == "votes" else Probabilities)(size)

    def pooled(self, pool: Pool, size: Size) -> Tensor:
        """The likeliest class of what is between pixels too: edges have no stairs."""
        assert isinstance(pool, Probabilities | Votes)
        scores = pool.scores()
        return enlarge(scores, size, lambda band: likeliest(band.mixed(scores)))

    def counts(self, codes: NDArray[Any]) -> bool:
        """Whether any has a class."""
        return bool((codes < len(self.classes)).any())

    def constant(self, codes: NDArray[Any]) -> Tensor:
        """The most frequent class."""
        return torch.tensor(occurrences(codes, 256)[: len(self.classes)].argmax())

    def paint(self, values: NDArray[Any]) -> Image:
        """The classes' colours; ignored pixels are black."""
        painted: Image = self.palette[values]
        return painted

    def panels(self, target: NDArray[Any], prediction: NDArray[Any]) -> dict[str, Image]:
        """Labels beside predicted ones."""
        return {"labels": self.paint(target), "predicted labels": self.paint(prediction)}

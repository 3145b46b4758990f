"""Several views' classes brought together."""

import torch
from torch import Tensor

from mtl_seg_depth.tasks.resize import Size, resize

NO_CLASS = 255
"""What is predicted where a number is not finite; painted black."""


def likeliest(scores: Tensor) -> Tensor:
    """The class of the highest score, int64 [B, H, W] from [B, C, H, W]; or `NO_CLASS`."""
    highest, classes = scores.max(dim=1)
    return torch.where(highest.isfinite(), classes, NO_CLASS)


class Probabilities:
    """The sum of every view's class probabilities, float32 [B, C, H, W]."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.total: Tensor | None = None

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:  # noqa: ARG002
        """Add a view's logits [B, C, h, w]."""
        probabilities = resize(raw, self.size).softmax(dim=1)
        self.total = probabilities if self.total is None else self.total + probabilities

    def scores(self) -> Tensor:
        """The sums: the likeliest class has the highest."""
        assert self.total is not None
        return self.total

    def result(self) -> Tensor:
        """The class of the highest mean probability, or `NO_CLASS`."""
        return likeliest(self.scores())


class Votes:
    """Every view's vote for one class a pixel, int16 [B, C, H, W]; the first view's vote decides where they are even.

    Counted by scattering, in place and on the device: `torch.mode` sorts every pixel.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.total: Tensor | None = None
        self.highest = torch.zeros(())
        """Sums of the views' highest logits: not finite where one of them was not."""

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:  # noqa: ARG002
        """Add a view's logits [B, C, h, w]."""
        logits = resize(raw, self.size)
        highest, classes = logits.max(dim=1, keepdim=True)
        self.highest = self.highest.to(highest) + highest
        weight = 2
        if self.total is None:
            self.total = torch.zeros(logits.shape, dtype=torch.int16, device=raw.device)
            weight = 3  # more than any one, less than any two
        self.total.scatter_add_(1, classes, torch.full_like(classes, weight, dtype=torch.int16))

    def scores(self) -> Tensor:
        """The votes, float32; nan where a view had none."""
        assert self.total is not None
        return torch.where(self.highest.isfinite(), self.total.float(), torch.nan)

    def result(self) -> Tensor:
        """The class with the most votes, or `NO_CLASS` where a view had none."""
        assert self.total is not None
        return torch.where(self.highest.squeeze(1).isfinite(), self.total.argmax(dim=1), NO_CLASS)

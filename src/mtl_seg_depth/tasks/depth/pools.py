"""Several views' depths brought together."""

import torch
from torch import Tensor

from mtl_seg_depth.tasks.depth.norms import DepthNorm
from mtl_seg_depth.tasks.resize import Size, resize


class GeometricMean:
    """The mean of the views' logarithms, their zooms undone, within the valid range."""

    def __init__(self, size: Size, norm: DepthNorm) -> None:
        self.size = size
        self.norm = norm
        self.logarithms: list[Tensor] = []

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:  # noqa: ARG002
        """Add a view's normalised depth [B, 1, h, w]. It is limited after the zoom is undone: 2.5 m at 2 are 5 m."""
        metres = self.norm.limited(self.norm.decode(raw) * zoom)
        self.logarithms.append(resize(metres.log(), self.size))

    def result(self) -> Tensor:
        """Metres [B, H, W]."""
        return self.norm.limited(torch.stack(self.logarithms).mean(dim=0).exp()).squeeze(1)


class SummedMetres:
    """The sum of the views' metres over a divisor, within the valid range; no zoom is undone."""

    def __init__(self, size: Size, norm: DepthNorm, divisor: float) -> None:
        self.size = size
        self.norm = norm
        self.divisor = divisor
        self.metres: list[Tensor] = []

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:  # noqa: ARG002
        """Add a view's normalised depth [B, 1, h, w]."""
        self.metres.append(resize(self.norm.to_metres(raw), self.size))

    def result(self) -> Tensor:
        """Metres [B, H, W]."""
        return self.norm.limited(sum(self.metres[1:], self.metres[0]) / self.divisor).squeeze(1)

"""Monocular depth as a task."""

import functools
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtl_seg_depth.nodes import build
from mtl_seg_depth.tasks.depth.codec import DepthSpec
from mtl_seg_depth.tasks.depth.headline import SI_LOG
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.meter import DepthMeter
from mtl_seg_depth.tasks.depth.norms import DepthNorm, MinMax, Standard
from mtl_seg_depth.tasks.depth.painting import paint_depth, paint_error
from mtl_seg_depth.tasks.depth.pools import GeometricMean, SummedMetres
from mtl_seg_depth.tasks.occurrences import occurrences
from mtl_seg_depth.tasks.resize import Band, Size, enlarge
from mtl_seg_depth.tasks.task import Image, Pool, Task, ViewGeometry

ONE_SURFACE = 1.25
"""The ratio of neighbouring depths up to which something between them is drawn where an image is enlarged."""
SHOWN = 100
"""The ratio of the farthest to the nearest depth that has a colour of its own, at most."""


class Depth(Task):
    """Metres for every pixel: regression of normalised depth [B, 1, H, W], judged by the scale-invariant log error.

    Targets and predictions are planar metres, float32 [B, H, W]; targets are nan where there is no valid depth.

    Args:
        spec: of the data set's depths.
        norm: what the network predicts instead of metres; None for standardised depth if its mean is known.
        criterion: maps normalised depth [B, H, W] and metres [B, H, W] to a scalar; None for the squared error.
    """

    headline = SI_LOG
    spec_type = DepthSpec
    channels = 1

    def __init__(self, spec: DepthSpec, norm: DepthNorm | None = None, criterion: nn.Module | None = None) -> None:
        self.spec = spec
        self.norm = norm or (MinMax if spec.statistics.mean is None else Standard)(spec.statistics)
        self.criterion = criterion or L2(self.norm)
        self.metres = functools.cache(lambda device: torch.from_numpy(spec.table()).to(device))

    @classmethod
    def configured(cls, spec: DepthSpec, settings: Mapping[str, Any]) -> Self:
        """With the settings' `depth_norm` and `loss`."""
        norm: DepthNorm = build("depth_norm", settings["depth_norm"], statistics=spec.statistics)
        return cls(spec, norm, build("loss", settings["loss"], depth_norm=norm))

    def target(self, codes: Tensor) -> Tensor:
        """Metres, from a table; nan beyond the valid range too."""
        metres: Tensor = self.metres(codes.device)
        return metres.index_select(0, codes.flatten().int()).view(codes.shape)

    def seen(self, target: Tensor, view: ViewGeometry) -> Tensor:
        """Depths divided by the zoom, as a camera that came nearer sees them; nan where they leave the valid range."""
        if view.zoom is None:
            return target
        depth = target / view.zoom.to(target).view(-1, 1, 1)
        inside = (depth >= self.spec.statistics.min) & (depth <= self.spec.statistics.max)
        return torch.where(inside, depth, torch.nan)

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """The configured loss."""
        loss: Tensor = self.criterion(raw.squeeze(1), target)
        return loss

    def decode(self, raw: Tensor) -> Tensor:
        """Metres within the valid range."""
        return self.norm.to_metres(raw.squeeze(1))

    def meter(self, device: torch.device, detailed: bool = False) -> DepthMeter:
        """Errors image by image; a detailed one measures them by distance too."""
        return DepthMeter(device, self.spec.rules, by_distance=detailed)

    def scored(self, target: Tensor, whole: Size) -> Tensor:
        """Nan outside of the rules' crop."""
        if self.spec.rules.crop is None:
            return target
        window = (slice(None), *self.spec.rules.window(*whole))
        inside = torch.full_like(target, torch.nan)
        inside[window] = target[window]
        return inside

    def pool(self, size: Size, how: str | None = None) -> Pool:  # noqa: ARG002
        """The geometric mean."""
        return GeometricMean(size, self.norm)

    def report_pool(self, size: Size, divisor: float) -> Pool:
        """The sum of metres over `divisor`."""
        return SummedMetres(size, self.norm, divisor)

    def counts(self, codes: NDArray[Any]) -> bool:
        """Whether any has a depth within the valid range."""
        return not np.isnan(self.spec.table()[codes]).all()

    def constant(self, codes: NDArray[Any]) -> Tensor:
        """The mean depth."""
        table = self.spec.table()
        counts = np.where(np.isnan(table), 0, occurrences(codes, len(table)))
        return torch.tensor(float(np.nansum(counts * table) / max(1, counts.sum())))

    def enlarged(self, prediction: Tensor, size: Size) -> Tensor:
        """Bilinear in the logarithm of metres on a surface; at its edge whichever side is closer to that.

        Between a post and the house behind it there is nothing. Pixels belong to one surface while they are within
        `ONE_SURFACE` of each other.
        """
        if prediction.shape[1:] == size:
            return prediction
        logarithms = prediction.log().unsqueeze(1)

        def read(band: Band) -> Tensor:
            mixed = band.mixed(logarithms)
            near, far = band.range(logarithms)
            side = torch.where(mixed - near < far - mixed, near, far)
            return torch.where(far - near <= math.log(ONE_SURFACE), mixed, side).exp().squeeze(1)

        return enlarge(logarithms, size, read)

    def paint(self, values: NDArray[Any]) -> Image:
        """On a logarithmic scale over `shown_range`, near ones bright."""
        return paint_depth(values, *self.shown_range)

    @property
    def shown_range(self) -> tuple[float, float]:
        """Metres: what the colours of `paint` begin and end with.

        The farthest is that of the data's codes, and so is the nearest, unless it is less than a hundredth of that: a
        limit of millimetres says nothing of what is in a picture, and would leave few colours for it.
        """
        nearest, farthest = self.spec.codec.nearest, self.spec.codec.farthest
        return max(nearest, farthest / SHOWN), farthest

    def panels(self, target: NDArray[Any], prediction: NDArray[Any]) -> dict[str, Image]:
        """Depth, predicted depth, and by how much either is beyond the other."""
        return {
            "depth (log scale, near is bright)": self.paint(target),
            "predicted depth": self.paint(prediction),
            "error (red: too far, blue: too near)": paint_error(prediction, target),
        }

    def tick_metres(self) -> list[float]:
        """Round depths to mark on a scale of `shown_range`, its ends included."""
        near, far = self.shown_range
        powers = range(math.floor(math.log10(near)), math.ceil(math.log10(far)) + 1)
        steps = [digit * 10.0**power for power in powers for digit in (1, 2, 4, 8)]
        return [near, *(step for step in steps if near * 1.2 < step < far / 1.2), far]

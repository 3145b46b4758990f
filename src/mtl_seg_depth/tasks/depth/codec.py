"""What a data set says of its depths: how they are stored, which are valid, and their statistics.

Depth is planar (distance along the optical axis) in metres; nan marks a pixel without a valid depth.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class DepthCodec:
    """How depths are stored in whole numbers: code 0 is a pixel without a valid depth, the others are evenly spaced.

    Attributes:
        bits: of a code, 8 or 16.
        scale: what the codes are even steps of: `metres`, or `disparity` in 1/m.
        first: the value of code 1.
        last: the value of the largest code.
    """

    bits: Literal[8, 16]
    scale: Literal["metres", "disparity"]
    first: float
    last: float

    def __post_init__(self) -> None:
        """Refuse codes that do not ascend from above 0."""
        if not 0 < self.first < self.last:
            raise ValueError(f"the codes stand for values that ascend from above 0, not {self.first} to {self.last}")

    @property
    def largest(self) -> int:
        """The largest code."""
        return int(2**self.bits - 1)

    @property
    def nearest(self) -> float:
        """Metres; the nearest depth that a code stands for."""
        return self.first if self.scale == "metres" else 1 / self.last

    @property
    def farthest(self) -> float:
        """Metres; the farthest depth that a code stands for."""
        return self.last if self.scale == "metres" else 1 / self.first

    def table(self) -> NDArray[np.float32]:
        """Depth in metres of every code, float32 [2 ** bits]; nan for code 0."""
        code = np.arange(self.largest + 1, dtype=np.float64)
        value = (self.last - self.first) * (code - 1) / (self.largest - 1) + self.first
        value[0] = np.nan
        return (value if self.scale == "metres" else 1 / value).astype(np.float32)

    def encode(self, depth: ArrayLike) -> NDArray[np.uint8 | np.uint16]:
        """The codes of depths in metres, any shape; nan becomes code 0, other values are clamped to those there are.

        Values are floored to a code. A float32 depth that came out of a code can lie a rounding error below it, so the
        floor allows for 1e-3 of a code, or for twice float32's rounding error where codes lie closer, as 16-bit ones
        do: every code survives decoding and encoding.
        """
        metres = np.asarray(depth, np.float64)
        valid = ~np.isnan(metres)
        clamped = np.clip(np.where(valid, metres, self.farthest), self.nearest, self.farthest)
        value = clamped if self.scale == "metres" else 1 / clamped
        codes_per_unit = (self.largest - 1) / (self.last - self.first)
        allowance = np.maximum(1e-3, value * codes_per_unit * np.finfo(np.float32).eps)
        code = np.floor((value - self.first) / (self.last - self.first) * (self.largest - 1) + 1 + allowance)
        return np.where(valid, code, 0).astype(np.uint8 if self.bits == 8 else np.uint16)


@dataclass(frozen=True)
class DepthStatistics:
    """What a normalisation needs to know of a data set's valid depths, all in metres; None for what nobody measured."""

    mean: float | None
    std: float | None
    min: float
    max: float

    def __post_init__(self) -> None:
        """Refuse statistics that no data set has."""
        mean, std = self.typical, 1.0 if self.std is None else self.std
        if not (0 < self.min < mean < self.max and std > 0):
            raise ValueError(f"depth statistics need 0 < min < mean < max and a deviation above 0, not {self}")

    @property
    def typical(self) -> float:
        """The mean, or a depth that stands for it."""
        return (self.min + self.max) / 2 if self.mean is None else self.mean


@dataclass(frozen=True)
class DepthRules:
    """How a data set's depths are scored.

    Attributes:
        cap: metres; farther depths are not scored. None for no limit.
        mean_over: errors are averaged within each image and then over the `images`, or over all `pixels` at once.
        min: metres; nearer depths are not scored. None for no limit.
        crop: where the scored part of an image begins and ends, as shares of its height (top, bottom) and of its width
            (left, right). None for the whole image.
        clamp: move predictions to `min` and `cap` before they are scored.
        median_scaling: before that, multiply every image's prediction by the median of its depths over the median of
            what is predicted there, as papers do for networks that were never shown a metre.
    """

    cap: float | None = None
    mean_over: Literal["images", "pixels"] = "images"
    min: float | None = None
    crop: tuple[float, float, float, float] | None = None
    clamp: bool = False
    median_scaling: bool = False

    def __post_init__(self) -> None:
        """Refuse rules that leave nothing to score."""
        if not 0 <= (self.min or 0) < (math.inf if self.cap is None else self.cap):
            raise ValueError(f"depths are scored from min to cap, 0 <= min < cap; not {self.min} to {self.cap}")
        if self.clamp and self.min is None and self.cap is None:
            raise ValueError("clamp=true moves predictions to min and cap, and there is neither")
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                raise ValueError(f"crop is top, bottom, left, right as shares of 0 to 1; not {list(self.crop)}")

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns that are scored of an image of this size.

        Shares are floored to whole pixels, as the field's code does; the allowance is for shares that were made of
        whole pixels, such as 471/480.
        """
        top, bottom, left, right = self.crop or (0, 1, 0, 1)

        def whole(share: float, pixels: int) -> int:
            return math.floor(share * pixels + 1e-9)

        return slice(whole(top, height), whole(bottom, height)), slice(whole(left, width), whole(right, width))


@dataclass(frozen=True)
class DepthSpec:
    """Everything that a data set says of its depths."""

    codec: DepthCodec
    statistics: DepthStatistics
    rules: DepthRules = DepthRules()

    def __post_init__(self) -> None:
        """Refuse a valid range that the codes do not reach."""
        nearest, farthest = self.codec.nearest, self.codec.farthest
        low, high = self.statistics.min, self.statistics.max
        if low < nearest * (1 - 1e-6) or high > farthest * (1 + 1e-6):
            raise ValueError(
                f"the valid range is depth_min={low:g} to depth_max={high:g} m, and this data's codes stand for "
                f"{nearest:g} to {farthest:g} m"
            )

    def table(self) -> NDArray[np.float32]:
        """Depth in metres of every code, float32 [2 ** bits]; nan for code 0, and for depths beyond the valid range."""
        metres = self.codec.table()
        low, high = self.statistics.min * (1 - 1e-6), self.statistics.max * (1 + 1e-6)
        return np.where((metres >= low) & (metres <= high), metres, np.float32(np.nan))

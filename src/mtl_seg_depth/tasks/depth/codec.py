"""Depth: the 8-bit disparity codec of Miniscapes, the valid range and the statistics of a data set.

Depth is planar (distance along the optical axis) in metres; nan marks a pixel without a valid depth.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_DEPTH: Final = 4.0
"""Metres; the nearest depth that the codec holds."""
MAX_DEPTH: Final = 300.0
"""Metres; the farthest depth that the codec holds."""
INVALID_CODE: Final = 0
"""The 8-bit code of a pixel without a valid depth."""

_LEVELS: Final = 254
_NEAR: Final = 1 / MIN_DEPTH
_FAR: Final = 1 / MAX_DEPTH


def depth_of_code() -> NDArray[np.float32]:
    """Depth in metres of every 8-bit code, float32 [256]; nan for code 0.

    Code p stands for the disparity `(1/4 - 1/300) * (p - 1) / 254 + 1/300` (Miniscapes).
    """
    code = np.arange(256, dtype=np.float64)
    depth = 1 / ((_NEAR - _FAR) * (code - 1) / _LEVELS + _FAR)
    depth[INVALID_CODE] = np.nan
    return depth.astype(np.float32)


def encode_depth(depth: ArrayLike) -> NDArray[np.uint8]:
    """The 8-bit codes of depths in metres, any shape; nan becomes code 0, other values are clamped to 4..300 m.

    The format floors to an integer. A float32 depth that came out of a code can lie a rounding error below it, so
    the floor allows for 1e-3 of a code, and every code survives decoding and encoding.
    """
    metres = np.asarray(depth, np.float64)
    valid = ~np.isnan(metres)
    disparity = 1 / np.clip(np.where(valid, metres, MAX_DEPTH), MIN_DEPTH, MAX_DEPTH)
    code = np.floor((disparity - _FAR) / (_NEAR - _FAR) * _LEVELS + 1 + 1e-3)
    return np.where(valid, code, INVALID_CODE).astype(np.uint8)


@dataclass(frozen=True)
class DepthStatistics:
    """What a normalisation needs to know of a data set's valid depths; all in metres."""

    mean: float
    std: float
    min: float = MIN_DEPTH
    max: float = MAX_DEPTH

    def __post_init__(self) -> None:
        """Refuse statistics that no data set has."""
        if not (0 < self.min < self.mean < self.max and self.std > 0):
            raise ValueError(f"depth statistics need 0 < min < mean < max and a deviation above 0, not {self}")

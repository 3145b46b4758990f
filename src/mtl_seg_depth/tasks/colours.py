"""Shares in colours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTHING = np.array([40, 40, 40], np.uint8)
"""The colour of a pixel without a value."""


def colour(share: NDArray[Any], colormap: str) -> NDArray[np.uint8]:
    """Shares in 0..1 through one of matplotlib's colour maps; nan in `NOTHING`."""
    from matplotlib import colormaps

    coloured = colormaps[colormap](np.nan_to_num(share).clip(0, 1), bytes=True)[..., :3]
    return np.where(np.isnan(share)[..., None], NOTHING, coloured)

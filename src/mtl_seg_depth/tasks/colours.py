"""Shares in colours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTHING = np.array([40, 40, 40], np.uint8)
"""The colour of a pixel without a value."""


def colour(share: NDArray[Any], colormap: str) -> NDArray[np.uint8]:
    """Shares in 0..1 through one of matplotlib's colour maps; nan in `NOTHING`."""
    from matplotlib import colormaps

    table = colormaps[colormap](np.arange(256), bytes=True)[:, :3]
    missing = np.isnan(share)
    coloured: NDArray[np.uint8] = table[np.where(missing, 0, share * 256).clip(0, 255).astype(np.uint8)]
    coloured[missing] = NOTHING
    return coloured

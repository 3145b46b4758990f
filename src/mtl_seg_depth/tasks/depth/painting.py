"""Depths and their errors in colours."""

import math

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.tasks.colours import colour
from mtl_seg_depth.tasks.task import Image

LARGEST_ERROR = math.log(2)
"""The depth error that is shown in the strongest colour: a factor of two, either way."""


def paint_depth(depth: NDArray[np.float32], nearest: float, farthest: float) -> Image:
    """Metres [H, W] on a logarithmic scale, near ones bright; nan is grey."""
    share = np.log(np.maximum(depth, nearest) / nearest) / math.log(farthest / nearest)
    return colour(1 - share, "magma")


def paint_error(prediction: NDArray[np.float32], depth: NDArray[np.float32]) -> Image:
    """`ln(prediction / depth)` [H, W]: red where predicted too far, blue where too near, white where right."""
    return colour(0.5 + np.log(prediction / depth) / (2 * LARGEST_ERROR), "RdBu_r")

"""Classes laid over the image that they were found in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.tasks.task import Image

ROWS = 64
"""Of an image that are mixed at once: in real numbers a large image would take a dozen times its memory."""


def overlay(image: Image, labels: NDArray[Any], painted: Image, opacity: float = 0.5) -> Image:
    """An image under the colours `painted` of its classes [H, W], `opacity` of them, their borders a little darker."""
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    mixed = np.empty(image.shape, np.uint8)
    for start in range(0, len(image), ROWS):
        rows = slice(start, start + ROWS)
        blend = np.float32(1 - opacity) * image[rows] + np.float32(opacity) * painted[rows]
        blend[border[rows]] *= np.float32(0.6)
        mixed[rows] = blend.round()
    return mixed

"""Classes laid over the image that they were found in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.tasks.task import Image


def overlay(image: Image, labels: NDArray[Any], painted: Image, opacity: float = 0.5) -> Image:
    """An image under the colours `painted` of its classes [H, W], `opacity` of them, their borders a little darker."""
    mixed = (1 - opacity) * image + opacity * painted
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    return np.where(border[..., None], 0.6 * mixed, mixed).round().astype(np.uint8)

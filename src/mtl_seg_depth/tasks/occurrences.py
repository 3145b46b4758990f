"""How often each stored code occurs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def occurrences(codes: NDArray[Any], length: int) -> NDArray[np.int64]:
    """Of codes [N, H, W, ...] below `length`, int64 [length].

    Image by image: counting takes eight bytes a pixel, and a split that is mapped from disk may be larger than memory.
    """
    total = np.zeros(length, np.int64)
    for image in codes:
        total += np.bincount(image.reshape(-1), minlength=length)
    return total

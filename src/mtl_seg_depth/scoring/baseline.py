"""What a network must beat: the training split's most frequent class and mean depth, predicted everywhere."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.tasks.depth.codec import INVALID_CODE, depth_of_code
from mtl_seg_depth.tasks.semseg.labels import NUM_CLASSES

SAMPLE = 512
"""Pictures counted at most, evenly spaced over the split: enough for one class and one mean."""


class Constant:
    """Predicts one class and one depth (metres) for every pixel, in the form of a `Predictor`."""

    def __init__(self, train: PackedSplit, tasks: Iterable[str]) -> None:
        """Count the training split; the tasks are those to predict."""
        step = -(-len(train) // SAMPLE)
        train.check(range(0, len(train), step))
        self.values: dict[str, int | float] = {}
        for task in tasks:
            array = train.semseg if task == "semseg" else train.depth
            assert array is not None
            counts = np.bincount(array[::step].reshape(-1), minlength=256)
            if task == "semseg":
                self.values[task] = int(counts[:NUM_CLASSES].argmax())
            else:
                counts[INVALID_CODE] = 0
                self.values[task] = float(np.nansum(counts * depth_of_code()) / max(1, counts.sum()))

    def __call__(self, rgb: Tensor) -> dict[str, Tensor]:
        """The constants in the shape of a prediction for rgb [B, 3, H, W]."""
        shape = (rgb.shape[0], *rgb.shape[2:])
        return {task: torch.full(shape, value, device=rgb.device) for task, value in self.values.items()}

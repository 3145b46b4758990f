"""The frames of a video beside what is predicted of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from mtl_seg_depth.drawing.legend import GAP, LINE, font, legend
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.semseg.overlay import overlay
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Image, Task

LARGEST_WIDTH = 3840
"""Pixels; most players' hardware takes no more."""

SMALLEST_WIDTH = 480
"""Pixels; a legend has room in so many."""


class SideBySide:
    """Draws image, labels over the image, and depth in one row, above a legend that stays as it is.

    Colours mean the same in every frame. All sides are even, as videos have them.

    Args:
        size: height and width of the frames.
        tasks: those predicted.
        note: what else is to be known, one line below the legend.

    Attributes:
        panel: height and width of one panel, in which predictions are drawn.
        size: height and width of all.
    """

    def __init__(self, size: Size, tasks: Mapping[str, Task], note: str = "") -> None:
        self._tasks = tasks
        count = 1 + len(tasks)
        scale = min(1.0, LARGEST_WIDTH / (count * size[1]), LARGEST_WIDTH / size[0])
        self.panel: Size = (_even(size[0] * scale), _even(size[1] * scale))
        width = max(count * self.panel[1], SMALLEST_WIDTH)
        below = legend(tasks, width - 2 * GAP)
        height = self.panel[0] + GAP + below.height + (LINE if note else 0)
        canvas = Pillow.new("RGB", (width, height + height % 2), "white")
        canvas.paste(below, (GAP, self.panel[0] + GAP))
        if note:
            draw = ImageDraw.Draw(canvas)
            draw.text((GAP, self.panel[0] + GAP + below.height), note, "black", font(13))
        self._canvas = np.asarray(canvas)
        self.size: Size = (canvas.height, canvas.width)

    def draw(self, rgb: Image, prediction: Mapping[str, NDArray[Any]]) -> Image:
        """One frame uint8 [H, W, 3] of any size beside its predictions, which have that of a panel."""
        height, width = self.panel
        if rgb.shape[:2] != self.panel:
            rgb = np.asarray(Pillow.fromarray(rgb).resize((width, height), Pillow.Resampling.BILINEAR))
        panels = [rgb]
        for name, task in self._tasks.items():
            painted = task.paint(prediction[name])
            panels.append(overlay(rgb, prediction[name], painted) if isinstance(task, Semseg) else painted)
        drawn = self._canvas.copy()
        drawn[:height, : width * len(panels)] = np.concatenate(panels, axis=1)
        return drawn


def _even(side: float) -> int:
    return max(2, 2 * int(side / 2))

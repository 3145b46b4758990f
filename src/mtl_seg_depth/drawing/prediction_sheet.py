"""One image's predictions side by side, with what it takes to read them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from mtl_seg_depth.drawing.legend import GAP, LINE, font, legend
from mtl_seg_depth.system.wording import one_line
from mtl_seg_depth.tasks.semseg.overlay import overlay
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Image, Task

PANEL_AREA = 640 * 360
"""Pixels of a panel, whatever its shape; smaller images are enlarged up to twice."""


def prediction_sheet(
    image: Image, prediction: Mapping[str, NDArray[Any]], tasks: Mapping[str, Task], title: str, note: str = ""
) -> Pillow.Image:
    """An image and what was predicted of it, labels as an overlay too, above a legend.

    Args:
        image: uint8 [H, W, 3].
        prediction: [H, W] by task.
        tasks: those predicted.
        title: the image's name.
        note: what else is to be known, one line below the legend.
    """
    height, width = image.shape[:2]
    scale = min(2.0, (PANEL_AREA / (height * width)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # What gets smaller is made so first: painting takes less then, and borders are as wide as they are in small images.
    if scale < 1:
        image = np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.LANCZOS))
    shown = {name: _nearest(values, size) if scale < 1 else values for name, values in prediction.items()}
    panels = {title: image}
    smooth = {title, "overlay"}
    for name, task in tasks.items():
        painted = task.paint(shown[name])
        if isinstance(task, Semseg):
            panels["overlay"] = overlay(image, shown[name], painted)
            panels["labels"] = painted
        else:
            panels[name] = painted
            smooth.add(name)
    columns = 2 if len(panels) == 4 and width > height else len(panels)
    rows = -(-len(panels) // columns)
    total = max(columns * (size[0] + GAP) + GAP, 480)
    below = legend(tasks, total - 2 * GAP, prediction)
    last = LINE if note else 0
    canvas = Pillow.new("RGB", (total, GAP + rows * (LINE + size[1] + GAP) + below.height + last + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (caption, panel) in enumerate(panels.items()):
        x = GAP + index % columns * (size[0] + GAP)
        y = GAP + index // columns * (LINE + size[1] + GAP)
        draw.text((x, y), _shortened(draw, caption, size[0]), "black", font(15))
        # Labels must not mix at their edges; a photograph may be smoothed.
        how = Pillow.Resampling.LANCZOS if caption in smooth else Pillow.Resampling.NEAREST
        canvas.paste(Pillow.fromarray(panel).resize(size, how), (x, y + LINE))
    canvas.paste(below, (GAP, canvas.height - below.height - last - GAP))
    if note:
        draw.text((GAP, canvas.height - LINE - GAP + 4), note, "black", font(13))
    return canvas


def _nearest(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Every so-manieth of values [H, W] in another width and height: there is nothing between two classes or depths."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size[::-1], values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels."""
    shown = text = one_line(text)
    kept = len(text)
    while draw.textlength(shown, font(15)) > width and kept > 2:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[len(text) - kept // 2 :]}"
    return shown

"""What it takes to read an image of predictions: the classes' colours, the depths' scale."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from mtl_seg_depth.system.wording import one_line
from mtl_seg_depth.tasks.depth.painting import LARGEST_ERROR, paint_error
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Task

GAP = 10
LINE = 22
SCALE = 14 + LINE + 2
"""Height of a row of colours with its numbers."""


def legend(
    tasks: Mapping[str, Task],
    width: int,
    values: Mapping[str, NDArray[Any]] | None = None,
    *,
    errors: bool = False,
) -> Pillow.Image:
    """The colours of every task's values, `width` pixels wide; with `errors`, those of depth errors too.

    With `values` of one image, by task, classes stand in the order of their share of it; else all of them do.
    """
    canvas = Pillow.new("RGB", (width, 10_000), "white")
    draw = ImageDraw.Draw(canvas)
    y = 0
    for name, task in tasks.items():
        if isinstance(task, Semseg):
            y += _draw_classes(draw, y, width, task, None if values is None else values[name]) + GAP
        elif isinstance(task, Depth):
            long = min(width - 40, 640)
            y += _draw_scale(draw, canvas, y, long, task)
            y += _draw_errors(draw, canvas, y, long) if errors else 0
    return canvas.crop((0, 0, width, y))


def _draw_classes(draw: ImageDraw.ImageDraw, y: int, width: int, task: Semseg, labels: NDArray[Any] | None) -> int:
    """Names beside their colours; the height it took."""
    top, x = y, 0
    classes = task.classes
    counts = np.ones(len(classes)) if labels is None else np.bincount(labels.ravel(), minlength=256)[: len(classes)]
    for index in np.argsort(-counts, kind="stable"):
        if not counts[index]:
            break
        share = 100 * counts[index] / counts.sum()
        told = "" if labels is None else f" {f'{share:.0f}' if share >= 0.5 else '<1'} %"
        text = f"{one_line(classes.names[index])}{told}"
        needed = LINE + int(draw.textlength(text, font(14))) + 14
        if x and x + needed > width:
            x, y = 0, y + LINE
        draw.rectangle((x, y + 3, x + 15, y + 17), classes.colours[index])
        draw.text((x + LINE, y + 1), text, "black", font(14))
        x += needed
    return y + LINE - top


def _draw_scale(draw: ImageDraw.ImageDraw, canvas: Pillow.Image, y: int, width: int, task: Depth) -> int:
    """The colours of the depths, nearest at the left, with some metres below; the height it took."""
    nearest, farthest = task.shown_range
    metres = np.geomspace(nearest, farthest, width, dtype=np.float32)
    canvas.paste(Pillow.fromarray(task.paint(metres[None]).repeat(14, axis=0)), (0, y))
    ticks = task.tick_metres()
    for tick in ticks:
        share = float(np.log(tick / nearest) / np.log(farthest / nearest))
        _draw_tick(draw, y, round((width - 1) * share), f"{tick:g} m" if tick == ticks[-1] else f"{tick:g}")
    return SCALE


def _draw_errors(draw: ImageDraw.ImageDraw, canvas: Pillow.Image, y: int, width: int) -> int:
    """The colours of predicted by true depth, too near at the left, with some ratios below; the height it took."""
    largest = np.exp(LARGEST_ERROR)
    ratios = np.geomspace(1 / largest, largest, width, dtype=np.float32)
    canvas.paste(Pillow.fromarray(paint_error(ratios[None], np.ones_like(ratios[None])).repeat(14, axis=0)), (0, y))
    for share, text in ((0.0, f"{1 / largest:g} of the depth"), (0.5, "right"), (1.0, f"{largest:g} times the depth")):
        _draw_tick(draw, y, round((width - 1) * share), text)
    return SCALE


def _draw_tick(draw: ImageDraw.ImageDraw, y: int, x: int, text: str) -> None:
    """A number below the colours that begin at `y`."""
    draw.line((x, y + 14, x, y + 18), "black")
    draw.text((max(0, x - int(draw.textlength(text, font(13))) // 2), y + 19), text, "black", font(13))


def font(size: int) -> Any:
    """The font of everything that is drawn."""
    return ImageFont.load_default(size)

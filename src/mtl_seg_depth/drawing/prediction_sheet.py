"""One picture's predictions side by side, with what it takes to read them: the classes' colours, the depths' scale."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mtl_seg_depth.drawing.pictures import Picture, colour_depth, colour_labels, overlay
from mtl_seg_depth.tasks.depth.codec import MAX_DEPTH, MIN_DEPTH
from mtl_seg_depth.tasks.semseg.labels import LABELS, NUM_CLASSES

GAP = 10
LINE = 22
PANEL_AREA = 640 * 360
"""Pixels of a panel, whatever its shape; smaller pictures are enlarged up to twice."""

TICKS = (4, 6, 10, 20, 40, 80, 150, 300)
"""Metres."""


def prediction_sheet(rgb: Picture, prediction: dict[str, NDArray[Any]], title: str) -> Image.Image:
    """A picture, its overlay, its labels and its depth, as far as predicted, above a legend.

    Args:
        rgb: uint8 [H, W, 3].
        prediction: `semseg` train ids and `depth` metres, [H, W] each.
        title: the picture's name.
    """
    panels = {title: rgb}
    if "semseg" in prediction:
        panels["overlay"] = overlay(rgb, prediction["semseg"])
        panels["labels"] = colour_labels(prediction["semseg"])
    if "depth" in prediction:
        panels["depth"] = colour_depth(prediction["depth"])
    height, width = rgb.shape[:2]
    scale = min(2.0, (PANEL_AREA / (height * width)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    columns = 2 if len(panels) == 4 and width > height else len(panels)
    rows = -(-len(panels) // columns)
    total = max(columns * (size[0] + GAP) + GAP, 480)
    legend = _legend(prediction, total - 2 * GAP)
    canvas = Image.new("RGB", (total, GAP + rows * (LINE + size[1] + GAP) + legend.height + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (caption, picture) in enumerate(panels.items()):
        x = GAP + index % columns * (size[0] + GAP)
        y = GAP + index // columns * (LINE + size[1] + GAP)
        draw.text((x, y), _shortened(draw, caption, size[0]), "black", _font(15))
        # Labels and depths must not mix at their edges; a photograph may be smoothed.
        how = Image.Resampling.NEAREST if caption == "labels" else Image.Resampling.LANCZOS
        canvas.paste(Image.fromarray(picture).resize(size, how), (x, y + LINE))
    canvas.paste(legend, (GAP, canvas.height - legend.height - GAP))
    return canvas


def _legend(prediction: dict[str, NDArray[Any]], width: int) -> Image.Image:
    """The classes that are there, by their share of the picture, and the scale of the depths."""
    canvas = Image.new("RGB", (width, 10_000), "white")
    draw = ImageDraw.Draw(canvas)
    y = 0
    if "semseg" in prediction:
        counts = np.bincount(prediction["semseg"].ravel(), minlength=NUM_CLASSES)[:NUM_CLASSES]
        x = 0
        for index in np.argsort(-counts, kind="stable"):
            if not counts[index]:
                break
            share = 100 * counts[index] / counts.sum()
            text = f"{LABELS[index].name} {f'{share:.0f}' if share >= 0.5 else '<1'} %"
            needed = LINE + int(draw.textlength(text, _font(14))) + 14
            if x and x + needed > width:
                x, y = 0, y + LINE
            draw.rectangle((x, y + 3, x + 15, y + 17), LABELS[index].colour)
            draw.text((x + LINE, y + 1), text, "black", _font(14))
            x += needed
        y += LINE + GAP
    if "depth" in prediction:
        y += _draw_scale(draw, canvas, y, min(width - 40, 640))
    return canvas.crop((0, 0, width, y))


def _draw_scale(draw: ImageDraw.ImageDraw, canvas: Image.Image, y: int, width: int) -> int:
    """The colours of the depths, nearest at the left, with some metres below; the height it took."""
    metres = np.geomspace(MIN_DEPTH, MAX_DEPTH, width, dtype=np.float32)
    canvas.paste(Image.fromarray(colour_depth(metres[None]).repeat(14, axis=0)), (0, y))
    for tick in TICKS:
        x = round((width - 1) * np.log(tick / MIN_DEPTH) / np.log(MAX_DEPTH / MIN_DEPTH))
        draw.line((x, y + 14, x, y + 18), "black")
        text = f"{tick} m" if tick == TICKS[-1] else str(tick)
        left = max(0, x - int(draw.textlength(text, _font(13))) // 2)
        draw.text((left, y + 19), text, "black", _font(13))
    return 14 + LINE + 2


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels."""
    kept = len(text)
    shown = text
    while draw.textlength(shown, _font(15)) > width and kept > 2:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[len(text) - kept // 2 :]}"
    return shown


def _font(size: int) -> Any:
    return ImageFont.load_default(size)

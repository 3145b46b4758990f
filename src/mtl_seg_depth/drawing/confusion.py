"""A confusion matrix as an image."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mtl_seg_depth.system.wording import one_line
from mtl_seg_depth.tasks.colours import colour
from mtl_seg_depth.tasks.task import Confusion


def confusion(found: Confusion, cell: int = 40) -> Image.Image:
    """A confusion matrix, rows by label, each row as shares of the label's pixels in per cent.

    Shares under half a per cent have a colour and no number; a cell is `cell` pixels wide.
    """
    matrix, names = found.matrix.numpy(), [one_line(name) for name in found.names]
    totals = matrix.sum(axis=1)
    shares = 100 * matrix / np.maximum(totals, 1)[:, None]
    left, top, side, below = 150, 50, len(names) * cell, 110
    canvas = Image.new("RGB", (left + side + 20, top + side + below), "white")
    colours = Image.fromarray(colour(shares / 100, "Blues"))
    canvas.paste(colours.resize((side, side), Image.Resampling.NEAREST), (left, top))
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(14), ImageFont.load_default(12)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline="black")
    title = "Where the pixels of each class went, in per cent: labels downwards, predictions to the right"
    draw.text((left + side / 2, top / 2), title, "black", ImageFont.load_default(16), anchor="mm")
    for index, (name, total) in enumerate(zip(names, totals, strict=True)):
        middle = round((index + 0.5) * cell)
        draw.text((left - 8, top + middle), name if total else f"{name} (none)", "black", font, anchor="rm")
        slanted = Image.new("L", (below, 20))
        ImageDraw.Draw(slanted).text((below, 10), name, 255, font, anchor="rm")
        slanted = slanted.rotate(60, Image.Resampling.BICUBIC, expand=True)
        canvas.paste("black", (left + middle + 8 - slanted.width, top + side + 6), slanted)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
        share = shares[row, column]
        place = (left + (column + 0.5) * cell, top + (row + 0.5) * cell)
        draw.text(place, f"{share:.0f}", "white" if share > 50 else "black", small, anchor="mm")
    return canvas

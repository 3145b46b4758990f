"""Pictures of labels, depths and predictions, in the colours people know."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mtl_seg_depth.system import atomic
from mtl_seg_depth.tasks.depth.codec import MAX_DEPTH, MIN_DEPTH
from mtl_seg_depth.tasks.semseg.labels import CLASS_NAMES, palette

Picture = NDArray[np.uint8]
"""uint8 [H, W, 3]."""

NOTHING = np.array([40, 40, 40], np.uint8)
"""The colour of a pixel without a depth."""

LARGEST_ERROR = math.log(2)
"""The depth error that is shown in the strongest colour: a factor of two, either way."""


def colour_labels(labels: NDArray[Any]) -> Picture:
    """Train ids [H, W] in the colours of Cityscapes; ignored pixels are black."""
    coloured: Picture = palette()[labels]
    return coloured


def colour_depth(depth: NDArray[np.float32], nearest: float = MIN_DEPTH, farthest: float = MAX_DEPTH) -> Picture:
    """Metres [H, W] on a logarithmic scale, near ones bright; nan is grey."""
    share = np.log(np.maximum(depth, nearest) / nearest) / math.log(farthest / nearest)
    return _colour(1 - share, "magma")


def colour_error(prediction: NDArray[np.float32], depth: NDArray[np.float32]) -> Picture:
    """`ln(prediction / depth)` [H, W]: red where predicted too far, blue where too near, white where right."""
    return _colour(0.5 + np.log(prediction / depth) / (2 * LARGEST_ERROR), "RdBu_r")


def _colour(share: NDArray[Any], colormap: str) -> Picture:
    """Shares in 0..1 through one of matplotlib's colour maps; nan in `NOTHING`."""
    from matplotlib import colormaps

    coloured = colormaps[colormap](np.nan_to_num(share).clip(0, 1), bytes=True)[..., :3]
    return np.where(np.isnan(share)[..., None], NOTHING, coloured)


def overlay(rgb: Picture, labels: NDArray[Any], opacity: float = 0.5) -> Picture:
    """A picture under the colours of its train ids [H, W], `opacity` of them, their borders drawn a little darker."""
    mixed = (1 - opacity) * rgb + opacity * colour_labels(labels)
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    return np.where(border[..., None], 0.6 * mixed, mixed).round().astype(np.uint8)


def sheet(rows: list[dict[str, Picture]], width: int = 256) -> Image.Image:
    """Pictures side by side under their captions, one row for each dictionary; each drawn `width` pixels wide.

    All rows have the same captions, and all pictures the same shape.
    """
    captions = list(rows[0])
    height, original = rows[0][captions[0]].shape[:2]
    height = round(height * width / original)
    gap, head = 4, 20
    canvas = Image.new(
        "RGB",
        (len(captions) * (width + gap) - gap, head + len(rows) * (height + gap) - gap),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    for column, caption in enumerate(captions):
        draw.text((column * (width + gap) + 2, 2), caption, "black", font)
        for index, row in enumerate(rows):
            # Labels must not mix at their edges; a photograph may be smoothed.
            how = Image.Resampling.LANCZOS if caption == "image" else Image.Resampling.NEAREST
            drawn = Image.fromarray(row[caption]).resize((width, height), how)
            canvas.paste(drawn, (column * (width + gap), head + index * (height + gap)))
    return canvas


def panel_row(
    rgb: NDArray[np.float32],
    semseg: NDArray[Any],
    depth: NDArray[np.float32],
    prediction: dict[str, NDArray[Any]],
) -> dict[str, Picture]:
    """One row of a panel: image, label, prediction, depth, predicted depth, error, for the tasks predicted.

    Args:
        rgb: [H, W, 3] in 0..1.
        semseg: train ids [H, W].
        depth: metres [H, W], nan where not valid.
        prediction: `semseg` train ids and `depth` metres, [H, W] each.
    """
    row = {"image": (rgb * 255).round().astype(np.uint8)}
    if "semseg" in prediction:
        row["labels"] = colour_labels(semseg)
        row["predicted labels"] = colour_labels(prediction["semseg"])
    if "depth" in prediction:
        row["depth (log scale, near is bright)"] = colour_depth(depth)
        row["predicted depth"] = colour_depth(prediction["depth"])
        row["error (red: too far, blue: too near)"] = colour_error(prediction["depth"], depth)
    return row


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all, in the format of the path's ending."""
    with atomic.replacing(path) as temporary:
        picture.save(temporary)


def confusion(matrix: NDArray[np.int64], cell: int = 40) -> Image.Image:
    """A confusion matrix [19, 19], rows by label, each row as shares of the label's pixels in per cent.

    Shares under half a per cent have a colour and no number; a cell is `cell` pixels wide.
    """
    totals = matrix.sum(axis=1)
    shares = 100 * matrix / np.maximum(totals, 1)[:, None]
    left, top, side, below = 150, 50, len(CLASS_NAMES) * cell, 110
    canvas = Image.new("RGB", (left + side + 20, top + side + below), "white")
    colours = Image.fromarray(_colour(shares / 100, "Blues"))
    canvas.paste(colours.resize((side, side), Image.Resampling.NEAREST), (left, top))
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(14), ImageFont.load_default(12)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline="black")
    title = "Where the pixels of each class went, in per cent: labels downwards, predictions to the right"
    draw.text((left + side / 2, top / 2), title, "black", ImageFont.load_default(16), anchor="mm")
    for index, (name, total) in enumerate(zip(CLASS_NAMES, totals, strict=True)):
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

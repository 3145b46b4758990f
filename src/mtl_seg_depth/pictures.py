"""Pictures of labels, depths and predictions, in the colours people know."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mtl_seg_depth import atomic
from mtl_seg_depth.depth import MAX_DEPTH, MIN_DEPTH
from mtl_seg_depth.labels import CLASS_NAMES, palette

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


def save_confusion(matrix: NDArray[np.int64], path: Path) -> None:
    """Draw a confusion matrix [19, 19], rows by label, each row as shares of the label's pixels in per cent."""
    from matplotlib.figure import Figure

    totals = matrix.sum(axis=1, keepdims=True)
    shares = 100 * matrix / np.maximum(totals, 1)
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    names = [name if total else f"{name} (none)" for name, total in zip(CLASS_NAMES, totals[:, 0], strict=True)]
    axes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, rotation=60, ha="right")
    axes.set_yticks(range(len(CLASS_NAMES)), names)
    axes.set(xlabel="predicted", ylabel="label", title="Where the pixels of each class went (per cent of the label)")
    for i, j in zip(*np.nonzero(shares >= 0.5), strict=True):
        colour = "white" if shares[i, j] > 50 else "black"
        axes.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=colour, in_layout=False)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)

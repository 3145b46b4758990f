"""Two trainings' panels of validation pictures as one: each picture once, with what either made of it."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mtl_seg_depth.drawing.sheet import sheet
from mtl_seg_depth.tasks.task import Image as Picture

COLUMNS = (
    "image", "labels", "predicted labels", "depth (log scale, near is bright)", "predicted depth",
    "error (red: too far, blue: too near)",
)  # fmt: skip
"""Of a panel that `pictures.panel_row` made for both tasks, in its order."""

CELL, GAP, HEAD = 256, 4, 20
"""Pixels of a panel as `pictures.sheet` lays it out: a picture's width, the white between two, the captions above."""

PICTURES = 3
"""As many are shown."""


def beside(before: Path, after: Path) -> bytes | None:
    """Labels and depths before and after, as a JPEG; None where the panels do not show the same pictures."""
    rows, later = _cut(before), _cut(after)
    if not rows or len(rows) != len(later) or rows[0]["image"].shape != later[0]["image"].shape:
        return None
    if any(not np.array_equal(one["image"], other["image"]) for one, other in zip(rows, later, strict=True)):
        return None
    mixed = [
        {
            "image": one["image"],
            "labels": one["labels"],
            "labels, before": one["predicted labels"],
            "labels, after": other["predicted labels"],
            "depth": one[COLUMNS[3]],
            "depth, before": one["predicted depth"],
            "depth, after": other["predicted depth"],
        }
        for one, other in zip(rows[:PICTURES], later[:PICTURES], strict=True)
    ]
    file = io.BytesIO()
    sheet(mixed, width=220).save(file, format="JPEG", quality=82, optimize=True)
    return file.getvalue()


def _cut(path: Path) -> list[dict[str, Picture]]:
    """A panel's pictures by caption; empty for one of another layout, such as that of a single task."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    if pixels.shape[1] != len(COLUMNS) * (CELL + GAP) - GAP:
        return []
    white = np.flatnonzero((pixels[HEAD:] == 255).all(axis=(1, 2)))
    height = int(white[0]) if len(white) else len(pixels) - HEAD
    rows = []
    for top in range(HEAD, len(pixels), height + GAP):
        lefts = [column * (CELL + GAP) for column in range(len(COLUMNS))]
        cells = [pixels[top : top + height, left : left + CELL] for left in lefts]
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows

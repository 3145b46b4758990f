"""Images side by side under their captions, and the same images cut out of such a file again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, PngImagePlugin
from pydantic import BaseModel
from torch import Tensor

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.system import atomic, stored
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.task import Image, Task

CELLS = "cells"
"""The text in a sheet's PNG file that says where its images are."""

COMPRESSION = 3
"""zlib's level for PNG: a tenth larger than Pillow's 6 at most, in a third of the time."""

GAP, HEAD = 4, 20
"""Pixels between images, and above the first for the captions."""


class _Cells(BaseModel):
    """Where a sheet's images are: each `width` by `height` pixels, a column for each caption."""

    model_config = stored.STORED

    captions: list[str]
    rows: stored.Count
    width: stored.Count
    height: stored.Count


def panel_rows(batch: Batch, prediction: Mapping[str, Tensor], tasks: Mapping[str, Task]) -> list[dict[str, Image]]:
    """For every image of a batch: the image, and each task's target beside its prediction, by caption."""
    images = (batch.image.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype("uint8")
    rows = [{"image": image} for image in images]
    for name, task in tasks.items():
        targets, predicted = batch.targets[name].cpu().numpy(), prediction[name].cpu().numpy()
        for row, *pair in zip(rows, targets, predicted, strict=True):
            row |= task.panels(*pair)
    return rows


def sheet(rows: Sequence[Mapping[str, Image]], width: int = 256) -> Pillow.Image:
    """Images side by side under their captions, one row for each mapping; each drawn `width` pixels wide.

    All rows have the same captions, and all images the same shape.
    """
    captions = list(rows[0])
    height, original = rows[0][captions[0]].shape[:2]
    height = round(height * width / original)
    canvas = Pillow.new(
        "RGB",
        (len(captions) * (width + GAP) - GAP, HEAD + len(rows) * (height + GAP) - GAP),
        "white",
    )
    canvas.info[CELLS] = _Cells(captions=captions, rows=len(rows), width=width, height=height).model_dump_json()
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    for column, caption in enumerate(captions):
        draw.text((column * (width + GAP) + 2, 2), caption, "black", font)
        for index, row in enumerate(rows):
            # Labels must not mix at their edges; a photograph may be smoothed.
            how = Pillow.Resampling.LANCZOS if caption == "image" else Pillow.Resampling.NEAREST
            drawn = Pillow.fromarray(row[caption]).resize((width, height), how)
            canvas.paste(drawn, _corner(column, index, width, height))
    return canvas


def stacked(above: Pillow.Image, below: Pillow.Image, gap: int = 10) -> Pillow.Image:
    """One image above another, such as a legend, on white; where the upper one's images are stays known."""
    canvas = Pillow.new("RGB", (max(above.width, below.width), above.height + gap + below.height), "white")
    canvas.info |= above.info
    canvas.paste(above, (0, 0))
    canvas.paste(below, (0, above.height + gap))
    return canvas


def save(image: Pillow.Image, path: Path) -> None:
    """Write an image, whole or not at all, in the format of the path's ending."""
    more: dict[str, Any] = {"compress_level": COMPRESSION} if path.suffix == ".png" else {}
    if path.suffix == ".png" and CELLS in image.info:
        more["pnginfo"] = PngImagePlugin.PngInfo()
        more["pnginfo"].add_text(CELLS, image.info[CELLS])
    with atomic.replacing(path) as temporary:
        image.save(temporary, **more)


def cells(path: Path) -> list[dict[str, Pillow.Image]]:
    """The images of a sheet that `save` wrote as PNG, by caption, one mapping for each of its rows.

    Empty for a file that does not say where they are, as those of older versions. Raises UserError for one that cannot
    be read, or says they were where it has no pixels.
    """
    try:
        with Pillow.open(path, formats=["PNG"]) as file:
            sheet, told = file.convert("RGB"), file.info.get(CELLS)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error
    if told is None:
        return []
    where = stored.parse(str(told).encode(), _Cells, f"the text in {path.name}")
    size = where.width, where.height
    last = _corner(len(where.captions) - 1, where.rows - 1, *size)
    if last[0] + size[0] > sheet.width or last[1] + size[1] > sheet.height:
        raise UserError(f"{path.name} is damaged, or not ours: it has fewer pixels than images")
    corners = [[_corner(column, row, *size) for column in range(len(where.captions))] for row in range(where.rows)]
    return [
        {
            caption: sheet.crop((x, y, x + size[0], y + size[1]))
            for caption, (x, y) in zip(where.captions, of_row, strict=True)
        }
        for of_row in corners
    ]


def _corner(column: int, row: int, width: int, height: int) -> tuple[int, int]:
    return column * (width + GAP), HEAD + row * (height + GAP)

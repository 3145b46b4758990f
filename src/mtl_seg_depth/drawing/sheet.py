"""Images side by side under their captions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.system import atomic
from mtl_seg_depth.tasks.task import Image, Task


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
    gap, head = 4, 20
    canvas = Pillow.new(
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
            how = Pillow.Resampling.LANCZOS if caption == "image" else Pillow.Resampling.NEAREST
            drawn = Pillow.fromarray(row[caption]).resize((width, height), how)
            canvas.paste(drawn, (column * (width + gap), head + index * (height + gap)))
    return canvas


def stacked(above: Pillow.Image, below: Pillow.Image, gap: int = 10) -> Pillow.Image:
    """One image above another, such as a legend, on white."""
    canvas = Pillow.new("RGB", (max(above.width, below.width), above.height + gap + below.height), "white")
    canvas.paste(above, (0, 0))
    canvas.paste(below, (0, above.height + gap))
    return canvas


def save(image: Pillow.Image, path: Path) -> None:
    """Write an image, whole or not at all, in the format of the path's ending."""
    with atomic.replacing(path) as temporary:
        image.save(temporary)

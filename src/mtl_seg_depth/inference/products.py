"""What is written of one image, and in which form.

    <name>_labels.png        train ids, 8-bit, with the colours of Cityscapes as palette
    <name>_depth.png|.npy    depth, see `DepthFormat`
    <name>_depth_colour.png  depth on a logarithmic scale, near is bright
    <name>_overlay.png       the image under its labels
    <name>_sheet.png         all of it side by side, with a legend
    <name>_points.ply        the image's pixels in space, see points.py

All images have the image's own size, the sheet aside.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.drawing.sheet import COMPRESSION, save
from mtl_seg_depth.inference.looking import Seen
from mtl_seg_depth.inference.points import write_points
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.semseg.overlay import overlay
from mtl_seg_depth.tasks.task import Task

DepthFormat = Literal["mm", "cm", "kitti", "npy"]
"""How depth is stored.

`mm`, `cm`, `kitti`: a 16-bit PNG of millimetres, centimetres or 1/256 metres (as KITTI has it), rounded. The largest
value, 65535, stands for its depth AND ALL BEYOND: 65.535 m, 655.35 m, 255.996 m. Networks of this suite predict up to
300 m, so only `cm` holds them all; whatever was cut is reported.
`npy`: float32 metres [H, W] as predicted, nothing cut or rounded.
"""

PER_METRE = {"mm": 1000, "cm": 100, "kitti": 256}
LARGEST_VALUE = 65535

Product = Literal["labels", "depth", "depth_colour", "overlay", "sheet", "ply", "video"]
DEFAULT: tuple[Product, ...] = ("labels", "depth", "depth_colour", "overlay", "sheet")
"""Of an image, where nothing else is asked for."""

TASK_OF = {"labels": "semseg", "overlay": "semseg", "depth": "depth", "depth_colour": "depth", "ply": "depth"}
"""What a product needs; a sheet and a video show whatever there is."""

ENDINGS = {"ply": "points.ply", "video": "video.mp4"}
"""Of the products that are no images."""


def save_labels(classes: NDArray[np.uint8], palette: NDArray[np.uint8], path: Path) -> None:
    """Class ids [H, W] as a palette PNG: the values are the ids, and viewers show the colours [256, 3]."""
    image = Image.fromarray(classes)
    image.putpalette(palette.tobytes())
    save(image, path)


def save_depth(depth: NDArray[np.float32], path: Path, form: DepthFormat) -> bool:
    """Metres [H, W] in a file as `DepthFormat` has it; whether any of them lay beyond what it holds."""
    if form == "npy":
        with atomic.replacing(path) as temporary:
            np.save(temporary, depth)
        return False
    scale = PER_METRE[form]
    codes = np.rint(depth.astype(np.float64) * scale)
    image = Image.fromarray(codes.clip(0, LARGEST_VALUE).astype(np.uint16))
    note = PngInfo()
    note.add_text(
        "Description", f"depth in 1/{scale} m; {LARGEST_VALUE} stands for {LARGEST_VALUE / scale:g} m or more"
    )
    with atomic.replacing(path) as temporary:
        image.save(temporary, pnginfo=note, compress_level=COMPRESSION)
    return bool((codes > LARGEST_VALUE).any())


def product_path(target: Path, product: str, form: DepthFormat) -> Path:
    """Where a product of an image goes; `target` is its name in the output folder."""
    ending = ENDINGS.get(product, f"{product}.npy" if product == "depth" and form == "npy" else f"{product}.png")
    return target.with_name(f"{target.name}_{ending}")


def write_products(
    rgb: NDArray[np.uint8],
    seen: Seen,
    tasks: Mapping[str, Task],
    target: Path,
    write: Sequence[str],
    form: DepthFormat,
) -> bool:
    """Write the products of one image; whether depth was cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prediction, beyond = seen.prediction, False
    for product in write:
        path = product_path(target, product, form)
        match product:
            case "labels":
                save_labels(prediction["semseg"], tasks["semseg"].paint(np.arange(256)), path)
            case "depth":
                beyond = save_depth(prediction["depth"], path, form)
            case "depth_colour":
                save(Image.fromarray(tasks["depth"].paint(prediction["depth"])), path)
            case "overlay":
                painted = tasks["semseg"].paint(prediction["semseg"])
                save(Image.fromarray(overlay(rgb, prediction["semseg"], painted)), path)
            case "sheet":
                save(prediction_sheet(rgb, prediction, tasks, target.name, seen.why), path)
            case "ply":
                write_points(rgb, seen, tasks, path)
    return beyond


def refuse_overwriting(inputs: Iterable[Path], targets: Iterable[Path], output: Path, form: DepthFormat) -> None:
    """UserError if a product of one of the targets would take the place of an input."""
    known = {os.path.realpath(path) for path in inputs}
    for target in targets:
        for product in (*DEFAULT, *ENDINGS):
            path = product_path(target, product, form)
            if os.path.realpath(path) in known:
                raise UserError(f"output={output}: {path} is one of the inputs, and would be overwritten")

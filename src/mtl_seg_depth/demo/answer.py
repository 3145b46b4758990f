"""What the page gets of an image: not colours but values, so that what stands under the cursor is what was predicted.

4 bytes          length of the text, little endian
text             JSON, see `answer`; blanks at its end make the rest begin at a multiple of 4
float32 [H, W]   metres, if the network predicts depth
uint8 [H, W]     class ids, if it predicts classes
uint8 [H, W, 3]  the image as it was seen
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.inference.looking import SMALLER, Viewer
from mtl_seg_depth.inference.photos import read_focal, read_photo
from mtl_seg_depth.scoring.headline import in_words
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.semseg.task import Semseg

LARGEST_SIDE = 1280
"""Pixels of what the page shows; a larger image is predicted for so many."""

COLOURS = 256
"""Steps of a scale of depths."""


def described(viewer: Viewer) -> dict[str, Any]:
    """A network as the page presents it: its name and scores, its classes, its scale of depths."""
    trained = viewer.trained
    told: dict[str, Any] = {
        "name": trained.name,
        "fingerprint": trained.fingerprint[:6],
        "scores": in_words(trained.scores),
        "classes": None,
        "depth": None,
    }
    for task in viewer.tasks.values():
        if isinstance(task, Semseg):
            classes = zip(task.classes.names, task.classes.colours, strict=True)
            told["classes"] = [{"name": name, "colour": list(colour)} for name, colour in classes]
        elif isinstance(task, Depth):
            near, far = task.shown_range
            scale = np.geomspace(near, far, COLOURS, dtype=np.float32)[None]
            told["depth"] = {
                "near": near,
                "far": far,
                "ticks": task.tick_metres(),
                "colours": task.paint(scale)[0].tolist(),
            }
    return told


def answer(viewer: Viewer, file: bytes) -> bytes:
    """What a network sees in an image file; UserError if it is none, or does not fit into memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(file)
        try:
            rgb, exif = read_photo(path), read_focal(path)
        except UserError as error:
            raise UserError(f"This file {getattr(error, 'reason', error)}") from None
    began = time.monotonic()
    size = shown_size((rgb.shape[0], rgb.shape[1]))
    try:
        seen = viewer.see(rgb, exif, size)
    except Exception as error:
        if is_shortage(error):
            raise UserError(f"This image does not fit into memory; {SMALLER}") from error
        raise
    text = {
        "height": size[0],
        "width": size[1],
        "seconds": round(time.monotonic() - began, 3),
        "said": viewer.said((rgb.shape[0], rgb.shape[1])).partition(" (")[0],
        "why": seen.why,
        "depth": "depth" in seen.prediction,
        "semseg": "semseg" in seen.prediction,
    }
    values: list[NDArray[Any]] = []
    if text["depth"]:
        values.append(seen.prediction["depth"].astype("<f4"))
    if text["semseg"]:
        values.append(seen.prediction["semseg"])
    values.append(np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.LANCZOS)))
    head = json.dumps(text).encode()
    head += b" " * (-len(head) % 4)
    return len(head).to_bytes(4, "little") + head + b"".join(each.tobytes() for each in values)


def shown_size(size: Size) -> Size:
    """Height and width in which the page shows an image of this size."""
    scale = min(1.0, LARGEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

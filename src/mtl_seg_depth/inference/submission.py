"""Predictions of a split as a file to hand in: a zip in the Miniscapes layout, label and disparity images.

    <split>/semseg/<i>.png      train ids, 8-bit grey
    <split>/depth/<i>.png       disparity codes, 8-bit grey

The images have the full size of the split's: the network takes any, though scoring crops to multiples of 32. Equal
predictions give equal bytes. The file is whole or absent, and read back before it takes its name.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.scoring.predictor import Predict
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.task import Task

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # what a zip can say; the time of writing would make every file another


def check_target(name: str) -> Path:
    """The path of a submission; UserError unless it ends in .zip and lies in a folder that exists."""
    path = Path(name).expanduser()
    if path.suffix != ".zip" or not path.absolute().parent.is_dir() or path.is_dir():
        raise UserError(f"submission={name}: a file ending in .zip, in a folder that exists")
    return path


def write_submission(
    path: Path,
    predict: Predict,
    split: PackedSplit,
    tasks: Mapping[str, Task],
    batch_size: int,
    device: torch.device,
    console: Console,
) -> None:
    """Predict every image of a split in full size and write the zip.

    Raises UserError for a network that lacks a task, a file that cannot be written, or one that reads back otherwise.
    """
    depth = tasks.get("depth")
    if set(tasks) != {"semseg", "depth"} or not isinstance(depth, Depth):
        raise UserError(f"a submission has labels and depths, and this network predicts {' and '.join(tasks)} alone")
    try:
        with atomic.replacing(path) as temporary:
            digests: dict[str, str] = {}
            with zipfile.ZipFile(temporary, "w") as archive:
                starts = range(0, len(split), batch_size)
                live = console.is_terminal
                for start in track(starts, "submission", console=console, transient=True, disable=not live):
                    ids = split.ids[start : start + batch_size].tolist()
                    split.check(range(start, start + len(ids)))
                    prediction = predict(_pixels(split.images[start : start + batch_size], device))
                    labels = prediction["semseg"].to(torch.uint8).cpu().numpy()
                    codes = depth.spec.codec.encode(prediction["depth"].float().cpu().numpy())
                    for row, number in enumerate(ids):
                        for kind, pixels in (("semseg", labels[row]), ("depth", codes[row])):
                            name = f"{split.split}/{kind}/{number}.png"
                            archive.writestr(_entry(name), _png(pixels))
                            digests[name] = _digest(pixels)
            _verify(temporary, digests)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}; no submission was written") from error


def _pixels(pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Pixels [B, H, W, 3] of a read-only map as images [B, 3, H, W] in 0..1 on the device."""
    return torch.from_numpy(np.array(pixels)).to(device).permute(0, 3, 1, 2).float().div_(255)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # the same on every system
    return entry


def _png(pixels: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _digest(pixels: NDArray[Any]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _verify(path: Path, digests: dict[str, str]) -> None:
    """Read a submission as its receiver will; UserError if an image is missing or another than was predicted."""
    with zipfile.ZipFile(path) as archive:
        if archive.namelist() != list(digests):
            raise UserError(f"{path} holds other files than were written")
        for name, digest in digests.items():
            with Image.open(io.BytesIO(archive.read(name)), formats=["PNG"]) as image:
                if _digest(np.asarray(image)) != digest:
                    raise UserError(f"{path}: {name} reads back otherwise than it was predicted")

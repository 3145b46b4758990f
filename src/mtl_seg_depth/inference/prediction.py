"""Labels and depths of people's own images, of any size and without any truth to compare with.

For an image `<name>` the output folder gets, as far as `write` says so:

    <name>_labels.png        train ids, 8-bit, with the colours of Cityscapes as palette
    <name>_depth.png|.npy    depth, see `DepthFormat`
    <name>_depth_colour.png  depth on a logarithmic scale, near is bright
    <name>_overlay.png       the image under its labels
    <name>_sheet.png         all of it side by side, with a legend

All have the image's own size, the sheet aside.
"""

import errno
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field, PositiveFloat
from rich.console import Console
from rich.progress import track

from mtl_seg_depth.config import Device, Paths, Section
from mtl_seg_depth.data.files import MAX_PIXELS, DamagedFileError
from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.drawing.sheet import save
from mtl_seg_depth.inference.photos import Photo, find_photos, read_photo
from mtl_seg_depth.inference.trained import Reference, load_trained
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.assembly import find_device
from mtl_seg_depth.scoring.predictor import Predict, Predictor
from mtl_seg_depth.scoring.tta import TestTimeAugmentation, workable_size
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.system.precision import Precision, native
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import resize
from mtl_seg_depth.tasks.semseg.overlay import overlay
from mtl_seg_depth.tasks.semseg.pools import NO_CLASS
from mtl_seg_depth.tasks.semseg.task import Semseg
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

SMALLER = "max_side=<pixels> makes what the network looks at smaller"

Product = Literal["labels", "depth", "depth_colour", "overlay", "sheet"]
TASK_OF = {"labels": "semseg", "overlay": "semseg", "depth": "depth", "depth_colour": "depth"}
"""What a product needs; a sheet shows whatever there is."""


class PredictionSettings(Section):
    """What `predict.py` composes.

    `max_side` is the longest side, in pixels, at which the network looks at an image. `focal_ratio` multiplies
    depths: the focal length of the images in pixels, as the network looks at them, over the training camera's.
    """

    run: Reference
    input: str | list[str] | None
    output: str
    tta: dict[str, Any]
    depth: DepthFormat
    write: tuple[Product, ...] = Field(min_length=1)
    max_side: int | None = Field(ge=32)
    focal_ratio: PositiveFloat
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    paths: Paths


@dataclass(frozen=True)
class Summary:
    """What came of a prediction: how many images, those that failed with the reason, and how much depth was cut.

    `beyond` counts the images with depths beyond what the 16-bit file holds; `left_out` the files in the folders that
    are no images, by the ending of their names.
    """

    done: int
    failed: tuple[DamagedFileError, ...]
    beyond: int
    left_out: Counter[str]


def predict(settings: PredictionSettings, console: Console) -> Summary:
    """Predict every image that the settings mean; one that cannot be done is reported, and the others done.

    Raises UserError for a mistake in the settings, and where the output cannot be written.
    """
    if settings.input is None:
        raise UserError("input=<an image, a folder, or a pattern such as 'frames/*.png'>: which images?")
    output = Path(settings.output).expanduser()
    device = find_device(settings.device)
    views: TestTimeAugmentation = build("tta", settings.tta)
    photos, left_out = find_photos(settings.input, output)
    trained = load_trained(settings.run, Path(settings.paths.outputs), device)
    lacking = {product: task for product, task in TASK_OF.items() if task not in trained.tasks}
    write = [product for product in settings.write if product not in lacking]
    if not write:
        raise UserError(f"write={list(settings.write)}: this network predicts {' and '.join(trained.tasks)} alone")
    precision = Precision(native(device) if settings.precision == "auto" else settings.precision)
    look = views.around(Predictor(trained.network, trained.tasks, precision))
    _refuse_overwriting(photos, output, settings.depth)

    failed: list[DamagedFileError] = []
    pending: deque[tuple[Photo, Future[bool]]] = deque()
    beyond = 0

    def written() -> bool:
        photo, future = pending.popleft()
        with _told(photo, failed):
            return future.result()
        return False

    try:
        with ThreadPoolExecutor(2) as executor:  # PNGs are compressed while the network looks at the next image
            shown = track(photos, "predicting", console=console, transient=True, disable=not console.is_terminal)
            for photo in shown:
                with _told(photo, failed):
                    rgb = read_photo(photo.path)
                    found = predict_photo(rgb, look, trained.tasks, device, settings.max_side, settings.focal_ratio)
                    target = output / photo.name
                    job = executor.submit(_write, rgb, found, trained.tasks, target, write, settings.depth)
                    pending.append((photo, job))
                if len(pending) > 2:
                    beyond += written()
            while pending:
                beyond += written()
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror or error}") from error
    return Summary(len(photos) - len(failed), tuple(failed), beyond, left_out)


@contextmanager
def _told(photo: Photo, failed: list[DamagedFileError]) -> Iterator[None]:
    """Note what is wrong with one image alone, so that the others are done."""
    try:
        yield
    except Exception as error:
        if is_shortage(error):
            reason = f"does not fit into memory; {SMALLER}"
        elif isinstance(error, UserError):
            reason = error.reason if isinstance(error, DamagedFileError) else str(error)
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            reason = "its name is too long for the files that are made of it"
        else:
            raise
        failed.append(DamagedFileError(photo.path, reason))


def predict_photo(
    rgb: NDArray[np.uint8],
    look: Predict,
    tasks: Mapping[str, Task],
    device: torch.device,
    max_side: int | None = None,
    focal_ratio: float = 1.0,
) -> dict[str, NDArray[Any]]:
    """Every task's prediction of an image uint8 [H, W, 3] of any size: class ids uint8, metres float32 [H, W], ...

    The network looks at the image no larger than `max_side`, and no smaller than it can; metres are as it sees them
    then, times `focal_ratio`.
    """
    size = (rgb.shape[0], rgb.shape[1])
    seen = workable_size(size, min(1.0, (max_side or max(size)) / max(size)))
    if max_side is not None:  # an image narrower than what the network takes is enlarged, but not both ways
        seen = min(seen[0], max_side), min(seen[1], max_side)
    if seen[0] * seen[1] > MAX_PIXELS:
        raise UserError(f"the network would look at {seen[1]} x {seen[0]} pixels; {SMALLER}")
    pixels = torch.from_numpy(rgb).to(device).permute(2, 0, 1).unsqueeze(0).float().div_(255)
    result: dict[str, NDArray[Any]] = {}
    for name, values in look(resize(pixels, seen)).items():
        task = tasks[name]
        if not values.isfinite().all() or (isinstance(task, Semseg) and (values == NO_CLASS).any()):
            raise UserError(f"the network's {name} is not finite (nan): nothing is stored of it")
        full = task.enlarged(values, size)[0]
        if isinstance(task, Depth):
            full = full * focal_ratio
        result[name] = (full.to(torch.uint8) if isinstance(task, Semseg) else full).cpu().numpy()
    return result


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
        image.save(temporary, pnginfo=note)
    return bool((codes > LARGEST_VALUE).any())


def product_path(target: Path, product: str, form: DepthFormat) -> Path:
    """Where a product of an image goes; `target` is its name in the output folder."""
    ending = ".npy" if product == "depth" and form == "npy" else ".png"
    return target.with_name(f"{target.name}_{product}{ending}")


def _write(
    rgb: NDArray[np.uint8],
    prediction: dict[str, NDArray[Any]],
    tasks: Mapping[str, Task],
    target: Path,
    write: Sequence[str],
    form: DepthFormat,
) -> bool:
    """Write the products of one image; whether depth was cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beyond = False
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
                save(prediction_sheet(rgb, prediction, tasks, target.name), path)
    return beyond


def _refuse_overwriting(photos: Sequence[Photo], output: Path, form: DepthFormat) -> None:
    """UserError if a product would take the place of an input."""
    inputs = {os.path.realpath(photo.path) for photo in photos}
    for photo in photos:
        for product in (*TASK_OF, "sheet"):
            path = product_path(output / photo.name, product, form)
            if os.path.realpath(path) in inputs:
                raise UserError(f"output={output}: {path} is one of the images, and would be overwritten")

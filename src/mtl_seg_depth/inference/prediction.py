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
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import BeforeValidator, Field, PositiveFloat
from rich.console import Console
from rich.progress import track

from mtl_seg_depth.config import Device, Paths, Section
from mtl_seg_depth.data.files import MAX_PIXELS, DamagedFileError
from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.drawing.sheet import save
from mtl_seg_depth.inference.photos import Photo, find_photos, read_focal, read_photo
from mtl_seg_depth.inference.trained import Reference, load_trained
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.assembly import find_device
from mtl_seg_depth.scoring.predictor import PredictAt, Predictor
from mtl_seg_depth.scoring.tiles import in_tiles
from mtl_seg_depth.scoring.tta import TestTimeAugmentation, workable_size
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.system.precision import Precision, native
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import Size, resize
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

SMALLEST_SIDE = Network.SMALLEST_SIDE

TILE = 1024
"""Pixels; images with a longer side are looked at in tiles of this side, or of the training images' if that is longer.

That bounds the memory, and is far beyond what a network sees around a pixel.
"""

Product = Literal["labels", "depth", "depth_colour", "overlay", "sheet"]
TASK_OF = {"labels": "semseg", "overlay": "semseg", "depth": "depth", "depth_colour": "depth"}
"""What a product needs; a sheet shows whatever there is."""


def _checked_side(value: Any) -> Any:
    if value not in (None, "auto") and not (isinstance(value, int) and value >= SMALLEST_SIDE):
        raise ValueError(f"should be auto, null for full size, or at least {SMALLEST_SIDE} pixels")
    return value


class PredictionSettings(Section):
    """What `predict.py` composes.

    `max_side` is the longest side, in pixels, at which the network looks at an image: `auto` for that of the training
    images, None for the image's own. `focal` is the focal length of the images in pixels of their own size, None for
    what each says of itself; `focal_ratio` is what depths are multiplied by instead of what follows from it.
    """

    run: Reference
    input: str | list[str] | None
    output: str
    tta: dict[str, Any]
    depth: DepthFormat
    write: tuple[Product, ...] = Field(min_length=1)
    max_side: Annotated[int | Literal["auto"] | None, BeforeValidator(_checked_side)]
    focal: PositiveFloat | None
    focal_ratio: PositiveFloat | None
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    paths: Paths


@dataclass(frozen=True)
class Camera:
    """What it takes to say how far things are in somebody else's image.

    To a network a thing is as far as it is small, in pixels. Seen with a focal length of as many pixels as in training,
    it is as far as predicted; with twice as many, twice as far.

    Attributes:
        trained_size: height and width of the training images; None if they are not known.
        trained_focal: focal length of the training camera in image widths; None if it is not known.
        focal: of every image, in pixels of its own size; None for what each says of itself.
        ratio: what depths are multiplied by in any case; None for what follows from the focal lengths.
    """

    trained_size: Size | None = None
    trained_focal: float | None = None
    focal: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        """UserError for what is no length, and for one that nothing is known to compare with."""
        for name, value in (("focal", self.focal), ("focal_ratio", self.ratio)):
            if value is not None and not value > 0:
                raise UserError(f"{name}={value:g}: should be above 0")
        if self.focal is not None and self.ratio is None and None in (self.trained_size, self.trained_focal):
            raise UserError(
                f"focal={self.focal:g}: the training camera's is not known; focal_ratio=<the images' over it>"
            )

    def ratio_of(self, size: Size, seen: Size, exif: float | None) -> tuple[float, str]:
        """What depths of an image of this size are multiplied by if the network sees it in that one, and why.

        Without a focal length the camera counts as one with the training camera's field of view.
        """
        if self.ratio is not None:
            return self.ratio, f"metres are the network's times {self.ratio:g} (focal_ratio)"
        focal = self.focal or exif
        if self.trained_size is None:
            return 1.0, "metres are the network's: its training images' size is not known, and focal_ratio not given"
        if focal is None or self.trained_focal is None:
            ratio = max(seen) / max(self.trained_size)
            lacking = "no focal length is known" if focal is None else "the training camera's is not known"
            return ratio, f"metres hold for a camera with the training camera's field of view: {lacking}"
        ratio = focal * seen[1] / size[1] / (self.trained_focal * self.trained_size[1])
        source = "focal" if self.focal else "EXIF"
        return ratio, f"metres are the network's times {ratio:.2f}, by the focal length: {focal:.0f} px ({source})"


@dataclass(frozen=True)
class Summary:
    """What came of a prediction.

    Attributes:
        run, fingerprint, scores: the network's, and how good it is on its validation split.
        done: how many images there are predictions of.
        seconds: that one image took, on average, all included.
        first: a file to look at; None if none was written.
        failed: what is wrong with the others.
        beyond: the images with depths beyond what the 16-bit file holds.
        left_out: the files in the folders that are no images, by the ending of their names.
    """

    run: str
    fingerprint: str
    scores: dict[str, float]
    done: int
    seconds: float
    first: Path | None
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
    trained_size = trained.image_size
    tile = max((TILE, *(trained_size or ())))
    look = looking(Predictor(trained.network, trained.tasks, precision), views, tile)
    camera = Camera(trained_size, trained.source.focal, settings.focal, settings.focal_ratio)
    _refuse_overwriting(photos, output, settings.depth)

    failed: list[DamagedFileError] = []
    pending: deque[tuple[Photo, Future[bool]]] = deque()
    done: list[Photo] = []
    beyond, said = 0, ""
    began = time.monotonic()

    def written() -> bool:
        photo, future = pending.popleft()
        with _told(photo, failed):
            cut = future.result()
            done.append(photo)
            return cut
        return False

    try:
        with ThreadPoolExecutor(2) as executor:  # PNGs are compressed while the network looks at the next image
            shown = track(photos, "predicting", console=console, transient=True, disable=not console.is_terminal)
            for photo in shown:
                with _told(photo, failed):
                    rgb = read_photo(photo.path)
                    size = (rgb.shape[0], rgb.shape[1])
                    seen = seen_size(size, settings.max_side, trained_size)
                    if not said:
                        said = _said(seen, settings.max_side, trained_size, tile)
                        console.print(said, highlight=False, soft_wrap=True)
                    ratio, why = camera.ratio_of(size, seen, read_focal(photo.path))
                    found = predict_photo(rgb, look, trained.tasks, device, seen, ratio)
                    note = why if "depth" in trained.tasks else ""
                    target = output / photo.name
                    job = executor.submit(_write, rgb, found, trained.tasks, target, write, settings.depth, note)
                    pending.append((photo, job))
                if len(pending) > 2:
                    beyond += written()
            while pending:
                beyond += written()
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror or error}") from error
    shown_first = "sheet" if "sheet" in write else write[0]
    return Summary(
        run=trained.name,
        fingerprint=trained.fingerprint,
        scores=trained.scores,
        done=len(done),
        seconds=(time.monotonic() - began) / max(1, len(done)),
        first=product_path(output / done[0].name, shown_first, settings.depth) if done else None,
        failed=tuple(failed),
        beyond=beyond,
        left_out=left_out,
    )


def looking(predictor: Predictor, views: TestTimeAugmentation, tile: int) -> PredictAt:
    """The predictor with these views, which looks at images with a longer side than `tile` in tiles of that."""
    predict = views.around(predictor)
    predict_tiles = in_tiles(predict, (tile, tile))

    def look(image: torch.Tensor, size: Size | None = None) -> dict[str, torch.Tensor]:
        seen = (image.shape[-2], image.shape[-1])
        if max(seen) <= tile:
            return predict(image, size)
        found = predict_tiles(image)
        return {name: predictor.tasks[name].enlarged(values, size or seen) for name, values in found.items()}

    return look


def seen_size(size: Size, max_side: int | Literal["auto"] | None, trained_size: Size | None) -> Size:
    """Height and width at which the network looks at an image of this size, no smaller than it can.

    With `auto` the longest side is that of the training images, enlarged where it has to be: only then do things have
    as many pixels as those that the network knows.
    """
    longest = max(size)
    limit = max((trained_size or size) if max_side == "auto" else (max_side or longest, SMALLEST_SIDE))
    scale = limit / longest
    height, width = workable_size(size, scale if max_side == "auto" else min(1.0, scale))
    # An image narrower than what the network takes is enlarged, but not both ways.
    return (height, width) if max_side is None else (min(height, limit), min(width, limit))


def _said(seen: Size, max_side: int | Literal["auto"] | None, trained_size: Size | None, tile: int) -> str:
    """At what size the network looks, and how to change that."""
    looking = f"Looking at {seen[1]} x {seen[0]}"
    if trained_size is None:
        return f"{looking}; at which size it was trained is not known, max_side=<pixels> sets it"
    if max_side == "auto":
        return f"{looking}, as in training (max_side={max(trained_size)}; null: full size)"
    tiled = f" in tiles of {tile}" if max(seen) > tile else ""
    times = max(seen) / max(trained_size)
    return f"{looking}{tiled}, {times:.2g} x the size of training (max_side=auto: as there)"


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
    look: PredictAt,
    tasks: Mapping[str, Task],
    device: torch.device,
    seen: Size,
    ratio: float = 1.0,
) -> dict[str, NDArray[Any]]:
    """Every task's prediction of an image uint8 [H, W, 3] of any size: class ids uint8, metres float32 [H, W], ...

    The network looks at the image in the size `seen`; metres are as it sees them then, times `ratio`.
    """
    if seen[0] * seen[1] > MAX_PIXELS:
        raise UserError(f"the network would look at {seen[1]} x {seen[0]} pixels; {SMALLER}")
    pixels = torch.from_numpy(rgb).to(device).permute(2, 0, 1).unsqueeze(0).float().div_(255)
    result: dict[str, NDArray[Any]] = {}
    for name, values in look(resize(pixels, seen), (rgb.shape[0], rgb.shape[1])).items():
        task = tasks[name]
        if not values.isfinite().all() or (isinstance(task, Semseg) and (values == NO_CLASS).any()):
            raise UserError(f"the network's {name} is not finite (nan): nothing is stored of it")
        full = values[0] * ratio if isinstance(task, Depth) else values[0]
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
    note: str,
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
                save(prediction_sheet(rgb, prediction, tasks, target.name, note), path)
    return beyond


def _refuse_overwriting(photos: Sequence[Photo], output: Path, form: DepthFormat) -> None:
    """UserError if a product would take the place of an input."""
    inputs = {os.path.realpath(photo.path) for photo in photos}
    for photo in photos:
        for product in (*TASK_OF, "sheet"):
            path = product_path(output / photo.name, product, form)
            if os.path.realpath(path) in inputs:
                raise UserError(f"output={output}: {path} is one of the images, and would be overwritten")

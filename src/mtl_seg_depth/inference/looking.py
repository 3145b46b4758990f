"""How a trained network looks at images that are not its data set's: in which size, in how many parts, how far."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, PositiveFloat

from mtl_seg_depth.config import Device, Paths, Section
from mtl_seg_depth.data.files import MAX_PIXELS
from mtl_seg_depth.inference.camera import Camera
from mtl_seg_depth.inference.trained import Reference, Trained, load_trained
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.assembly import find_device
from mtl_seg_depth.scoring.predictor import PredictAt, Predictor
from mtl_seg_depth.scoring.tiles import in_tiles
from mtl_seg_depth.scoring.tta import TestTimeAugmentation, workable_size
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision, native
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import Size, resize
from mtl_seg_depth.tasks.semseg.pools import NO_CLASS
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Task

SMALLER = "max_side=<pixels> makes what the network looks at smaller"

SMALLEST_SIDE = Network.SMALLEST_SIDE

TILE = 1024
"""Pixels; images with a longer side are looked at in tiles of this side, or of the training images' if that is longer.

That bounds the memory, and is far beyond what a network sees around a pixel.
"""


def _checked_side(value: Any) -> Any:
    if value not in (None, "auto") and not (isinstance(value, int) and value >= SMALLEST_SIDE):
        raise ValueError(f"should be auto, null for full size, or at least {SMALLEST_SIDE} pixels")
    return value


class LookingSettings(Section):
    """What every command has that shows a network somebody's own images.

    `max_side` is the longest side, in pixels, at which the network looks at an image: `auto` for that of the training
    images, None for the image's own. `focal` is the focal length of the images in pixels of their own size, None for
    what each says of itself; `focal_ratio` is what depths are multiplied by instead of what follows from it.
    """

    run: Reference
    tta: dict[str, Any]
    max_side: Annotated[int | Literal["auto"] | None, BeforeValidator(_checked_side)]
    focal: PositiveFloat | None
    focal_ratio: PositiveFloat | None
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    paths: Paths


@dataclass(frozen=True)
class Seen:
    """What a network saw in one image.

    Attributes:
        prediction: of every task, [H, W]: class ids uint8, metres float32, ...
        ratio: what the network's metres were multiplied by.
        why: that in words, or that nothing is known.
        focal: focal length in pixels of the image's own size that fits these metres, and where it is from.
    """

    prediction: dict[str, NDArray[Any]]
    ratio: float
    why: str
    focal: tuple[float, str]


@dataclass(frozen=True)
class Viewer:
    """A trained network that looks at anybody's images."""

    trained: Trained
    look: PredictAt
    camera: Camera
    max_side: int | Literal["auto"] | None
    tile: int
    device: torch.device

    @property
    def tasks(self) -> dict[str, Task]:
        """What it predicts."""
        return self.trained.tasks

    def seen_size(self, size: Size) -> Size:
        """Height and width at which it looks at an image of this size."""
        return seen_size(size, self.max_side, self.camera.trained_size)

    def see(self, rgb: NDArray[np.uint8], exif: float | None = None, size: Size | None = None) -> Seen:
        """Look at an image uint8 [H, W, 3] with the focal length `exif`; what it sees comes in its size, or in `size`.

        Raises UserError for what does not fit into memory and for a network whose answer is not finite.
        """
        own = (rgb.shape[0], rgb.shape[1])
        seen = self.seen_size(own)
        ratio, why = self.camera.ratio_of(own, seen, exif)
        prediction = predict_photo(rgb, self.look, self.tasks, self.device, seen, ratio, size)
        return Seen(prediction, ratio, why if "depth" in self.tasks else "", self.camera.focal_of(own, seen, exif))

    def said(self, size: Size) -> str:
        """At what size it looks at images of this one, and how to change that."""
        seen, trained_size = self.seen_size(size), self.camera.trained_size
        looking = f"Looking at {seen[1]} x {seen[0]}"
        if trained_size is None:
            return f"{looking}; at which size it was trained is not known, max_side=<pixels> sets it"
        if self.max_side == "auto":
            return f"{looking}, as in training (max_side={max(trained_size)}; null: full size)"
        tiled = f" in tiles of {self.tile}" if max(seen) > self.tile else ""
        times = max(seen) / max(trained_size)
        return f"{looking}{tiled}, {times:.2g} x the size of training (max_side=auto: as there)"


def load_viewer(settings: LookingSettings, run: str | None) -> Viewer:
    """The network that `run` names, looking as the settings say."""
    device = find_device(settings.device)
    views: TestTimeAugmentation = build("tta", settings.tta)
    trained = load_trained(run, Path(settings.paths.outputs), device)
    camera = Camera(trained.image_size, trained.source.focal, settings.focal, settings.focal_ratio)
    return viewer(trained, device, views, camera, settings.max_side, settings.precision)


def viewer(
    trained: Trained,
    device: torch.device,
    views: TestTimeAugmentation,
    camera: Camera,
    max_side: int | Literal["auto"] | None,
    precision: Literal["auto", "fp32", "bf16"],
) -> Viewer:
    """A network that looks at images with these views, from this side, in this format of numbers."""
    tile = max((TILE, *(trained.image_size or ())))
    number_format = Precision(native(device) if precision == "auto" else precision)
    look = looking(Predictor(trained.network, trained.tasks, number_format), views, tile)
    return Viewer(trained, look, camera, max_side, tile, device)


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


def predict_photo(
    rgb: NDArray[np.uint8],
    look: PredictAt,
    tasks: Mapping[str, Task],
    device: torch.device,
    seen: Size,
    ratio: float = 1.0,
    size: Size | None = None,
) -> dict[str, NDArray[Any]]:
    """Every task's prediction of an image uint8 [H, W, 3] of any size: class ids uint8, metres float32 [H, W], ...

    The network looks at the image in the size `seen`; metres are as it sees them then, times `ratio`. Predictions have
    the image's size, or `size`.
    """
    if seen[0] * seen[1] > MAX_PIXELS:
        raise UserError(f"the network would look at {seen[1]} x {seen[0]} pixels; {SMALLER}")
    pixels = torch.from_numpy(rgb).to(device).permute(2, 0, 1).unsqueeze(0).float().div_(255)
    result: dict[str, NDArray[Any]] = {}
    for name, values in look(resize(pixels, seen), size or (rgb.shape[0], rgb.shape[1])).items():
        task = tasks[name]
        if not values.isfinite().all() or (isinstance(task, Semseg) and (values == NO_CLASS).any()):
            raise UserError(f"the network's {name} is not finite (nan): nothing is stored of it")
        full = values[0] * ratio if isinstance(task, Depth) else values[0]
        result[name] = (full.to(torch.uint8) if isinstance(task, Semseg) else full).cpu().numpy()
    return result

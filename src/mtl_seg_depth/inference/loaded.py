"""A trained network in somebody's own program: `load(run).predict(image)`."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.inference.camera import Camera
from mtl_seg_depth.inference.looking import viewer
from mtl_seg_depth.inference.photos import as_seen, focal_of, read_focal, read_photo
from mtl_seg_depth.inference.trained import Trained, load_trained
from mtl_seg_depth.runs.assembly import find_device
from mtl_seg_depth.scoring.tta import AveragedViews, TestTimeAugmentation
from mtl_seg_depth.system import installation
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.semseg.task import Semseg

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""What is predicted: a file, an image of Pillow's, or red, green, blue as uint8 [H, W, 3]."""

ONE_VIEW = AveragedViews()


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What a network sees in an image, in the image's own size.

    Attributes:
        image: as the network was shown it, upright: uint8 [H, W, 3].
        labels: ids of classes, uint8 [H, W]; None of a network that predicts depth alone.
        classes: their names: that of id 0 first.
        depth: metres, float32 [H, W]; None of a network that predicts labels alone.
        metres: what its metres rest on, in words.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    classes: tuple[str, ...]
    depth: NDArray[np.float32] | None
    metres: str
    _trained: Trained

    def sheet(self, title: str = "image") -> Image.Image:
        """Image, overlay, labels and depth in one picture, with a legend."""
        found = {"semseg": self.labels, "depth": self.depth}
        shown: dict[str, NDArray[Any]] = {name: values for name, values in found.items() if values is not None}
        return prediction_sheet(self.image, shown, self._trained.tasks, title, self.metres if "depth" in shown else "")


class Loaded:
    """A trained network that looks at one image after the other; `load` makes one."""

    def __init__(
        self,
        trained: Trained,
        device: torch.device,
        views: TestTimeAugmentation = ONE_VIEW,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
    ) -> None:
        self.trained = trained
        semseg = trained.tasks.get("semseg")
        self.classes: tuple[str, ...] = semseg.classes.names if isinstance(semseg, Semseg) else ()
        """Names of the classes; a label is a place in it."""
        self._viewer = viewer(trained, device, views, Camera(), "auto", precision)

    def predict(
        self,
        image: Picture,
        *,
        max_side: int | Literal["auto"] | None = "auto",
        focal: float | None = None,
        focal_ratio: float | None = None,
    ) -> Prediction:
        """Labels and depth of one image of any size, by the rules of predict.py.

        Args:
            image: a file, an image of Pillow's, or red, green, blue as uint8 [H, W, 3].
            max_side: the longest side, in pixels, at which the network looks; `auto` for that of its training images,
                None for the image's own.
            focal: focal length in pixels of the image's own size, for metres; None for what EXIF says, or else a field
                of view as in training. An array has no EXIF.
            focal_ratio: what depths are multiplied by instead.

        Raises UserError for an image that cannot be read, and where the network's answer is not finite.
        """
        trained = self.trained
        camera = Camera(trained.image_size, trained.source.focal, focal, focal_ratio)
        rgb, exif = _opened(image)
        seen = replace(self._viewer, camera=camera, max_side=max_side).see(rgb, exif)
        found = seen.prediction
        return Prediction(rgb, found.get("semseg"), self.classes, found.get("depth"), seen.why, trained)


def load(
    run: str | os.PathLike[str],
    *,
    outputs: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> Loaded:
    """The trained network that `run` names, as `run=` does in a command.

    Args:
        run: a run's name, its folder, its `best.pt`, the beginning (6 or more) of its fingerprint or MLflow id,
            `latest`, `best`, or `demo` for the small network that the package ships.
        outputs: where runs are; None for outputs/ in the folder that MTL_SEG_DEPTH_ROOT names, or in the current one.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, fp32 or bf16.

    Raises UserError if no run is called so, or several, or its files are damaged.
    """
    where = installation.root() / "outputs" if outputs is None else Path(outputs)
    on = find_device(device)
    return Loaded(load_trained(os.fspath(run), where, on), on, precision=precision)


def _opened(image: Picture) -> tuple[NDArray[np.uint8], float | None]:
    """An image's pixels, and the focal length in pixels that it says of itself."""
    if isinstance(image, Image.Image):
        try:
            return as_seen(image), focal_of(image)
        except (UserError, OSError) as error:  # Pillow reads a file's pixels only now
            raise UserError(f"the image cannot be used: {error}") from error
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UserError(f"an image is uint8 [height, width, 3], not {image.dtype} {list(image.shape)}")
        return np.array(image), None
    path = Path(image).expanduser()
    return read_photo(path), read_focal(path)

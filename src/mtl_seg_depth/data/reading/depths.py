"""Depth of any encoding as the codes of a data set.

Every number becomes metres by itself, with the camera of the image as it is stored; only then pixels are chosen for
another size. So no disparity has to follow a change of width, and nothing near is mixed with anything far.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.files import DamagedFileError, Entry, Pixels, Source
from mtl_seg_depth.data.reading.arrays import header, load
from mtl_seg_depth.data.reading.resizing import Size, nearest, nearest_indices
from mtl_seg_depth.tasks.depth.codec import DepthCodec

DepthKind = Literal["metres", "disparity", "inverse"]
Beyond = Literal["invalid", "clamp"]


@dataclass(frozen=True)
class DepthReader:
    """Reads depth: one number a pixel, which times `scale` plus `offset` is what `kind` says.

    Attributes:
        codec: of the codes that come out.
        kind: metres; disparity in pixels, which depth is focal length times baseline over; or inverse depth in 1/m.
        scale, offset: in the units of `kind`.
        invalid: stored numbers that are no depth; nan, infinity and what is not above 0 m never are.
        beyond: what becomes of a depth beyond the codec's ends, infinity included.
        least_bits: of a whole number in a file.
        focal_baseline: focal length in pixels times baseline in metres; None for that of the file "camera" beside.
        rays: fx, fy, cx, cy in pixels of a camera to which depths are distances along rays; None if they are planar.
        masked: ids in the file "labels" beside that have no depth.
        to: height and width to read in; None as stored.
    """

    codec: DepthCodec
    kind: DepthKind = "metres"
    scale: float = 1.0
    offset: float = 0.0
    invalid: tuple[float, ...] = ()
    beyond: Beyond = "invalid"
    least_bits: int = 16
    focal_baseline: float | None = None
    rays: tuple[float, float, float, float] | None = None
    masked: tuple[int, ...] = ()
    to: Size | None = None
    bits: ClassVar[int] = 16
    channels: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[type[np.uint16]] = np.uint16

    def size(self, entry: Entry) -> tuple[int, int]:
        """Width and height as stored."""
        found = header(entry)
        if found.channels != 1 or found.format == "JPEG" or found.numbers.endswith("palette"):
            raise DamagedFileError(entry, f"is a {found.numbers} {found.format}; expected depth, one number a pixel")
        if found.bits < self.least_bits:
            raise DamagedFileError(
                entry, f"is a {found.numbers} {found.format}; expected depth of {self.least_bits} bits a pixel"
            )
        return found.width, found.height

    def focal(self, entry: Entry) -> float | None:
        """Focal length over the width of the image, of the camera that depths are read with; None if it is not said."""
        if self.kind == "disparity" and self.focal_baseline is None:
            return _camera(_beside(entry, "camera"))[0] / self.size(entry)[0]
        return None if self.rays is None else self.rays[0] / self.size(entry)[0]

    def metres(self, entry: Entry) -> NDArray[np.float64]:
        """Depth as the file has it, whatever the codec's range, float64 [H, W]; nan where there is none."""
        stored, focal_baseline, rays = self._stored(entry)
        depth = self._metres(stored, focal_baseline, rays)
        if self.masked:
            depth[self._hidden(entry, depth.shape)] = np.nan
        return depth

    def __call__(self, entry: Entry) -> Pixels:
        """Codes, uint16 [H, W]; 0 where there is no valid depth."""
        stored, focal_baseline, rays = self._stored(entry)
        if rays is None and stored.dtype in (np.uint8, np.uint16) and stored.size > 2**16:
            every = np.arange(2**16)  # fewer than there are pixels
            codes = self._codes(every, focal_baseline)[stored]
        else:
            codes = self._codes(stored, focal_baseline, rays)
        if self.masked:
            codes[self._hidden(entry, codes.shape)] = 0
        return np.ascontiguousarray(codes)

    def _stored(self, entry: Entry) -> tuple[NDArray[Any], float | None, NDArray[np.float64] | None]:
        """Chosen numbers of a file, focal length times baseline, and lengths of rays."""
        self.size(entry)
        stored = load(entry)
        to = self.to or stored.shape
        rays = None if self.rays is None else _lengths(self.rays, stored.shape, to)
        focal_baseline = self.focal_baseline
        if self.kind == "disparity" and focal_baseline is None:
            focal, baseline = _camera(_beside(entry, "camera"))
            focal_baseline = focal * baseline
        return nearest(stored, to), focal_baseline, rays

    def _hidden(self, entry: Entry, size: Size) -> NDArray[np.bool_]:
        """Pixels that are masked."""
        labels = load(path := _beside(entry, "labels"))
        if labels.ndim != 2:
            raise DamagedFileError(path, f"holds an array of shape {labels.shape}; expected a mask of ids")
        return np.isin(nearest(labels, size), self.masked)

    def _codes(
        self, stored: NDArray[Any], focal_baseline: float | None, rays: NDArray[np.float64] | None = None
    ) -> NDArray[np.uint16]:
        """Codes of stored numbers of any shape."""
        depth = self._metres(stored, focal_baseline, rays)
        if self.beyond == "invalid":  # a float32 depth may lie a rounding error beyond an end
            near, far = self.codec.nearest * (1 - 1e-6), self.codec.farthest * (1 + 1e-6)
            depth = np.where((depth >= near) & (depth <= far), depth, np.nan)
        return self.codec.encode(depth).astype(np.uint16)

    def _metres(
        self, stored: NDArray[Any], focal_baseline: float | None, rays: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Depth of stored numbers of any shape; nan where they are none."""
        value = stored.astype(np.float64) * self.scale + self.offset
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind != "metres":
                value = np.where(value >= 0, (focal_baseline or 1.0) / np.abs(value), np.nan)
        depth: NDArray[np.float64] = value if rays is None else value / rays
        return np.where(np.isin(stored, self.invalid) | ~(depth > 0), np.nan, depth)


def _beside(entry: Entry, name: str) -> Path:
    assert isinstance(entry, Source)
    return dict(entry.beside)[name]


def _camera(path: Path) -> tuple[float, float]:
    """Focal length in pixels and baseline in metres of a Cityscapes camera file."""
    try:
        camera = json.loads(path.read_bytes())
        found = float(camera["intrinsic"]["fx"]), float(camera["extrinsic"]["baseline"])
    except OSError as error:
        raise DamagedFileError(path, f"cannot be opened: {error}") from error
    except (ValueError, KeyError, TypeError):
        found = math.nan, math.nan
    if not all(math.isfinite(number) and number > 0 for number in found):
        raise DamagedFileError(path, "is no camera; expected numbers extrinsic.baseline and intrinsic.fx above 0")
    return found


def _lengths(camera: tuple[float, float, float, float], stored: Size, to: Size) -> NDArray[np.float64]:
    """How long the ray to depth 1 is in every chosen pixel of the stored image."""
    fx, fy, cx, cy = camera
    y, x = (nearest_indices(old, new) for old, new in zip(stored, to, strict=True))
    lengths: NDArray[np.float64] = np.sqrt(1 + ((x - cx) / fx) ** 2 + (((y - cy) / fy) ** 2)[:, None])
    return lengths

"""What a material needs to know about the samples it paints."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.shapes import Shape, Solids, tapered_planes

LEFT, RIGHT, TOP, BOTTOM, FRONT, BACK = 1, 0, 2, 3, 4, 5
"""Faces of a box, by the side of its own frame; a cylinder's ends are TOP and BOTTOM, and round sides are RIGHT."""


@dataclass(frozen=True)
class Surface:
    """m samples on solids: their position in the solid's frame (metres), the face they lie on and the solid's looks.

    `x`, `y`, `z`, `depth` float32 [m]; `face` int [m]; `half`, `taper`, `colour`, `normal` (scene frame) float32
    [3, m]; `style` float32 [4, m].
    """

    x: Floats
    y: Floats
    z: Floats
    depth: Floats
    face: NDArray[np.int8]
    half: Floats
    taper: Floats
    colour: Floats
    style: Floats
    normal: Floats

    def part(self, begin: int, end: int) -> "Surface":
        """The samples from `begin` to before `end`."""
        return Surface(**{field.name: getattr(self, field.name)[..., begin:end] for field in fields(self)})

    @property
    def along(self) -> tuple[Floats, Floats]:
        """The horizontal position on a side face, and that face's half width."""
        sideways = self.face <= LEFT
        return np.where(sideways, self.z, self.x), np.where(sideways, self.half[2], self.half[0])

    @property
    def rise(self) -> Floats:
        """Height over the solid's foot as a share of its height, 0..1."""
        rise: Floats = 0.5 + 0.5 * self.y / self.half[1]
        return rise


def _gather(table: Floats, index: NDArray[np.int32]) -> Floats:
    """Rows of a table [n, ...] as columns [..., m]."""
    return np.take(np.ascontiguousarray(np.moveaxis(table, 0, -1)), index, axis=-1)


def surface(solids: Solids, index: NDArray[np.int32], points: Floats, depth: Floats) -> Surface:
    """The surface at scene positions [3, m] that lie on the solids `index` [m]."""
    axes = _gather(solids.axes, index)
    offset = points - _gather(solids.centre, index)
    own = (axes * offset).sum(axis=1)
    half = _gather(solids.half, index)
    ratio = own / half
    size = np.abs(ratio)
    shape = solids.shape[index]

    largest = np.where(size[0] >= np.maximum(size[1], size[2]), 0, np.where(size[1] >= size[2], 1, 2))
    flat = largest == np.arange(3)[:, None]
    normal = np.where(flat, np.sign(ratio), 0).astype(np.float32)
    face = (2 * largest + (normal.sum(axis=0) < 0)).astype(np.int8)

    at = np.flatnonzero(shape == Shape.ELLIPSOID)
    normal[:, at] = ratio[:, at] / half[:, at]
    at = np.flatnonzero(shape == Shape.CYLINDER)
    end = size[1, at] > np.hypot(ratio[0, at], ratio[2, at])
    face[at] = np.where(end, np.where(ratio[1, at] < 0, BOTTOM, TOP), RIGHT)
    normal[0, at] = np.where(end, 0, ratio[0, at] / half[0, at])
    normal[1, at] = np.where(end, np.sign(ratio[1, at]), 0)
    normal[2, at] = np.where(end, 0, ratio[2, at] / half[2, at])
    tapered = np.flatnonzero(shape == Shape.TAPERED)
    for solid in np.unique(index[tapered]):
        at = tapered[index[tapered] == solid]
        normals, offsets = zip(*tapered_planes(solids.half[solid], solids.taper[solid]), strict=True)
        planes = np.array(normals, np.float32)
        outside = np.einsum("fk,km->fm", planes, own[:, at]) - np.array(offsets, np.float32)[:, None]
        face[at] = (outside / np.linalg.norm(planes, axis=1)[:, None]).argmax(axis=0)
        normal[:, at] = planes[face[at]].T
    normal /= np.sqrt((normal * normal).sum(axis=0))
    world = (axes * normal[:, None]).sum(axis=0)
    return Surface(
        own[0], own[1], own[2], depth, face, half, _gather(solids.taper, index), _gather(solids.colour, index),
        _gather(solids.style, index), world,
    )  # fmt: skip

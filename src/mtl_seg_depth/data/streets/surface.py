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
    [m, 3]; `style` float32 [m, 4].
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

    def at(self, chosen: NDArray[np.intp]) -> "Surface":
        """The chosen samples only."""
        return Surface(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def along(self) -> tuple[Floats, Floats]:
        """The horizontal position on a side face, and that face's half width."""
        sideways = self.face <= LEFT
        return np.where(sideways, self.z, self.x), np.where(sideways, self.half[:, 2], self.half[:, 0])

    @property
    def rise(self) -> Floats:
        """Height over the solid's foot as a share of its height, 0..1."""
        return 0.5 + 0.5 * self.y / self.half[:, 1]


def surface(solids: Solids, index: NDArray[np.int32], points: Floats, depth: Floats) -> Surface:
    """The surface at scene positions [m, 3] that lie on the solids `index` [m]."""
    offset = points - solids.centre[index]
    axes = solids.axes.reshape(-1, 9).T.copy()
    own = np.stack(
        [sum(axes[3 * k + c][index] * offset[:, c] for c in range(3)) for k in range(3)], axis=1
    )  # fmt: skip
    half = solids.half[index]
    ratio = own / half
    size = np.abs(ratio)
    shape = solids.shape[index]

    largest = size.argmax(axis=1)
    rows = np.arange(len(index))
    negative = ratio[rows, largest] < 0
    face = (2 * largest + negative).astype(np.int8)
    normal = np.zeros_like(own)
    normal[rows, largest] = np.where(negative, -1, 1)

    chosen = np.flatnonzero(shape == Shape.ELLIPSOID)
    normal[chosen] = ratio[chosen] / half[chosen]
    chosen = np.flatnonzero(shape == Shape.CYLINDER)
    around = ratio[chosen] / half[chosen] * np.array([1, 0, 1], np.float32)
    end = size[chosen, 1] > np.hypot(ratio[chosen, 0], ratio[chosen, 2])
    face[chosen] = np.where(end, np.where(ratio[chosen, 1] < 0, BOTTOM, TOP), RIGHT)
    normal[chosen] = np.where(end[:, None], np.sign(ratio[chosen]) * np.array([0, 1, 0], np.float32), around)
    chosen = np.flatnonzero(shape == Shape.TAPERED)
    for solid in np.unique(index[chosen]):
        part = chosen[index[chosen] == solid]
        normals, offsets = zip(*tapered_planes(solids.half[solid], solids.taper[solid]), strict=True)
        planes = np.array(normals, np.float32)
        lengths = np.linalg.norm(planes, axis=1)
        outside = (own[part] @ planes.T - np.array(offsets, np.float32)) / lengths
        face[part] = outside.argmax(axis=1)
        normal[part] = planes[face[part]]
    normal /= np.sqrt((normal * normal).sum(axis=1, keepdims=True))
    world = np.stack(
        [sum(axes[3 * k + c][index] * normal[:, k] for k in range(3)) for c in range(3)], axis=1
    )  # fmt: skip
    return Surface(
        own[:, 0], own[:, 1], own[:, 2], depth, face, half, solids.taper[index], solids.colour[index],
        solids.style[index], world,
    )  # fmt: skip

"""Solids: the four shapes that scenes are built of, how they are put together and how rays meet them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.noise import CLOUDY, GRAINY, sample

Vector = tuple[float, float, float]
Colour = tuple[float, float, float]
"""sRGB, 0..1."""


class Shape(IntEnum):
    """What a solid's three half sizes describe. Cylinders stand along their y axis."""

    BOX = 0
    TAPERED = 1
    ELLIPSOID = 2
    CYLINDER = 3


class Material(IntEnum):
    """What a solid's surface looks like; `materials` paints each."""

    PLAIN = 0
    GLOSSY = 1
    FACADE = 2
    SHED = 3
    ROOF = 4
    FOLIAGE = 5
    CAR_BODY = 6
    CAR_CABIN = 7
    WHEEL = 8
    COACH = 9
    CARGO = 10
    BRICK = 11
    BOARDS = 12
    SIGN = 13
    LAMPS = 14
    HEAD = 15


class Mask(IntEnum):
    """Which part of a solid's surface is there; rays pass through the rest."""

    WHOLE = 0
    FOLIAGE = 1
    BARS = 2
    SPOKES = 3
    TRIANGLE = 4
    OCTAGON = 5
    DIAMOND = 6


@dataclass(frozen=True)
class Frame:
    """Where an object stands: its origin in the scene frame, and its heading (radians, clockwise from z)."""

    x: float
    y: float
    z: float
    heading: float = 0.0


@dataclass(frozen=True)
class Solids:
    """n solids, one row each. `axes` [n, 3, 3] holds each solid's own axes as rows, in the scene frame.

    `taper` [n, 3] of a tapered box is how far its top is drawn in: on both x sides, at +z and at -z. `style` [n, 4]
    is read by the solid's material and mask; its last entry is a random number in 0..1. Colours are linear.
    """

    shape: NDArray[np.int64]
    mask: NDArray[np.int64]
    label: NDArray[np.uint8]
    material: NDArray[np.int64]
    centre: Floats
    axes: Floats
    half: Floats
    taper: Floats
    colour: Floats
    style: Floats

    def corners(self) -> Floats:
        """The corners of every solid's bounding box in the scene frame, float32 [n, 8, 3]."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
        corners: Floats = np.matmul(signs * self.half[:, None], self.axes) + self.centre[:, None]
        return corners


_TRAIN_ID: Final = {name: number for number, name in enumerate(CITYSCAPES.names)}


class Builder:
    """Collects the solids of a scene as plain numbers; `build` turns them into arrays at once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.footprints: list[tuple[float, float, float, float, float]] = []
        self._kinds: list[tuple[int, int, int, int]] = []
        self._numbers: list[tuple[float, ...]] = []

    def add(
        self,
        frame: Frame,
        centre: Vector,
        half: Vector,
        *,
        label: str,
        material: Material,
        colour: Colour,
        shape: Shape = Shape.BOX,
        mask: Mask = Mask.WHOLE,
        taper: Vector = (0.0, 0.0, 0.0),
        style: Vector = (0.0, 0.0, 0.0),
        axis: Vector = (0.0, 1.0, 0.0),
    ) -> None:
        """Adds a solid of the class `label`.

        `centre`, `half` and the direction `axis` of its y axis are in the object's own frame.
        """
        self._kinds.append((shape, mask, _TRAIN_ID[label], material))
        place = (frame.x, frame.y, frame.z, frame.heading)
        self._numbers.append((*place, *centre, *half, *taper, *colour, *style, self.rng.random(), *axis))

    def tube(
        self,
        frame: Frame,
        start: Vector,
        end: Vector,
        radius: float,
        *,
        label: str,
        material: Material,
        colour: Colour,
        shape: Shape = Shape.CYLINDER,
        mask: Mask = Mask.WHOLE,
        style: Vector = (0.0, 0.0, 0.0),
    ) -> None:
        """Adds a cylinder or ellipsoid that reaches from `start` to `end` (a pole, a wheel, a limb)."""
        span = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
        length = (span[0] ** 2 + span[1] ** 2 + span[2] ** 2) ** 0.5
        centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, (start[2] + end[2]) / 2)
        axis = (span[0] / length, span[1] / length, span[2] / length)
        half = (radius, length / 2, radius)
        self.add(
            frame, centre, half, label=label, material=material, colour=colour, shape=shape, mask=mask, style=style,
            axis=axis,
        )  # fmt: skip

    def footprint(self, frame: Frame, half_x: float, half_z: float) -> None:
        """Notes that an object stands close over the ground here, which darkens it."""
        self.footprints.append((frame.x, frame.z, frame.heading, half_x, half_z))

    def build(self) -> Solids:
        """All solids added so far."""
        kinds = np.array(self._kinds)
        numbers = np.array(self._numbers)
        place, heading, centre, half, taper, colour, style, axis = np.split(
            numbers, np.cumsum([3, 1, 3, 3, 3, 3, 4]), axis=1
        )
        cos, sin, zero = np.cos(heading), np.sin(heading), np.zeros_like(heading)
        frame = np.stack(
            [np.hstack([cos, zero, -sin]), np.hstack([zero, zero + 1, zero]), np.hstack([sin, zero, cos])], axis=1
        )
        # The y axis is given; x and z may be any pair across it. Away from z, z itself serves as the reference, so
        # that an upright solid keeps its frame's axes.
        reference = np.where(np.abs(axis[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
        across = np.cross(axis, reference)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        own = np.stack([across, axis, np.cross(across, axis)], axis=1)
        return Solids(
            shape=kinds[:, 0],
            mask=kinds[:, 1],
            label=kinds[:, 2].astype(np.uint8),
            material=kinds[:, 3],
            centre=(place + np.matmul(centre[:, None], frame)[:, 0]).astype(np.float32),
            axes=np.matmul(own, frame).astype(np.float32),
            half=half.astype(np.float32),
            taper=taper.astype(np.float32),
            colour=(colour**2.2).astype(np.float32),
            style=style.astype(np.float32),
        )


Ray = tuple[Floats, Floats, Floats]
"""Three broadcastable coordinates of ray origins or directions in a solid's own frame."""


def tapered_planes(half: Floats, taper: Floats) -> list[tuple[Vector, float]]:
    """The faces +x, -x, +y, -y, +z, -z of a tapered box as (outward normal, offset), not normalised."""
    x, y, z = (float(value) for value in half)
    side, front, back = (float(value) for value in taper)
    tall = 2 * y
    return [
        ((1.0, side / tall, 0.0), x - side / 2),
        ((-1.0, side / tall, 0.0), x - side / 2),
        ((0.0, 1.0, 0.0), y),
        ((0.0, -1.0, 0.0), y),
        ((0.0, front / tall, 1.0), z - front / 2),
        ((0.0, back / tall, -1.0), z - back / 2),
    ]


def intersect(shape: int, origin: Ray, direction: Ray, half: Floats, taper: Floats) -> tuple[Floats, Floats]:
    """Where rays enter and leave a solid, in multiples of their direction; a ray misses unless near < far."""
    if shape == Shape.TAPERED:
        return _through_tapered(origin, direction, half, taper)
    if shape == Shape.ELLIPSOID:
        return _through_round(origin, direction, half, (0, 1, 2))
    if shape == Shape.CYLINDER:
        near, far = _through_round(origin, direction, half, (0, 2))
        low, high = _through_slab(origin[1], direction[1], half[1])
        return np.maximum(near, low), np.minimum(far, high)
    spans = [_through_slab(origin[k], direction[k], half[k]) for k in range(3)]
    near = np.maximum(np.maximum(spans[0][0], spans[1][0]), spans[2][0])
    far = np.minimum(np.minimum(spans[0][1], spans[1][1]), spans[2][1])
    return near, far


def _through_slab(origin: Floats, direction: Floats, half: Floats) -> tuple[Floats, Floats]:
    inverse = 1 / direction
    middle = -origin * inverse
    reach = half * np.abs(inverse)
    return middle - reach, middle + reach


def _through_round(origin: Ray, direction: Ray, half: Floats, used: tuple[int, ...]) -> tuple[Floats, Floats]:
    o = [origin[k] / half[k] for k in used]
    d = [direction[k] / half[k] for k in used]
    a = sum(v * v for v in d)
    b = sum(v * w for v, w in zip(o, d, strict=True))
    c = sum(v * v for v in o) - 1
    root: Floats = np.sqrt(np.maximum(b * b - a * c, 0))
    inverse = 1 / a
    return (-b - root) * inverse, (root - b) * inverse


def _through_tapered(origin: Ray, direction: Ray, half: Floats, taper: Floats) -> tuple[Floats, Floats]:
    near: Floats = np.full(1, -np.inf, np.float32)
    far = -near
    for normal, offset in tapered_planes(half, taper):
        axes = [k for k in range(3) if normal[k]]
        facing = sum(direction[k] * normal[k] for k in axes)
        at = (offset - sum(origin[k] * normal[k] for k in axes)) / facing
        near = np.maximum(near, np.where(facing < 0, at, -np.inf))
        far = np.minimum(far, np.where(facing < 0, np.inf, at))
    return near, far


def leafage(x: Floats, y: Floats, z: Floats, seed: Floats) -> tuple[Floats, Floats]:
    """Two measures of the leaves at positions in a crown, 0..1: one per leaf, one in clusters of a few."""
    deep = np.floor(z * _LEAVES)
    leaves = sample(GRAINY, x * _LEAVES + 37 * deep + 211, y * _LEAVES + 101 * deep + 512 * seed)
    clusters = sample(CLOUDY, (x - z) * 14 + 117, (y + 0.5 * (x + z)) * 14 + 512 * seed)
    return leaves, clusters


_LEAVES: Final = 9.0
"""Leaves per metre; drawn larger than life, or they would drown in single pixels."""
_BARS_BLEND = 28.0
"""Metres; farther fences are drawn whole: their gaps would be smaller than a pixel of the default picture."""


def covered(
    mask: int, origin: Ray, direction: Ray, near: Floats, far: Floats, half: Floats, style: Floats
) -> NDArray[np.bool_]:
    """Where the surface that the rays enter is really there, by the solid's mask."""
    there: NDArray[np.bool_]
    x, y, z = (o + near * d for o, d in zip(origin, direction, strict=True))
    if mask == Mask.FOLIAGE:
        # Thin parts of the crown fray, and some gaps between the leaves stay open everywhere.
        leaves, clusters = leafage(x, y, z, style[3])
        there = (far - near > style[0] * (0.35 * leaves + clusters)) & (leaves + 1.5 * clusters > 0.42)
    elif mask == Mask.BARS:
        bar = np.abs((x / style[0]) % 1 - 0.5) < 0.5 * style[1]
        rail = np.abs(np.abs(y / half[1]) - 0.85) < 0.07
        there = bar | rail | (near > _BARS_BLEND)
    elif mask == Mask.SPOKES:
        radius = np.hypot(x, z) / half[0]
        spoke = (np.arctan2(x, z) * (9 / np.pi)) % 1 < 0.3
        there = (radius > 0.8) | spoke
    elif mask == Mask.TRIANGLE:
        there = np.abs(x) / half[0] < 0.5 * (1 - y / half[1])
    else:
        there = np.abs(x) / half[0] + np.abs(y) / half[1] < (1.0 if mask == Mask.DIAMOND else 1.414)
    return there

"""The street itself: its course, its cross-section, its crossings, and which ground lies where."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.shapes import Frame

KERB_HEIGHT = 0.12
"""Metres that everything but the carriageway lies above it."""
KERB_WIDTH = 0.22


class Zone(IntEnum):
    """Kinds of ground."""

    ROAD = 0
    KERB = 1
    SIDEWALK = 2
    GRASS = 3
    TRACK = 4


@dataclass(frozen=True)
class SideStreet:
    """A street that meets ours between `start` and `end` metres ahead, on the left, the right or both sides."""

    start: float
    end: float
    left: bool
    right: bool


@dataclass(frozen=True)
class Street:
    """A street along z. Positions are s along it (metres ahead of the camera) and u across it (right of its middle).

    `edges` are the borders between the `zones` from left to right (one more zone than edges). `bend` is the
    curvature (1/m). The carriageway ends in a T-junction where the last side street reaches `end`.
    """

    kind: str
    bend: float
    lane_width: float
    lanes: int
    parking: tuple[float, float]
    median: float
    edges: tuple[float, ...]
    zones: tuple[Zone, ...]
    kerbs: tuple[float, float]
    building_lines: tuple[float, float]
    sides: tuple[SideStreet, ...]
    end: float
    cobbled: bool
    crossing: float

    def place(self, u: float, s: float, height: float = 0.0, turn: float = 0.0) -> Frame:
        """The frame of an object that stands at (u, s) and heads along the street, turned right by `turn`."""
        heading = float(np.arctan(self.bend * s))
        return Frame(u + self.bend * s * s / 2, height, s, heading + turn)

    def across(self, x: Floats, z: Floats) -> Floats:
        """The u of scene positions."""
        return x - z * z * np.float32(self.bend / 2)

    def free(self, side: int, s: float, margin: float = 0.0) -> bool:
        """Whether no side street meets the `side` (-1 left, 1 right) within `margin` of s."""
        return s < self.end - margin and not any(
            (street.left if side < 0 else street.right) and street.start - margin < s < street.end + margin
            for street in self.sides
        )

    def zone(self, u: Floats, s: Floats) -> NDArray[np.uint8]:
        """The `Zone` of ground positions."""
        zone = np.array(self.zones, np.uint8)[np.searchsorted(np.array(self.edges, np.float32), u)]
        inner_left, inner_right = self.kerbs
        for street in self.sides:
            beside = np.abs(s - (street.start + street.end) / 2) - (street.end - street.start) / 2
            near = beside < 3.2
            for joined, outside in ((street.left, u < inner_left), (street.right, u > inner_right)):
                if joined:
                    zone[near & outside & (beside >= 0)] = Zone.SIDEWALK
                    zone[outside & (beside < 0)] = Zone.ROAD
            zone[(beside < 0) & (u > inner_left) & (u < inner_right)] = Zone.ROAD
        beyond = s > self.end
        zone[beyond] = Zone.GRASS
        zone[beyond & (s < self.end + 4)] = Zone.SIDEWALK
        return zone


_KINDS = ("canyon", "suburb", "boulevard", "industry", "old town")


def draw_street(rng: np.random.Generator, tram: bool) -> Street:
    """A random street; with `tram`, one whose median carries a track."""
    kind = str(rng.choice(["canyon", "boulevard"] if tram else _KINDS))
    lane_width = float(rng.uniform(3.0, 3.6))
    wide = kind in ("boulevard", "industry") or (kind == "canyon" and rng.random() < 0.4)
    per_side = 2 if wide and rng.random() < 0.5 else 1
    median = 3.4 if tram else float(rng.uniform(1.5, 3.0)) if kind == "boulevard" and rng.random() < 0.6 else 0.0
    parking = tuple(2.3 if rng.random() < 0.65 else 0.0 for _ in range(2))
    halves = [median + per_side * lane_width + extra + 0.3 for extra in parking]
    kerbs = (-halves[0], halves[1])

    edges: list[float] = []
    zones: list[Zone] = []
    lines = []
    for side, half in ((-1, halves[0]), (1, halves[1])):
        verge = rng.uniform(1.2, 2.6) if rng.random() < {"boulevard": 0.2, "suburb": 0.3}.get(kind, 0.04) else 0.0
        walk = rng.uniform(1.8, 3.0) if kind in ("suburb", "industry", "old town") else rng.uniform(2.8, 4.5)
        garden = rng.uniform(3, 7) if kind == "suburb" else rng.uniform(1, 6) if kind == "industry" else 0.0
        widths = [(half, Zone.ROAD), (KERB_WIDTH, Zone.KERB), (verge, Zone.GRASS), (walk, Zone.SIDEWALK)]
        outside = Zone.GRASS if kind in ("suburb", "industry") else Zone.SIDEWALK
        if median:
            ground = Zone.TRACK if tram else Zone.GRASS if rng.random() < 0.35 else Zone.SIDEWALK
            widths[:1] = [(median - KERB_WIDTH, ground), (KERB_WIDTH, Zone.KERB), (half - median, Zone.ROAD)]
        borders = np.cumsum([width for width, _ in widths])
        lines.append(side * float(borders[-1] + garden))
        kept = [(border, zone) for border, (width, zone) in zip(borders, widths, strict=True) if width > 0]
        if side < 0:
            edges += [-float(border) for border, _ in reversed(kept)]
            zones += [outside] + [zone for _, zone in reversed(kept)]
        else:
            edges += [float(border) for border, _ in kept]
            zones += [zone for _, zone in kept[1:]] + [outside]
    sides = []
    s = float(rng.uniform(12, 45))
    while s < 110:
        width = float(rng.uniform(7, 11))
        which = int(rng.integers(3))
        sides.append(SideStreet(s, s + width, which != 1, which != 0))
        s += width + float(rng.uniform(30, 70))
    end = 400.0
    if rng.random() < 0.55:
        last = sides[-1] if len(sides) < 3 else sides[1]
        sides = [side for side in sides if side.start < last.start] + [SideStreet(last.start, last.end, True, True)]
        end = last.end
    return Street(
        kind=kind,
        bend=float(rng.normal(0, 1 / 350)) if rng.random() < 0.6 else 0.0,
        lane_width=lane_width,
        lanes=per_side,
        parking=(parking[0], parking[1]),
        median=median,
        edges=tuple(edges),
        zones=tuple(zones),
        kerbs=kerbs,
        building_lines=(lines[0], lines[1]),
        sides=tuple(sides),
        end=end,
        cobbled=kind == "old town" and rng.random() < 0.6,
        crossing=float(sides[0].start - 5) if rng.random() < 0.8 else -100.0,
    )

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
class District:
    """What the streets of one kind of district have in common.

    `heights` of buildings, widths of the `walk` and of the `garden` behind it are ranges in metres; `built` lots,
    kerb places with `trees`, grass `verge`s beside the kerb and `blocks` (rather than trees) in the background are
    shares; `crowd` is the mean number of pedestrians.
    """

    name: str
    heights: tuple[float, float]
    walk: tuple[float, float]
    garden: tuple[float, float]
    built: float
    trees: float
    verge: float
    blocks: float
    crowd: float


CANYON = District("canyon", (15, 32), (2.8, 4.5), (0, 0), built=0.82, trees=0.35, verge=0.04, blocks=0.8, crowd=17)
BOULEVARD = District("boulevard", (14, 28), (2.8, 4.5), (0, 0), built=0.66, trees=0.75, verge=0.2, blocks=0.6, crowd=14)
OLD_TOWN = District("old town", (9, 17), (1.8, 3.0), (0, 0), built=0.9, trees=0.2, verge=0.04, blocks=0.8, crowd=18)
SUBURB = District("suburb", (4, 7), (1.8, 3.0), (3, 7), built=0.68, trees=0.55, verge=0.3, blocks=0.3, crowd=8)
INDUSTRY = District("industry", (8, 18), (1.8, 3.0), (1, 6), built=0.55, trees=0.4, verge=0.04, blocks=0.4, crowd=6)


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

    `bend` is the curvature (1/m). `lanes` is their number per direction; `median` is half the width of the strip
    between the directions, 0 if there is none. `edges` are the borders between the `zones` from left to right (one
    more zone than edges); `kerbs`, `building_lines` and `parking` (the bays' width, 0 if there are none) are those
    of the left and the right side. The carriageway ends in a T-junction where the last side street reaches `end`.
    A zebra crossing begins at s = `crossing`.
    """

    district: District
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


def draw_street(rng: np.random.Generator, tram: bool) -> Street:
    """A random street; with `tram`, one whose median carries a track."""
    districts = (CANYON, BOULEVARD) if tram else (CANYON, BOULEVARD, OLD_TOWN, SUBURB, INDUSTRY)
    district = districts[int(rng.integers(len(districts)))]
    wide = district in (BOULEVARD, INDUSTRY) or (district is CANYON and rng.random() < 0.4)
    lanes, lane_width = 2 if wide and rng.random() < 0.5 else 1, float(rng.uniform(3.0, 3.6))
    median, strip = 0.0, Zone.SIDEWALK
    if tram:
        median, strip = 3.4, Zone.TRACK
    elif district is BOULEVARD and rng.random() < 0.6:
        median, strip = float(rng.uniform(1.5, 3.0)), Zone.GRASS if rng.random() < 0.35 else Zone.SIDEWALK
    parking = (2.3 * (rng.random() < 0.65), 2.3 * (rng.random() < 0.65))
    kerbs = [median + lanes * lane_width + bay + 0.3 for bay in parking]
    left, right = (_half_section(rng, district, median, strip, kerb) for kerb in kerbs)
    outside = Zone.GRASS if district in (SUBURB, INDUSTRY) else Zone.SIDEWALK
    sides, end = _side_streets(rng, may_end=not tram)
    return Street(
        district=district,
        bend=float(rng.normal(0, 1 / 350)) if rng.random() < 0.6 else 0.0,
        lane_width=lane_width,
        lanes=lanes,
        parking=parking,
        median=median,
        edges=tuple([-border for border, _ in reversed(left)] + [border for border, _ in right]),
        # The innermost zone reaches across the middle, so that it counts once.
        zones=(outside, *(zone for _, zone in reversed(left)), *(zone for _, zone in right[1:]), outside),
        kerbs=(-kerbs[0], kerbs[1]),
        building_lines=(
            -left[-1][0] - float(rng.uniform(*district.garden)),
            right[-1][0] + float(rng.uniform(*district.garden)),
        ),
        sides=sides,
        end=end,
        cobbled=district is OLD_TOWN and rng.random() < 0.6,
        crossing=sides[0].start - 5 if rng.random() < 0.8 else -100.0,
    )


def _half_section(
    rng: np.random.Generator, district: District, median: float, strip: Zone, kerb: float
) -> list[tuple[float, Zone]]:
    """The zones of one side, from the middle outwards, each with the distance of its outer border."""
    zones = [(median - KERB_WIDTH, strip), (median, Zone.KERB)] if median else []
    zones += [(kerb, Zone.ROAD), (kerb + KERB_WIDTH, Zone.KERB)]
    if rng.random() < district.verge:
        zones.append((zones[-1][0] + float(rng.uniform(1.2, 2.6)), Zone.GRASS))
    return [*zones, (zones[-1][0] + float(rng.uniform(*district.walk)), Zone.SIDEWALK)]


def _side_streets(rng: np.random.Generator, may_end: bool) -> tuple[tuple[SideStreet, ...], float]:
    """The side streets, at least one, and where the street ends."""
    sides: list[SideStreet] = []
    start = float(rng.uniform(12, 45))
    while start < 110:
        end = start + float(rng.uniform(7, 11))
        which = int(rng.integers(3))
        sides.append(SideStreet(start, end, left=which != 1, right=which != 0))
        start = end + float(rng.uniform(30, 70))
    if not may_end or rng.random() < 0.45:
        return tuple(sides), 400.0
    last = sides[min(len(sides), 2) - 1]
    return (*sides[: sides.index(last)], SideStreet(last.start, last.end, left=True, right=True)), last.end

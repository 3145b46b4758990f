"""Where everything stands: the composition of one street scene."""

import math
from dataclasses import dataclass

import numpy as np

from mtl_seg_depth.data.streets import buildings, furniture, people, vehicles
from mtl_seg_depth.data.streets.camera import Camera
from mtl_seg_depth.data.streets.shapes import Builder, Colour, Frame
from mtl_seg_depth.data.streets.street import CANYON, INDUSTRY, KERB_HEIGHT, OLD_TOWN, SUBURB, Street, Zone, draw_street

_REACH = 130.0
"""Metres ahead to which the street is furnished."""

RARE = {"bus": 7, "truck": 6, "train": 14, "motorcycle": 4, "bicycle rider": 3, "sign board": 6}
"""Every how many pictures of a split each of these is sure to stand in view of the camera."""


@dataclass(frozen=True)
class Layout:
    """A composed scene: the street, the camera in it, and a builder that holds its solids."""

    street: Street
    camera: Camera
    builder: Builder


def compose(rng: np.random.Generator, wanted: frozenset[str]) -> Layout:
    """A random street scene that holds the `wanted` names of `RARE`."""
    street = draw_street(rng, "train" in wanted)
    lane = street.median + street.lane_width * (rng.integers(street.lanes) + 0.5)
    u = float(lane + rng.normal(0, 0.3))
    start = street.place(u, 0.0)
    camera = Camera.looking(
        (start.x, float(rng.uniform(1.2, 1.6)), 0.0),
        yaw=float(rng.normal(0, 0.05 if rng.random() < 0.85 else 0.2)),
        pitch=float(rng.normal(-0.035, 0.014)),
        roll=float(rng.normal(0, 0.008)),
        focal=float(0.5 / math.tan(rng.uniform(0.53, 0.65))),
    )
    stage = _Stage(street, Builder(rng), u)
    for side in (-1, 1):
        stage.lots(side)
        stage.kerbside(side)
        stage.parked(side)
    stage.planted_median()
    stage.crossings()
    stage.traffic(wanted)
    stage.pedestrians()
    stage.background()
    return Layout(street, camera, stage.builder)


class _Stage:
    """Furnishes one street, group by group."""

    def __init__(self, street: Street, builder: Builder, ego: float) -> None:
        self.street, self.builder, self.rng, self.ego = street, builder, builder.rng, ego
        green = (
            ((0.30, 0.42, 0.16), (0.22, 0.36, 0.14), (0.36, 0.44, 0.18)),
            ((0.40, 0.42, 0.16), (0.55, 0.42, 0.14), (0.52, 0.30, 0.12)),
            ((0.20, 0.32, 0.16), (0.26, 0.38, 0.18), (0.30, 0.40, 0.14)),
        )
        self.leaves: tuple[Colour, ...] = green[int(self.rng.choice(3, p=(0.5, 0.15, 0.35)))]

    def leaf(self) -> Colour:
        return self.leaves[int(self.rng.integers(len(self.leaves)))]

    def kerb(self, side: int) -> float:
        return self.street.kerbs[0 if side < 0 else 1]

    def line(self, side: int) -> float:
        """The u of the building line."""
        return self.street.building_lines[0 if side < 0 else 1]

    def lots(self, side: int) -> None:
        """Buildings with gaps of gardens, walls, fences and hedges between them, along one side."""
        rng, street = self.rng, self.street
        s = -12.0
        district = street.district
        while s < min(_REACH, street.end + 10):
            length = float(rng.uniform(9, 22))
            if not all(street.free(side, at, 2.5) for at in (s, s + length / 2, s + length)):
                s += 1.5
                continue
            middle = s + length / 2
            depth = float(rng.uniform(4.5, 7))
            if rng.random() < district.built:
                setback = 0.0 if district in (CANYON, OLD_TOWN) else float(rng.uniform(0, 3))
                frame = street.place(self.line(side) + side * (depth + setback), middle)
                if district is SUBURB:
                    buildings.add_house(self.builder, frame, depth, length / 2 - 1.5)
                    self.front(side, middle, length)
                elif district is INDUSTRY and rng.random() < 0.6:
                    buildings.add_shed(self.builder, frame, depth, length / 2 - 0.5)
                    self.front(side, middle, length)
                else:
                    height = float(rng.uniform(*district.heights))
                    buildings.add_block(self.builder, frame, depth, length / 2, height, district)
            else:
                self.front(side, middle, length, always=True)
                for _ in range(int(rng.integers(2, 5))):
                    u = self.line(side) + side * float(rng.uniform(2, 12))
                    frame = street.place(u, middle + float(rng.uniform(-0.5, 0.5)) * length)
                    furniture.add_tree(self.builder, frame, self.leaf(), float(rng.uniform(8, 16)))
            s += length

    def front(self, side: int, middle: float, length: float, *, always: bool = False) -> None:
        """A fence, wall or hedge along the outer border of the sidewalk, or nothing."""
        edge = self.street.edges[0] if side < 0 else self.street.edges[-1]
        frame = self.street.place(edge + side * 0.2, middle, KERB_HEIGHT)
        choice = self.rng.random() * (0.85 if always else 1.0)
        if choice < 0.42:
            furniture.add_fence(self.builder, frame, length, int(self.rng.integers(4)))
        elif choice < 0.66:
            furniture.add_wall(self.builder, frame, length, float(self.rng.uniform(1.0, 2.8)))
        elif choice < 0.85:
            half = (0.45, float(self.rng.uniform(0.5, 1.0)), length / 2)
            furniture.add_bush(self.builder, frame, half, self.leaf(), clipped=True)
        for _ in range(2):
            if self.street.district is SUBURB and self.rng.random() < 0.6:
                u = edge + side * float(self.rng.uniform(1.5, 3))
                place = self.street.place(u, middle + float(self.rng.uniform(-0.45, 0.45)) * length)
                size = float(self.rng.uniform(0.5, 1.1))
                furniture.add_bush(self.builder, place, (size, size * 1.1, size), self.leaf())

    def kerbside(self, side: int) -> None:
        """Trees, lamps, signs and posts beside the kerb."""
        rng, street = self.rng, self.street
        trees = street.district.trees * float(rng.uniform(0.4, 1.3))
        lamp_at = float(rng.uniform(0, 25))
        s = float(rng.uniform(3, 8))
        while s < min(_REACH, street.end):
            u = self.kerb(side) + side * 0.75
            if street.free(side, s, 2.0):
                choice = rng.random()
                if s > lamp_at:
                    furniture.add_lamp(self.builder, street.place(u, s), side)
                    lamp_at = s + float(rng.uniform(18, 30))
                elif choice < trees:
                    height = float(rng.uniform(7, 14))
                    furniture.add_tree(self.builder, street.place(u + side * 0.2, s), self.leaf(), height)
                elif choice < trees + 0.23:
                    turn = float(rng.normal(0, 0.15)) + (math.pi if side < 0 and rng.random() < 0.4 else 0)
                    frame = street.place(u, s, 0.0, turn)
                    furniture.add_sign(self.builder, frame, int(rng.integers(furniture.SIGN_STYLES)))
                elif choice < trees + 0.29:
                    for k in range(3):
                        furniture.add_pole(self.builder, street.place(u - side * 0.3, s + 1.6 * k), 1.0, 0.06)
                elif choice < trees + 0.44:
                    self.bicycles(street.place(u + side * 0.5, s, KERB_HEIGHT, math.pi / 2))
            s += float(rng.uniform(3.5, 8))

    def bicycles(self, frame: Frame) -> None:
        """Two to four parked bicycles side by side."""
        for k in range(int(self.rng.integers(2, 5))):
            aside = 0.6 * k
            x, z = frame.x + aside * math.cos(frame.heading), frame.z - aside * math.sin(frame.heading)
            turn = float(self.rng.normal(0, 0.08))
            vehicles.add_bicycle(self.builder, Frame(x, frame.y, z, frame.heading + turn))

    def parked(self, side: int) -> None:
        """Cars at the kerb."""
        rng, street = self.rng, self.street
        if not street.parking[0 if side < 0 else 1]:
            return
        full = float(rng.uniform(0.2, 0.9))
        u = self.kerb(side) - side * 1.1
        s = float(rng.uniform(4.5, 9))
        while s < min(90, street.end):
            if rng.random() < full and street.free(side, s, 5.5) and abs(s - street.crossing) > 5:
                turn = float(rng.normal(0, 0.02)) + (math.pi if side < 0 else 0)
                vehicles.add_car(self.builder, street.place(u + float(rng.normal(0, 0.08)), s, 0, turn))
            s += float(rng.uniform(5.3, 6.4))

    def planted_median(self) -> None:
        """Trees, bushes and lamps between the carriageways of some boulevards."""
        rng, street = self.rng, self.street
        if not street.median or Zone.TRACK in street.zones:
            return
        trees, bushes = float(rng.uniform(0, 0.8)), float(rng.uniform(0, 0.6))
        for s in np.arange(float(rng.uniform(9, 16)), min(_REACH, street.end), float(rng.uniform(7, 13))):
            if not (street.free(-1, s, 3) and street.free(1, s, 3)):
                continue
            frame = street.place(float(rng.normal(0, 0.15)), float(s), KERB_HEIGHT)
            choice = rng.random()
            if choice < trees:
                furniture.add_tree(self.builder, frame, self.leaf(), float(rng.uniform(6, 11)))
            elif choice < trees + bushes:
                furniture.add_bush(self.builder, frame, (0.8, 0.5, 1.4), self.leaf())
            elif choice > 0.85:
                furniture.add_lamp(self.builder, frame, -1)

    def crossings(self) -> None:
        """Cars that wait in the side streets, and traffic lights at the first of them, on some streets."""
        street, rng = self.street, self.rng
        for crossed in street.sides:
            middle, quarter = (crossed.start + crossed.end) / 2, (crossed.end - crossed.start) / 4
            for side, joined in ((-1, crossed.left), (1, crossed.right)):
                if joined and rng.random() < 0.45:
                    u = self.kerb(side) + side * float(rng.uniform(3, 7))
                    frame = street.place(u, middle + side * quarter, 0.0, -side * math.pi / 2)
                    vehicles.add_car(self.builder, frame)
        first = street.sides[0]
        if rng.random() < 0.7:
            state = int(rng.choice(3, p=(0.5, 0.1, 0.4)))
            for side in (-1, 1):
                frame = street.place(self.kerb(side) + side * 0.6, first.start - 2.2)
                arm = abs(self.kerb(side)) * 0.55 if rng.random() < 0.5 else 0.0
                furniture.add_traffic_light(self.builder, frame, side, state, arm=arm)
            if first.end < street.end:
                frame = street.place(self.kerb(1) + 0.6, first.end + 2.2)
                furniture.add_traffic_light(self.builder, frame, 1, state, arm=0.0)

    def lanes(self) -> list[tuple[float, int]]:
        """The u of every lane's middle and its direction (1 ours, -1 oncoming)."""
        street = self.street
        offsets = [street.median + street.lane_width * (k + 0.5) for k in range(street.lanes)]
        return [(sign * offset, sign) for sign in (-1, 1) for offset in offsets]

    def traffic(self, wanted: frozenset[str]) -> None:
        """Moving vehicles in every lane; the wanted rare ones take the first places of lanes in view."""
        rng, street = self.rng, self.street
        flow = float(rng.uniform(14, 80))
        if "train" in wanted:
            self.tram()
        if "sign board" in wanted:
            furniture.add_direction_sign(self.builder, street.place(self.kerb(1) + 2.0, float(rng.uniform(12, 25))))
        # Taken from the end: the small ones come first, where they are near.
        rare = [name for name in ("bus", "truck", "bicycle rider", "motorcycle") if name in wanted]
        for u, way in rng.permutation(self.lanes()).tolist():
            own = abs(u - self.ego) < 1.5
            s = float(rng.uniform(8, 20)) if own else float(rng.uniform(6, 16))
            while s < min(100, street.end - 4):
                turn = 0.0 if way > 0 else math.pi
                aside = float(rng.normal(0, 0.2))
                if rare:
                    s = self.rarity(rare.pop(), u + aside, s, turn)
                elif rng.random() < 0.7:
                    vehicles.add_car(self.builder, street.place(u + aside, s, 0.0, turn))
                s += 7 + float(rng.exponential(flow))
        for name in rare:
            self.rarity(name, self.ego, float(rng.uniform(14, 24)), 0.0)

    def rarity(self, name: str, u: float, s: float, turn: float) -> float:
        """Places one rare vehicle with its front or back at about s; returns where it ends."""
        if name in ("truck", "bus"):
            s += float(self.rng.uniform(7, 15))
            frame = self.street.place(u, s, 0.0, turn)
            (vehicles.add_truck if name == "truck" else vehicles.add_bus)(self.builder, frame)
            return s + 6
        u += 0.9 if not turn else -0.9
        frame = self.street.place(u, s, 0.0, turn)
        if name == "motorcycle":
            vehicles.add_motorcycle(self.builder, frame)
        else:
            vehicles.add_bicycle(self.builder, frame)
        people.add_rider(self.builder, frame, motorcycle=name == "motorcycle")
        return s + 2

    def tram(self) -> None:
        """A tram of two or three carriages on the median's track."""
        rng = self.rng
        s = float(rng.uniform(14, 34))
        u = float(rng.choice([-1.6, 1.6]))
        frames = [self.street.place(u, s + 11.1 * k, 0.1) for k in range(int(rng.integers(2, 4)))]
        vehicles.add_train(self.builder, frames)

    def pedestrians(self) -> None:
        """People on the sidewalks and on the zebra crossing."""
        rng, street = self.rng, self.street
        for _ in range(int(rng.poisson(street.district.crowd))):
            side = int(rng.choice([-1, 1]))
            low, high = sorted((self.kerb(side) + side * 1.2, self.street.edges[0 if side < 0 else -1]))
            s = float(6 + rng.exponential(18))
            if s < min(_REACH, street.end) and street.free(side, s):
                turn = float(rng.normal(0, 0.3)) + math.pi * int(rng.integers(2))
                people.add_person(self.builder, street.place(float(rng.uniform(low, high)), s, KERB_HEIGHT, turn))
        if street.crossing > 8 and rng.random() < 0.55:
            for _ in range(int(rng.integers(1, 4))):
                u = float(rng.uniform(*street.kerbs))
                turn = math.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.2))
                s = street.crossing + float(rng.uniform(0.5, 3))
                people.add_person(self.builder, street.place(u, s, 0.0, turn))

    def background(self) -> None:
        """What closes the view at the ends of our street and of the side streets, and behind the lots."""
        rng, street = self.rng, self.street
        for s in np.arange(0, 200, 13.0):
            for side in (-1, 1):
                u = self.line(side) + side * float(rng.uniform(22, 34))
                self.backdrop(street.place(u, float(s) + float(rng.uniform(-3, 3))))
        end = street.end + 12 if street.end < 200 else 210.0
        for u in np.arange(-60, 61, 13.0):
            self.backdrop(street.place(float(u), end + float(rng.uniform(0, 8))))

    def backdrop(self, frame: Frame) -> None:
        """A block or a clump of trees."""
        rng = self.rng
        if rng.random() < self.street.district.blocks:
            height = float(rng.uniform(12, 30))
            buildings.add_block(self.builder, frame, 6.5, 6.5, height, self.street.district)
        else:
            half = (float(rng.uniform(6, 9)), float(rng.uniform(5, 8.5)), float(rng.uniform(6, 9)))
            furniture.add_bush(self.builder, frame, half, self.leaf())

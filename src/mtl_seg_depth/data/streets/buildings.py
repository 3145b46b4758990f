"""Houses: blocks with flat roofs, houses with gables, and sheds. Each stands on its frame's origin."""

from mtl_seg_depth.data.streets.shapes import Builder, Colour, Frame, Material, Shape
from mtl_seg_depth.data.streets.street import BOULEVARD, CANYON, INDUSTRY, OLD_TOWN, SUBURB, District

_WALLS: dict[District, tuple[Colour, ...]] = {
    CANYON: (
        (0.72, 0.66, 0.56), (0.60, 0.42, 0.34), (0.78, 0.75, 0.70), (0.52, 0.50, 0.48), (0.66, 0.56, 0.44),
        (0.45, 0.30, 0.25), (0.80, 0.72, 0.58),
    ),
    SUBURB: ((0.85, 0.82, 0.76), (0.62, 0.38, 0.30), (0.80, 0.74, 0.60), (0.72, 0.74, 0.74), (0.70, 0.52, 0.42)),
    INDUSTRY: ((0.62, 0.65, 0.68), (0.46, 0.52, 0.58), (0.72, 0.70, 0.64), (0.40, 0.44, 0.42), (0.58, 0.36, 0.30)),
    OLD_TOWN: (
        (0.86, 0.76, 0.52), (0.80, 0.60, 0.48), (0.72, 0.76, 0.66), (0.88, 0.84, 0.76), (0.66, 0.70, 0.76),
        (0.78, 0.52, 0.42),
    ),
}  # fmt: skip
_WALLS[BOULEVARD] = _WALLS[CANYON]
_TILES: tuple[Colour, ...] = ((0.52, 0.26, 0.20), (0.42, 0.30, 0.26), (0.30, 0.31, 0.34), (0.58, 0.34, 0.24))

FLOOR = 3.1
"""Metres from floor to floor, before the seed varies it."""


def add_block(builder: Builder, frame: Frame, half_x: float, half_z: float, height: float, district: District) -> None:
    """A block of flats or offices with a cornice, or in an old town with a pitched roof; shops at its foot in town."""
    rng = builder.rng
    walls = _WALLS[district]
    wall = walls[int(rng.integers(len(walls)))]
    modern = district in (CANYON, BOULEVARD, INDUSTRY) and rng.random() < 0.25
    shops = float(district is not SUBURB and rng.random() < 0.65)
    floor = FLOOR * float(rng.uniform(0.95, 1.2))
    floors = max(1, round(height / floor))
    top = floors * floor + 0.5
    builder.add(
        frame, (0, top / 2, 0), (half_x, top / 2, half_z), label="building", material=Material.FACADE, colour=wall,
        style=(floor, shops, float(modern)),
    )  # fmt: skip
    if district is OLD_TOWN or (not modern and rng.random() < 0.3):
        rise = float(rng.uniform(1.5, 3.2))
        tiles = _TILES[int(rng.integers(4))]
        builder.add(
            frame, (0, top + rise / 2, 0), (half_x + 0.35, rise / 2, half_z + 0.1), shape=Shape.TAPERED,
            taper=(min(half_x, 3.5), 0, 0), label="building", material=Material.ROOF, colour=tiles,
        )  # fmt: skip
    else:
        trim = (wall[0] * 0.85, wall[1] * 0.85, wall[2] * 0.85)
        builder.add(
            frame, (0, top, 0), (half_x + 0.22, 0.28, half_z + 0.05), label="building", material=Material.PLAIN,
            colour=trim,
        )  # fmt: skip


def add_house(builder: Builder, frame: Frame, half_x: float, half_z: float) -> None:
    """A detached house of one or two floors under a gabled or hipped roof."""
    rng = builder.rng
    walls = _WALLS[SUBURB]
    floors = int(rng.integers(1, 4))
    top = FLOOR * min(floors, 2)
    builder.add(
        frame, (0, top / 2, 0), (half_x, top / 2, half_z), label="building", material=Material.FACADE,
        colour=walls[int(rng.integers(len(walls)))], style=(FLOOR, 0, 0),
    )  # fmt: skip
    rise = float(rng.uniform(2.2, 3.6))
    hip = half_z * 0.5 if rng.random() < 0.4 else 0.0
    builder.add(
        frame, (0, top + rise / 2, 0), (half_x + 0.5, rise / 2, half_z + 0.4), shape=Shape.TAPERED,
        taper=(half_x + 0.4, hip, hip), label="building", material=Material.ROOF,
        colour=_TILES[int(rng.integers(4))],
    )  # fmt: skip
    builder.add(
        frame, (half_x * 0.4, top + rise, half_z * 0.3), (0.35, 0.9, 0.35), label="building", material=Material.BRICK,
        colour=(0.5, 0.32, 0.26),
    )  # fmt: skip


def add_shed(builder: Builder, frame: Frame, half_x: float, half_z: float) -> None:
    """A warehouse or workshop clad in sheet metal, with roller doors."""
    rng = builder.rng
    walls = _WALLS[INDUSTRY]
    height = float(rng.uniform(5.5, 10))
    builder.add(
        frame, (0, height / 2, 0), (half_x, height / 2, half_z), label="building", material=Material.SHED,
        colour=walls[int(rng.integers(len(walls)))],
    )  # fmt: skip
    builder.add(
        frame, (0, height, 0), (half_x + 0.1, 0.25, half_z + 0.1), label="building", material=Material.PLAIN,
        colour=(0.35, 0.37, 0.4),
    )  # fmt: skip

"""How the ground is painted: asphalt and its marks, kerbs, paving, grass and tram tracks."""

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.materials import rgb
from mtl_seg_depth.data.streets.noise import CLOUDY, GRAINY, sample
from mtl_seg_depth.data.streets.street import Street, Zone

LABEL_OF_ZONE = np.array(
    [CITYSCAPES.names.index(name) for name in ("road", "sidewalk", "sidewalk", "terrain", "terrain")], np.uint8
)
"""The train id of every `Zone`."""

_STONE, _SLAB, _GREEN, _DRY = rgb(0.66, 0.65, 0.63), rgb(0.60, 0.58, 0.55), rgb(0.34, 0.42, 0.18), rgb(0.52, 0.48, 0.28)
_MARK, _STEEL = rgb(0.88, 0.88, 0.86), rgb(0.70, 0.70, 0.72)


def paint_ground(street: Street, zone: NDArray[np.uint8], u: Floats, s: Floats, depth: Floats) -> Floats:
    """Linear colours float32 [3, m] of ground at (u, s) seen at `depth`, all metres [m]."""
    near = np.minimum(1, 9 / depth)
    grain = (sample(GRAINY, 37 * u + 900, 37 * s) - 0.5) * near
    blotch = sample(CLOUDY, 11 * u + 900, 5 * s)
    colour = np.empty((3, len(u)), np.float32)
    at = np.flatnonzero(zone == Zone.ROAD)
    colour[:, at] = _road(street, u[at], s[at], near[at], blotch[at])
    at = np.flatnonzero(zone == Zone.KERB)
    colour[:, at] = np.outer(_STONE, np.where(s[at] % 1 < 0.04, 1 - 0.5 * near[at], 1))
    at = np.flatnonzero(zone == Zone.SIDEWALK)
    colour[:, at] = _paving(u[at], s[at], near[at])
    at = np.flatnonzero(zone >= Zone.GRASS)
    colour[:, at] = _GREEN[:, None] + np.outer(0.7 * (_DRY - _GREEN), np.clip(2 * blotch[at] - 0.8, 0, 1))
    rail = (zone[at] == Zone.TRACK) & (np.abs(np.abs(np.abs(u[at]) - 1.6) - 0.72) < 0.06)
    colour[:, at[rail]] = _STEEL[:, None]
    return colour * ((0.85 + 0.3 * blotch) * (1 + 0.5 * grain))


def _paving(u: Floats, s: Floats, near: Floats) -> Floats:
    tint = sample(GRAINY, np.floor(u / 0.6) + 300, np.floor(s / 0.6))
    joint = ((u / 0.6) % 1 < 0.07) | ((s / 0.6) % 1 < 0.07)
    return np.outer(_SLAB, (0.85 + 0.3 * tint) * (1 - 0.4 * near * joint))


def _road(street: Street, u: Floats, s: Floats, near: Floats, blotch: Floats) -> Floats:
    aside = np.abs(u)
    if street.cobbled:
        row = np.floor(s / 0.16)
        column = u / 0.2 + 0.5 * (row % 2)
        tint = sample(GRAINY, np.floor(column) + 300, row)
        joint = ((s / 0.16) % 1 < 0.2) | (column % 1 < 0.16)
        colour = np.outer(rgb(0.47, 0.45, 0.43), (0.8 + 0.4 * tint) * (1 - 0.5 * near * joint))
    else:
        tyres = np.abs((aside - street.median) % street.lane_width - street.lane_width / 2) - 0.8
        worn = np.exp(-((tyres / 0.3) ** 2))
        patch = sample(GRAINY, np.floor(u / 2.3) + 50, np.floor(s / 7)) > 0.9
        crack = (np.abs(sample(CLOUDY, 14 * u + 700, 14 * s) - 0.5) < 0.006) & (near > 0.5)
        wear = (1 - 0.13 * worn) * np.where(patch, 0.75, 1) * np.where(crack, 0.6, 1)
        colour = np.outer(rgb(0.40, 0.40, 0.41), wear)
    cover = np.hypot((u - street.median - street.lane_width * 0.55) / 0.33, (s % 23 - 11) / 0.33)
    colour[:, cover < 1] *= 0.5
    colour[:, _marked(street, u, s) & (blotch > 0.06)] = _MARK[:, None]
    return colour


def _marked(street: Street, u: Floats, s: Floats) -> NDArray[np.bool_]:
    """Where the carriageway carries white paint."""
    marks: NDArray[np.bool_]
    aside = np.abs(u)
    dashes = s % 9 < 4.5
    if street.median:
        marks = np.abs(aside - street.median - 0.25) < 0.07
    elif street.lanes > 1:
        marks = np.abs(aside - 0.14) < 0.06
    else:
        marks = (aside < 0.07) & dashes
    outer = street.median + street.lanes * street.lane_width
    marks |= (np.abs(aside - outer) < 0.06) & (not street.cobbled)
    if street.lanes > 1:
        marks |= (np.abs(aside - street.median - street.lane_width) < 0.07) & dashes
    left, right = street.kerbs
    for side in street.sides:
        marks &= (s < side.start - 1.5) | (s > side.end + 1.5) | (u < left) | (u > right)
    marks &= (u > left) & (u < right) & (s < street.end)
    along = s - street.crossing
    zebra = (along > 0) & (along < 3.4)
    marks &= (along < -2) | (along > 4)
    marks |= zebra & (u % 1.0 < 0.5)
    marks |= (np.abs(along + 1.6) < 0.22) & (u > street.median + 0.2)
    return marks

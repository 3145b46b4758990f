"""How vehicles are painted."""

import numpy as np

from mtl_seg_depth.data.streets.materials import (
    AMBER,
    DARK,
    GLASS,
    RED,
    WHITE,
    Coat,
    Paint,
    fade,
    rgb,
)
from mtl_seg_depth.data.streets.noise import GRAINY, sample
from mtl_seg_depth.data.streets.surface import BACK, BOTTOM, FRONT, LEFT, TOP, Surface

_SILL = 0.22
"""Metres from the ground to the underside of a car's body, about."""


def car_body(s: Surface) -> Paint:
    """A car below its windows: lights, plates, grille, bumpers, doors and wheel arches."""
    x, y = np.abs(s.x) / s.half[0], s.y / s.half[1]
    coat = Coat(s)
    coat.gloss[:] = 0.10
    side, front, back = s.face <= LEFT, s.face == FRONT, s.face == BACK
    coat.over((front | back | side) & (y < -0.72), DARK)
    coat.over(front & (x < 0.62) & (np.abs(y + 0.05) < 0.3), DARK, gloss=0.1)
    coat.over(front & (x > 0.58) & (np.abs(y - 0.25) < 0.24), WHITE, gloss=0.3, glow=0.1)
    coat.over(back & (x > 0.60) & (np.abs(y - 0.30) < 0.34), RED, gloss=0.1, glow=0.25)
    coat.over((front | back) & (np.abs(s.x) < 0.27) & (np.abs(y + 0.28) < 0.17), WHITE, glow=0.05)
    coat.shade(back & (np.abs(y + 0.52) < 0.05), 0.5)
    lines = (np.abs(s.z - 0.12) < 0.015) | (np.abs(s.z + 0.85) < 0.015) | (np.abs(s.z - 1.0) < 0.015)
    coat.shade(side & lines & (y > -0.6), 0.5)
    coat.shade(side & (np.abs(y - 0.25) < 0.05), 0.8)
    centre = s.style[2] - _SILL - s.half[1]
    for axle in (s.style[0], s.style[1]):
        coat.over(side & (np.hypot(s.z - axle, s.y - centre) < 1.17 * s.style[2]), DARK * 0.5)
    coat.over(s.face == BOTTOM, DARK * 0.4)
    return coat.done()


def car_cabin(s: Surface) -> Paint:
    """A car above its belt: glass between pillars under the roof."""
    rise = s.rise
    low = -s.half[2] + s.taper[2] * rise
    high = s.half[2] - s.taper[1] * rise
    along = (s.z - low) / (high - low)
    across = np.abs(s.x) / (s.half[0] - s.taper[0] * rise)
    side = s.face <= LEFT
    pillar = (along < 0.06) | (along > 0.95) | (np.abs(along - 0.5) < 0.025)
    solid = (s.face == TOP) | (rise > 0.9) | (side & pillar) | (~side & (across > 0.90))
    coat = Coat(s)
    coat.gloss[:] = 0.10
    coat.over(~solid, GLASS * np.float32(0.45), gloss=0.3)
    return coat.done()


def wheel(s: Surface) -> Paint:
    """A tyre and its rim."""
    radius = np.hypot(s.x, s.z) / s.half[0]
    flank = (s.face == TOP) | (s.face == BOTTOM)
    spokes = np.cos(5 * np.arctan2(s.x, s.z)) > -0.3
    coat = Coat(s, 0.8)
    coat.over(flank & (radius < 0.64), np.outer(rgb(0.8, 0.8, 0.82), np.where(spokes, 0.5, 0.08)), gloss=0.1)
    return coat.done()


def coach(s: Surface) -> Paint:
    """A bus, a carriage or a lorry's cab: windows, doors, a destination display, lights and a stripe."""
    rise, x = s.rise, np.abs(s.x) / s.half[0]
    cab = s.style[1] > 0.5
    side, front, back = s.face <= LEFT, s.face == FRONT, s.face == BACK
    bay = (s.z + s.half[2]) / 1.5
    pane, number = bay % 1, np.floor(bay)
    coat = Coat(s)
    coat.gloss[:] = 0.08
    coat.over(side & ~cab & (np.abs(rise - 0.32) < 0.035), WHITE * np.float32(0.8), gloss=0.08)
    coat.over((side | front | back) & (rise < 0.06), DARK)
    glass = side & (np.abs(rise - 0.62) < 0.20) & (pane > 0.06) & (pane < 0.94)
    coat.over(glass & (~cab | (s.z > 0)), GLASS * np.float32(0.5), gloss=0.3)
    door = side & ~cab & (number % 4 == 2) & (rise < 0.84) & (rise > 0.04)
    coat.over(door, DARK, gloss=0.1)
    coat.over(door & (np.abs(pane - 0.5) < 0.4) & (np.abs(pane - 0.5) > 0.05) & (rise > 0.1), GLASS, gloss=0.3)
    coat.over(front & (np.abs(rise - 0.58) < 0.23) & (x < 0.92), GLASS * np.float32(0.5), gloss=0.3)
    coat.over(front & (np.abs(rise - 0.15) < 0.05) & (np.abs(x - 0.75) < 0.14), WHITE, gloss=0.2, glow=0.4)
    coat.over(front & (rise > 0.12) & (rise < 0.3) & (x < 0.5), DARK)
    coat.over(back & (np.abs(rise - 0.66) < 0.15) & (x < 0.8), GLASS * np.float32(0.5), gloss=0.3)
    coat.over(back & (np.abs(rise - 0.2) < 0.1) & (x < 0.55), DARK)
    coat.over(back & (np.abs(rise - 0.24) < 0.06) & (x > 0.78), RED, glow=0.3)
    display = (front | back) & ~cab & (np.abs(rise - 0.9) < 0.055) & (x < 0.65)
    coat.over(display, DARK)
    coat.over(display & (sample(GRAINY, 9 * s.x + 40, 300 * s.style[3]) > 0.4), AMBER, glow=0.8)
    return coat.done()


def cargo(s: Surface) -> Paint:
    """A lorry's box: ribs, a broad band on the sides, doors at the back."""
    rise = s.rise
    side, back = s.face <= LEFT, s.face == BACK
    coat = Coat(s, 1 - 0.2 * (side & ((s.z / 0.6) % 1 < 0.08)) * fade(s, 25))
    band = np.where(s.style[3] < 0.5, rgb(0.70, 0.15, 0.12)[:, None], rgb(0.12, 0.30, 0.55)[:, None])
    coat.over(side & (np.abs(rise - 0.55) < 0.12), band)
    coat.over(side & (np.abs(rise - 0.55) < 0.05) & (np.abs(s.z) < 1.6) & ((2.2 * s.z) % 1 < 0.65), WHITE)
    coat.shade(back & ((np.abs(s.x) < 0.02) | (np.abs(np.abs(s.x) - 0.6) < 0.03)), 0.5)
    coat.over(back & (rise < 0.05), np.where((s.x / 0.4) % 1 < 0.5, RED[:, None], WHITE[:, None]), glow=0.1)
    return coat.done()

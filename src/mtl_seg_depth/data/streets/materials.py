"""How buildings, plants, people and street furniture are painted: the colour, gloss and glow of every sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.noise import CLOUDY, GRAINY, sample
from mtl_seg_depth.data.streets.shapes import leafage
from mtl_seg_depth.data.streets.surface import BACK, BOTTOM, TOP, Surface

Where = NDArray[np.bool_]


@dataclass(frozen=True)
class Paint:
    """Linear colour [3, m], the share of light it mirrors [m] and the light it gives off itself [m]."""

    colour: Floats
    gloss: Floats
    glow: Floats

    @classmethod
    def joined(cls, paints: list["Paint"]) -> "Paint":
        """Several paints' samples one after the other."""
        return cls(
            np.concatenate([paint.colour for paint in paints], axis=1),
            np.concatenate([paint.gloss for paint in paints]),
            np.concatenate([paint.glow for paint in paints]),
        )


Painter = Callable[[Surface], Paint]


def rgb(red: float, green: float, blue: float) -> Floats:
    """A linear colour from sRGB, 0..1."""
    return np.array([red, green, blue], np.float32) ** np.float32(2.2)


class Coat:
    """A paint in the making: starts as the solids' own colours; areas are painted over one by one."""

    def __init__(self, s: Surface, shade: Floats | float = 1.0) -> None:
        self.colour = s.colour * shade
        self.gloss = np.zeros(len(s.x), np.float32)
        self.glow = np.zeros(len(s.x), np.float32)

    def over(self, where: Where, colour: Floats, *, gloss: float = 0.0, glow: float = 0.0) -> None:
        """Paints an area, with one colour [3] or with one per sample [3, m]."""
        self.colour[:, where] = colour[:, where] if colour.ndim == 2 else colour[:, None]
        self.gloss[where] = gloss
        self.glow[where] = glow

    def shade(self, where: Where, factor: float) -> None:
        """Darkens or lightens an area."""
        self.colour[:, where] *= factor

    def done(self) -> Paint:
        """The finished paint."""
        return Paint(self.colour, self.gloss, self.glow)


def fade(s: Surface, reach: float) -> Floats:
    """How much of a detail is left at the samples' depth: 1 near, falling beyond `reach` metres."""
    left: Floats = np.minimum(1, reach / s.depth)
    return left


WHITE = rgb(0.92, 0.92, 0.90)
DARK = rgb(0.10, 0.10, 0.11)
GLASS = rgb(0.13, 0.16, 0.19)
RED = rgb(0.75, 0.06, 0.07)
BLUE = rgb(0.05, 0.22, 0.60)
AMBER = rgb(1.0, 0.65, 0.1)


def plain(s: Surface) -> Paint:
    """One colour, slightly blotched."""
    return Coat(s, 0.9 + 0.2 * sample(CLOUDY, 60 * (s.x + s.z) + 500 * s.style[3], 60 * s.y)).done()


def glossy(s: Surface) -> Paint:
    """Lacquer."""
    coat = Coat(s)
    coat.gloss[:] = 0.12
    return coat.done()


def facade(s: Surface) -> Paint:
    """A wall with rows of windows, shop fronts or a door at its foot, and a plinth."""
    a, half = s.along
    floor, shops, modern, seed = s.style[0], s.style[1] > 0.5, s.style[2] > 0.5, s.style[3]
    height = s.y + s.half[1]
    count = np.maximum(1, np.round(2 * half / (2.0 + 1.6 * ((seed * 7) % 1))))
    column, level = (a + half) * count / (2 * half), height / floor
    column_id, level_id = np.floor(column), np.floor(level)
    across, up = column - column_id, level - level_id
    chance = sample(GRAINY, 7 * column_id + 509 * seed, 13 * level_id + 31 * s.face + 90)
    shop = shops & (level_id == 0)
    side = s.face != TOP

    stains = sample(CLOUDY, 9 * a + 400 * seed, 9 * height)
    brick = (seed > 0.45) & ~modern
    courses = np.where(brick & ((height / 0.3) % 1 < 0.2), 0.12 * fade(s, 12), 0)
    coat = Coat(s, (0.82 + 0.3 * stains) * (1 - courses))
    coat.shade(side & (up < 0.05) & (level_id > 0) & ~modern, 1.15)
    coat.shade(side & (height < 0.7), 0.72)

    half_width = np.where(modern, 0.46, np.where(shop, 0.45, 0.22 + 0.10 * ((seed * 13) % 1)))
    half_height = np.where(modern, 0.40, np.where(shop, 0.36, 0.27))
    dx, dy = np.abs(across - 0.5), np.abs(up - np.where(shop, 0.40, 0.52))
    storeys = side & (height < 2 * s.half[1] - 0.55)
    glazed = storeys & (dx < half_width) & (dy < half_height)
    frame = storeys & ~glazed & (dx < half_width + 0.04) & (dy < half_height + 0.05)
    coat.over(frame, np.where(seed > 0.3, 0.8 * WHITE[:, None], 0.6 * s.colour))
    coat.over(glazed, np.outer(GLASS, 0.4 + chance), gloss=0.3)
    curtain = glazed & ~shop & (chance > 0.6) & ((dx > 0.5 * half_width) | (chance > 0.85))
    coat.over(curtain, np.outer(rgb(0.62, 0.60, 0.55), 0.35 + chance), gloss=0.15)
    coat.over(glazed & (chance < (0.05 + 0.25 * shop)), rgb(0.98, 0.82, 0.55), gloss=0.1, glow=0.35)
    coat.shade(glazed & (up - np.where(shop, 0.40, 0.52) > half_height - 0.08), 0.45)
    coat.over(glazed & ((dx < 0.025) | (np.abs(dy - 0.1) < 0.012)) & ~shop, WHITE * 0.7)

    awning = storeys & shop & (up > 0.79) & (up < 0.97)
    hue = (seed * 5 + np.floor(column / 3) * 0.377) % 1
    bright = np.stack([0.5 + 0.45 * np.cos(6.28 * (hue + turn)) for turn in (0, 0.33, 0.67)])
    coat.over(awning, (bright**2).astype(np.float32) * 0.5)
    text = awning & (np.abs(up - 0.88) < 0.04) & ((3 * column) % 3 > 0.6) & (sample(GRAINY, 9 * column, seed) > 0.4)
    coat.over(text, WHITE)
    door = storeys & (level_id == 0) & (column_id == np.floor(count / 2)) & (dx < 0.24) & (up < 0.72)
    coat.over(door & ~modern, np.outer(rgb(0.42, 0.27, 0.18), 0.4 + seed))
    coat.shade(door & ((dx > 0.2) | (up > 0.68)), 0.6)
    return coat.done()


def shed(s: Surface) -> Paint:
    """Ribbed sheet metal with roller doors and a strip of windows under the eaves."""
    a, half = s.along
    height = s.y + s.half[1]
    ribs = 1 + 0.12 * np.sin(a * 18) * fade(s, 15)
    coat = Coat(s, (0.75 + 0.35 * sample(CLOUDY, 5 * a, 9 * height + 300 * s.style[3])) * ribs)
    count = np.maximum(1, np.floor(2 * half / 6.5))
    across = np.abs(((a + half) * count / (2 * half)) % 1 - 0.5)
    side = s.face != TOP
    door = side & (across < 0.28) & (height < 3.9)
    coat.over(door, np.outer(rgb(0.85, 0.87, 0.92), np.where((height / 0.35) % 1 < 0.15, 0.25, 0.42)))
    coat.over(side & (np.abs(height - 2 * s.half[1] + 1.4) < 0.45) & (across > 0.05), GLASS, gloss=0.3)
    return coat.done()


def roof(s: Surface) -> Paint:
    """Rows of tiles; gravel on flat parts."""
    along = np.where(s.face <= 1, s.z, s.x)
    rows = np.where((s.y / 0.22) % 1 < 0.25, 0.3 * fade(s, 25), 0)
    tiles = sample(GRAINY, s.y / 0.22 + 300 * s.style[3], along / 0.3)
    return Coat(s, (0.75 + 0.3 * tiles) * (1 - rows)).done()


def foliage(s: Surface) -> Paint:
    """Leaves in the light and in the dark, darker deep inside and below."""
    leaves, clusters = leafage(s.x, s.y, s.z, s.style[3])
    shade = (0.45 + 0.8 * leaves) * (0.4 + 0.9 * clusters) * (0.6 + 0.5 * s.rise)
    coat = Coat(s, shade * 1.3)
    coat.colour[0] *= 0.85 + 0.4 * leaves
    return coat.done()


def brick(s: Surface) -> Paint:
    """Courses of stones with light joints."""
    a, _ = s.along
    course = np.floor(s.y / 0.22)
    stone = a / 0.5 + 0.5 * (course % 2)
    tint = sample(GRAINY, np.floor(stone) + 300 * s.style[3], course + 200)
    joint = ((s.y / 0.22) % 1 < 0.14) | (stone % 1 < 0.07)
    stains = sample(CLOUDY, 14 * a, 14 * s.y + 300 * s.style[3])
    return Coat(s, (0.72 + 0.3 * tint) * (0.8 + 0.35 * stains) * (1 + 0.35 * joint * fade(s, 10))).done()


def boards(s: Surface) -> Paint:
    """Upright boards, each of its own tint."""
    plank = np.floor(s.x / s.style[0])
    tint = sample(GRAINY, plank, 400 * s.style[3])
    grain = sample(CLOUDY, 120 * s.x, 8 * s.y)
    return Coat(s, (0.7 + 0.4 * tint) * (0.8 + 0.3 * grain)).done()


def sign(s: Surface) -> Paint:
    """The faces of `furniture.add_sign` and the direction board; grey on the back."""
    disc = (s.style[0] >= 2) & (s.style[0] <= 4)
    x = s.x / s.half[0]
    y = np.where(disc, s.z / s.half[2], s.y / s.half[1])
    radius = np.hypot(x, y)
    shown = np.where(disc, s.face == TOP, s.face == BACK)
    style = np.where(shown, s.style[0], -1)
    coat = Coat(s)
    text = (np.abs(y) < 0.2) & (np.abs(x) < 0.7) & ((4.5 * x) % 1 < 0.65)
    areas: tuple[tuple[int, Where | None, Floats], ...] = (
        (0, None, RED),
        (0, (np.abs(x) < 0.5 * (1 - y) - 0.24) & (y > -0.78), WHITE),
        (0, (np.abs(x) < 0.07) & (np.abs(y + 0.3) < 0.3), DARK),
        (1, None, RED),
        (1, text, WHITE),
        (2, None, RED),
        (2, radius < 0.74, WHITE),
        (2, (np.abs(y) < 0.34) & (np.abs(np.abs(x) - 0.25) < 0.17) & (radius < 0.6), DARK),
        (3, None, RED),
        (3, (np.abs(y) < 0.18) & (np.abs(x) < 0.68), WHITE),
        (4, None, BLUE),
        (4, ((np.abs(x) < 0.12) & (np.abs(y) < 0.6)) | ((y > 0.1) & (np.abs(x) + y < 0.65)), WHITE),
        (5, None, BLUE),
        (5, np.abs(x) < 0.42 * (0.75 - y), WHITE),
        (5, (np.abs(x) < 0.12) & (np.abs(y + 0.25) < 0.32), DARK),
        (6, None, WHITE),
        (6, np.abs(x) + np.abs(y) < 0.72, rgb(0.98, 0.78, 0.05)),
        (7, None, WHITE),
        (7, (np.abs(x) < 0.95) & (np.abs(y) < 0.92), BLUE),
        (7, (np.abs(np.abs(y) - 0.45) < 0.16) & (np.abs(x) < 0.75) & ((7 * x) % 1 < 0.7), WHITE),
    )
    for wanted, area, colour in areas:
        coat.over((style == wanted) if area is None else (style == wanted) & area, colour, glow=0.15)
    return coat.done()


def lamps(s: Surface) -> Paint:
    """A traffic light's housing with its three lamps, one of them lit."""
    coat = Coat(s)
    for k, colour in enumerate((rgb(1.0, 0.10, 0.06), rgb(1.0, 0.65, 0.05), rgb(0.10, 0.95, 0.45))):
        lamp = np.hypot(s.x / 0.15, (s.y - (0.32 - 0.32 * k)) / 0.15) < 1
        lamp &= s.face == BACK
        coat.over(lamp, colour * 0.12, gloss=0.1)
        coat.over(lamp & (s.style[0] == k), colour, glow=1.6)
    return coat.done()


def head(s: Surface) -> Paint:
    """A face and hair."""
    tone = (s.style[3] * 3) % 1
    hair = (s.y > 0.35 * s.half[1]) | ((s.z < 0) & (s.y > -0.3 * s.half[1]))
    coat = Coat(s)
    coat.over(hair & (s.face != BOTTOM), np.outer(rgb(0.45, 0.32, 0.20), 0.15 + tone**2))
    return coat.done()

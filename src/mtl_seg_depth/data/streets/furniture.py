"""What stands along a street: trees, bushes, lamps, traffic lights, signs, fences, walls and hedges."""

import math

from mtl_seg_depth.data.streets.shapes import Builder, Colour, Frame, Mask, Material, Shape, Vector

_STEEL: Colour = (0.50, 0.51, 0.52)
_BARK: Colour = (0.33, 0.27, 0.21)
_DETAILED = 45.0
"""Metres ahead of the camera beyond which trees are made of fewer blobs."""


def add_tree(builder: Builder, frame: Frame, leaf: Colour, height: float) -> None:
    """A tree with a crown of frayed blobs; a fifth are slender."""
    rng = builder.rng
    slender = 0.45 if rng.random() < 0.2 else 1.0
    clear = height * float(rng.uniform(0.22, 0.36))
    radius = (height - clear) * 0.48 * slender * float(rng.uniform(0.85, 1.1))
    lean = float(rng.normal(0, 0.15))
    thick = 0.05 + 0.013 * height
    middle = (clear + height) / 2
    builder.tube(frame, (0, 0, 0), (lean, middle, 0), thick, label="vegetation", material=Material.PLAIN, colour=_BARK)
    blobs = 11 if frame.z < _DETAILED else 6
    for k in range(blobs):
        # Golden-angle steps spread the blobs evenly around the stem; the first fills the middle.
        turn = 2.4 * k + float(rng.uniform(-0.4, 0.4))
        level = 0.36 - 0.72 * ((k * 0.618) % 1)
        out = radius * (1.05 - 0.9 * abs(level)) * float(rng.uniform(0.4, 0.72)) * (k > 0)
        up = middle + (height - clear) * level * (k > 0)
        size = radius * float(rng.uniform(0.42, 0.6)) * (11 / blobs) ** 0.4
        tint = float(rng.uniform(0.85, 1.15))
        builder.add(
            frame, (lean + out * math.cos(turn), up, out * math.sin(turn)),
            (size, size * float(rng.uniform(0.7, 0.95)) / slender**0.5, size),
            shape=Shape.ELLIPSOID, mask=Mask.FOLIAGE, label="vegetation", material=Material.FOLIAGE,
            colour=(leaf[0] * tint, leaf[1] * tint, leaf[2] * tint), style=(1.5 * size, 0, 0),
        )  # fmt: skip
    builder.footprint(frame, thick, thick)


def add_bush(builder: Builder, frame: Frame, half: Vector, leaf: Colour, *, clipped: bool = False) -> None:
    """A bush or clump of trees that frays, or if `clipped` a hedge that fills its box."""
    if clipped:
        parts = [((0.0, half[1], 0.0), half)]
    else:
        low = (half[0] * 0.7, half[1] * 0.75, half[2] * 0.7)
        ends = [(half[0] * 0.45 * side, half[1] * 0.6, half[2] * 0.4 * side) for side in (-1, 1)]
        parts = [((0.0, half[1], 0.0), low), *((end, low) for end in ends)]
    for centre, size in parts:
        builder.add(
            frame, centre, size, shape=Shape.BOX if clipped else Shape.ELLIPSOID, mask=Mask.FOLIAGE,
            label="vegetation", material=Material.FOLIAGE, colour=leaf,
            style=(0.3 if clipped else 1.1 * min(size), 0, 0),
        )  # fmt: skip


def add_pole(builder: Builder, frame: Frame, height: float, radius: float, colour: Colour = _STEEL) -> None:
    """A bare pole."""
    builder.tube(frame, (0, 0, 0), (0, height, 0), radius, label="pole", material=Material.PLAIN, colour=colour)


def add_lamp(builder: Builder, frame: Frame, side: int) -> None:
    """A street lamp whose arm reaches over the street from the `side` (-1 left, 1 right)."""
    height = float(builder.rng.uniform(5.5, 9))
    colour = _STEEL if builder.rng.random() < 0.6 else (0.16, 0.20, 0.18)
    add_pole(builder, frame, height, 0.11, colour)
    tip = (-side * 1.9, height + 0.35, 0.0)
    builder.tube(frame, (0, height - 0.1, 0), tip, 0.06, label="pole", material=Material.PLAIN, colour=colour)
    builder.add(frame, tip, (0.4, 0.09, 0.17), label="pole", material=Material.PLAIN, colour=(0.75, 0.75, 0.72))


def _add_lights(builder: Builder, frame: Frame, centre: Vector, state: int) -> None:
    builder.add(
        frame, centre, (0.19, 0.5, 0.16), label="traffic light", material=Material.LAMPS,
        colour=(0.07, 0.08, 0.07), style=(state, 0, 0),
    )  # fmt: skip


def add_traffic_light(builder: Builder, frame: Frame, side: int, state: int, *, arm: float) -> None:
    """A signal on a pole, with a second one on an arm of `arm` metres over the street unless that is 0.

    `state` is the lit lamp from the top: 0 red, 1 amber, 2 green. The lamps face the frame's -z.
    """
    height = 5.6 if arm else 3.3
    add_pole(builder, frame, height, 0.09)
    _add_lights(builder, frame, (0, 2.9, -0.26), state)
    if arm:
        tip = (-side * arm, height - 0.15, 0.0)
        builder.tube(frame, (0, height - 0.1, 0), tip, 0.07, label="pole", material=Material.PLAIN, colour=_STEEL)
        _add_lights(builder, frame, (tip[0], tip[1] - 0.2, -0.22), state)


SIGN_STYLES = 7
"""Danger, stop, speed limit, no entry, blue arrow, crossing, priority road."""


def add_sign(builder: Builder, frame: Frame, style: int) -> None:
    """A traffic sign on a pole, facing the frame's -z; `style` counts through `SIGN_STYLES`."""
    height = float(builder.rng.uniform(2.4, 2.9))
    add_pole(builder, frame, height + 0.35, 0.045)
    size = float(builder.rng.uniform(0.34, 0.44))
    if style in (2, 3, 4):
        builder.tube(
            frame, (0, height, -0.05), (0, height, -0.09), size, label="traffic sign", material=Material.SIGN,
            colour=_STEEL, style=(style, 0, 0),
        )  # fmt: skip
        return
    mask = {0: Mask.TRIANGLE, 1: Mask.OCTAGON, 6: Mask.DIAMOND}.get(style, Mask.WHOLE)
    builder.add(
        frame, (0, height, -0.07), (size, size, 0.02), mask=mask, label="traffic sign", material=Material.SIGN,
        colour=_STEEL, style=(style, 0, 0),
    )  # fmt: skip


def add_direction_sign(builder: Builder, frame: Frame) -> None:
    """A large direction board on two poles."""
    builder.add(
        frame, (0, 2.9, -0.1), (1.1, 0.6, 0.03), label="traffic sign", material=Material.SIGN, colour=_STEEL,
        style=(SIGN_STYLES, 0, 0),
    )  # fmt: skip
    for x in (-0.7, 0.7):
        builder.tube(frame, (x, 0, 0), (x, 3.4, 0), 0.06, label="pole", material=Material.PLAIN, colour=_STEEL)


def add_fence(builder: Builder, frame: Frame, length: float, style: int) -> None:
    """A fence along the frame's z axis: 0 boards, 1 iron bars, 2 white pickets, 3 mesh on posts."""
    height = (0.85, 0.75, 0.5, 0.9)[style]
    across = Frame(frame.x, frame.y, frame.z, frame.heading + math.pi / 2)
    colour = ((0.48, 0.35, 0.24), (0.14, 0.16, 0.16), (0.88, 0.88, 0.85), (0.42, 0.46, 0.44))[style]
    period, filled = ((0.3, 0.97), (0.32, 0.42), (0.26, 0.62), (0.2, 0.35))[style]
    builder.add(
        across, (0, height, 0), (length / 2, height, 0.04), mask=Mask.BARS, label="fence",
        material=Material.BOARDS if style in (0, 2) else Material.PLAIN, colour=colour, style=(period, filled, 0),
    )  # fmt: skip


def add_wall(builder: Builder, frame: Frame, length: float, height: float) -> None:
    """A free-standing wall along the frame's z axis, with a coping."""
    rng = builder.rng
    colour = ((0.55, 0.36, 0.28), (0.62, 0.60, 0.56), (0.72, 0.66, 0.56))[int(rng.integers(3))]
    builder.add(
        frame, (0, height / 2, 0), (0.15, height / 2, length / 2), label="wall", material=Material.BRICK, colour=colour
    )
    builder.add(
        frame, (0, height + 0.04, 0), (0.2, 0.05, length / 2), label="wall", material=Material.PLAIN,
        colour=(0.6, 0.59, 0.57),
    )  # fmt: skip

"""Pedestrians and riders, built of ellipsoids along their limbs."""

import math

from mtl_seg_depth.data.streets.shapes import Builder, Colour, Frame, Material, Shape, Vector

_SKINS: tuple[Colour, ...] = ((0.90, 0.72, 0.60), (0.82, 0.62, 0.48), (0.60, 0.42, 0.30), (0.38, 0.26, 0.19))
_CLOTHES: tuple[Colour, ...] = (
    (0.12, 0.12, 0.14), (0.20, 0.22, 0.28), (0.15, 0.20, 0.38), (0.30, 0.42, 0.62), (0.70, 0.70, 0.70),
    (0.90, 0.90, 0.88), (0.65, 0.12, 0.12), (0.85, 0.60, 0.15), (0.20, 0.40, 0.24), (0.50, 0.38, 0.26),
    (0.75, 0.35, 0.45), (0.92, 0.82, 0.25),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = (
    (0.10, 0.10, 0.12), (0.16, 0.20, 0.34), (0.22, 0.28, 0.42), (0.30, 0.28, 0.26), (0.55, 0.48, 0.38),
)  # fmt: skip


class _Body:
    """Adds one person's parts, with the person's label and size."""

    def __init__(self, builder: Builder, frame: Frame, label: str, size: float) -> None:
        self.builder, self.frame, self.label, self.size = builder, frame, label, size
        rng = builder.rng
        self.skin = _SKINS[int(rng.choice(4, p=(0.45, 0.3, 0.15, 0.1)))]
        self.top = _CLOTHES[int(rng.integers(len(_CLOTHES)))]
        self.legs = _TROUSERS[int(rng.integers(len(_TROUSERS)))]

    def blob(self, centre: Vector, half: Vector, colour: Colour, material: Material = Material.PLAIN) -> None:
        x, y, z = (self.size * v for v in centre)
        half_x, half_y, half_z = (self.size * v for v in half)
        self.builder.add(
            self.frame, (x, y, z), (half_x, half_y, half_z), shape=Shape.ELLIPSOID,
            label=self.label, material=material, colour=colour,
        )  # fmt: skip

    def limb(self, start: Vector, end: Vector, radius: float, colour: Colour) -> None:
        (ax, ay, az), (bx, by, bz) = start, end
        # The ellipsoid reaches past both joints, so that bent limbs look whole.
        ends = [(self.size * (p + 0.12 * (p - q))) for p, q in zip((ax, ay, az), (bx, by, bz), strict=True)]
        tips = [(self.size * (q + 0.12 * (q - p))) for p, q in zip((ax, ay, az), (bx, by, bz), strict=True)]
        self.builder.tube(
            self.frame, (ends[0], ends[1], ends[2]), (tips[0], tips[1], tips[2]), self.size * radius,
            shape=Shape.ELLIPSOID, label=self.label, material=Material.PLAIN, colour=colour,
        )  # fmt: skip


def add_person(builder: Builder, frame: Frame) -> None:
    """A pedestrian in mid-step or standing, grown up or a child, some in coats or skirts, some with a bag."""
    rng = builder.rng
    size = float(rng.uniform(0.62, 0.8) if rng.random() < 0.1 else rng.normal(1.0, 0.05))
    body = _Body(builder, frame, "person", size)
    stride = 0.5 * float(rng.uniform(-1, 1))
    swing = 0.8 * stride
    coat = rng.random() < 0.3
    for side, step in ((-1, stride), (1, -stride)):
        knee = (0.1 * side, 0.48, 0.45 * math.sin(step) + 0.05)
        foot = (0.1 * side, 0.05, 0.85 * math.sin(step) - 0.04)
        body.limb((0.1 * side, 0.90, 0.0), knee, 0.095, body.legs)
        body.limb(knee, foot, 0.07, body.legs)
        body.blob((0.1 * side, 0.05, foot[2] + 0.07), (0.055, 0.05, 0.14), (0.1, 0.09, 0.08))
        elbow = (0.27 * side, 1.12, -0.3 * math.sin(step * 0.8))
        hand = (0.26 * side, 0.86, -0.5 * math.sin(swing * side * -1) + 0.06)
        sleeve = (0.85 * body.top[0], 0.85 * body.top[1], 0.85 * body.top[2])
        body.limb((0.22 * side, 1.40, 0.0), elbow, 0.06, sleeve)
        body.limb(elbow, hand, 0.045, sleeve)
        body.blob((hand[0], hand[1] - 0.06, hand[2]), (0.04, 0.07, 0.05), body.skin)
    body.limb((0, 1.40, 0), (0, 0.98, 0), 0.175, body.top)
    body.blob((0, 1.38, 0), (0.23, 0.10, 0.11), body.top)
    body.blob((0, 0.92, 0), (0.165, 0.14, 0.13), body.top if coat else body.legs)
    if coat:
        body.limb((0, 1.0, 0), (0, 0.55, 0), 0.19, body.top)
    body.blob((0, 1.66, 0.01), (0.095, 0.13, 0.11), body.skin, Material.HEAD)
    if rng.random() < 0.3:
        bag = _CLOTHES[int(rng.integers(len(_CLOTHES)))]
        body.blob((0, 1.2, -0.18), (0.16, 0.24, 0.1), bag)
    builder.footprint(frame, 0.05, 0.05)


def add_rider(builder: Builder, frame: Frame, *, motorcycle: bool) -> None:
    """A rider, seated to fit `add_bicycle` or `add_motorcycle` in the same frame."""
    body = _Body(builder, frame, "rider", 1.0)
    # Seat, knee, foot, hand and shoulder as (height, along).
    seat, foot = ((0.92, -0.35), (0.36, 0.0)) if motorcycle else ((0.98, -0.2), (0.30, 0.05))
    shoulder = (seat[0] + 0.50, seat[1] + (0.28 if motorcycle else 0.22))
    for side, lift in ((-1, 0.0), (1, 0.0 if motorcycle else 0.28)):
        knee = (0.17 * side, (seat[0] + foot[0] + lift) / 2 + 0.06, seat[1] + 0.42)
        body.limb((0.11 * side, seat[0], seat[1]), knee, 0.095, body.legs)
        body.limb(knee, (0.14 * side, foot[0] + lift, foot[1]), 0.07, body.legs)
        elbow = (0.29 * side, shoulder[0] - 0.24, shoulder[1] + 0.14)
        body.limb((0.22 * side, shoulder[0], shoulder[1]), elbow, 0.07, body.top)
        body.limb(elbow, (0.25 * side, 1.05, 0.38), 0.055, body.top)
    body.limb((0, seat[0], seat[1]), (0, shoulder[0] + 0.02, shoulder[1]), 0.2, body.top)
    head = (0.0, shoulder[0] + 0.27, shoulder[1] + 0.08)
    if motorcycle or builder.rng.random() < 0.5:
        shell = _CLOTHES[int(builder.rng.integers(len(_CLOTHES)))]
        body.blob((0, head[1] + 0.04, head[2] - 0.01), (0.13, 0.13, 0.15), shell, Material.GLOSSY)
        body.blob((0, head[1] - 0.03, head[2] + 0.03), (0.09, 0.11, 0.11), body.skin)
    else:
        body.blob(head, (0.095, 0.13, 0.11), body.skin, Material.HEAD)

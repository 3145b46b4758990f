"""Cars, buses, trucks, trams, and two-wheelers without their riders. Each stands on its frame's origin, facing +z."""

from mtl_seg_depth.data.streets.shapes import Builder, Colour, Frame, Mask, Material, Shape, Vector

_PAINTS: tuple[Colour, ...] = (
    (0.85, 0.86, 0.87), (0.95, 0.95, 0.94), (0.62, 0.64, 0.66), (0.35, 0.36, 0.38), (0.12, 0.12, 0.13),
    (0.08, 0.09, 0.11), (0.14, 0.22, 0.42), (0.20, 0.35, 0.60), (0.62, 0.09, 0.09), (0.42, 0.06, 0.08),
    (0.16, 0.30, 0.22), (0.70, 0.62, 0.45), (0.85, 0.45, 0.12), (0.90, 0.78, 0.20),
)  # fmt: skip
_RUBBER: Colour = (0.13, 0.13, 0.14)


def _paint(builder: Builder) -> Colour:
    return _PAINTS[int(len(_PAINTS) * builder.rng.random() ** 1.5)]


def _wheels(
    builder: Builder, frame: Frame, label: str, half_width: float, stations: tuple[float, ...], radius: float
) -> None:
    for z in stations:
        for side in (-1, 1):
            start, end = (side * (half_width - 0.22), radius, z), (side * (half_width + 0.01), radius, z)
            builder.tube(frame, start, end, radius, label=label, material=Material.WHEEL, colour=_RUBBER)


def add_car(builder: Builder, frame: Frame) -> None:
    """A hatchback, saloon, estate, van or off-roader of random size and paint."""
    rng = builder.rng
    # Half width and length, sill, belt, roof; the cabin's ends (rear, front); its draw-in (side, front, rear).
    half_x, half_z, sill, belt, roof, rear, front, side_in, front_in, rear_in = (
        (0.88, 2.05, 0.20, 0.92, 1.47, -1.98, 1.05, 0.17, 0.85, 0.40),
        (0.90, 2.35, 0.19, 0.90, 1.43, -1.70, 1.15, 0.18, 0.90, 0.75),
        (0.90, 2.35, 0.20, 0.92, 1.48, -2.30, 1.15, 0.17, 0.85, 0.35),
        (0.93, 2.30, 0.25, 1.05, 1.85, -2.25, 1.50, 0.14, 0.80, 0.15),
        (0.94, 2.30, 0.30, 1.05, 1.72, -2.20, 0.95, 0.15, 0.65, 0.30),
    )[int(rng.choice(5, p=(0.34, 0.24, 0.18, 0.10, 0.14)))]
    size = float(rng.uniform(0.95, 1.05))
    half_x, half_z, rear, front = half_x * size, half_z * size, rear * size, front * size
    paint = _paint(builder)
    radius = 0.33 if roof < 1.6 else 0.37
    axles = (-half_z * 0.62, half_z * 0.64)
    body: Vector = (half_x, (belt - sill) / 2, half_z)
    builder.add(
        frame, (0, (belt + sill) / 2, 0), body, shape=Shape.TAPERED, taper=(0.06, 0.22, 0.10),
        label="car", material=Material.CAR_BODY, colour=paint, style=(axles[0], axles[1], radius),
    )  # fmt: skip
    builder.add(
        frame, (0, (roof + belt) / 2, (front + rear) / 2),
        (half_x - 0.06, (roof - belt) / 2, (front - rear) / 2),
        shape=Shape.TAPERED, taper=(side_in, front_in, rear_in),
        label="car", material=Material.CAR_CABIN, colour=paint,
    )  # fmt: skip
    for side in (-1, 1):
        builder.add(
            frame, (side * (half_x + 0.06), belt + 0.06, front - 0.45), (0.11, 0.08, 0.06), shape=Shape.ELLIPSOID,
            label="car", material=Material.GLOSSY, colour=paint,
        )  # fmt: skip
    _wheels(builder, frame, "car", half_x, axles, radius)
    builder.footprint(frame, half_x, half_z)


def add_coach(
    builder: Builder, frame: Frame, label: str, colour: Colour, half: Vector, floor: float, *, wheels: bool
) -> None:
    """A bus or one carriage of a train: a long box with a band of windows, its floor at `floor` metres."""
    builder.add(
        frame, (0, floor + half[1], 0), half, shape=Shape.TAPERED, taper=(0.08, 0.2, 0.1),
        label=label, material=Material.COACH, colour=colour, style=(floor, 0, 0),
    )  # fmt: skip
    roof = floor + 2 * half[1]
    builder.add(
        frame, (0, roof + 0.12, -0.2 * half[2]), (half[0] * 0.7, 0.14, half[2] * 0.5),
        label=label, material=Material.PLAIN, colour=(0.6, 0.6, 0.6),
    )  # fmt: skip
    if wheels:
        _wheels(builder, frame, label, half[0] - 0.02, (-half[2] * 0.55, half[2] * 0.58), 0.48)
    builder.footprint(frame, half[0], half[2])


def add_bus(builder: Builder, frame: Frame) -> None:
    """A city bus."""
    colours: tuple[Colour, ...] = ((0.78, 0.10, 0.10), (0.92, 0.75, 0.10), (0.88, 0.88, 0.86), (0.12, 0.35, 0.62))
    colour = colours[int(builder.rng.integers(4))]
    add_coach(builder, frame, "bus", colour, (1.27, 1.36, float(builder.rng.uniform(5.0, 6.2))), 0.34, wheels=True)


def add_train(builder: Builder, frames: list[Frame]) -> None:
    """A tram of several carriages, one frame each."""
    colours: tuple[Colour, ...] = ((0.80, 0.12, 0.12), (0.88, 0.80, 0.52), (0.10, 0.42, 0.38), (0.15, 0.30, 0.60))
    colour = colours[int(builder.rng.integers(4))]
    for frame in frames:
        add_coach(builder, frame, "train", colour, (1.28, 1.5, 5.4), 0.3, wheels=False)
        builder.add(
            frame, (0, 0.25, 0), (1.0, 0.2, 4.6), label="train", material=Material.PLAIN, colour=(0.12, 0.12, 0.13)
        )


def add_truck(builder: Builder, frame: Frame) -> None:
    """A lorry: a cab, a chassis and a cargo box or tarpaulin."""
    rng = builder.rng
    length = float(rng.uniform(2.4, 3.8))
    height = float(rng.uniform(1.1, 1.4))
    cab, cargo = _paint(builder), ((0.9, 0.9, 0.88), (0.75, 0.76, 0.78), (0.2, 0.35, 0.6), (0.7, 0.5, 0.15))
    nose = length + 0.15
    builder.add(
        frame, (0, 1.55, nose + 0.95), (1.16, 1.15, 0.95), shape=Shape.TAPERED, taper=(0.08, 0.3, 0.0),
        label="truck", material=Material.COACH, colour=cab, style=(0.4, 1, 0),
    )  # fmt: skip
    builder.add(
        frame, (0, 1.02 + height, 0), (1.25, height, length), label="truck", material=Material.CARGO,
        colour=cargo[int(rng.integers(4))],
    )  # fmt: skip
    builder.add(
        frame, (0, 0.75, 0.8), (0.9, 0.28, length + 0.9), label="truck", material=Material.PLAIN,
        colour=(0.16, 0.16, 0.17),
    )  # fmt: skip
    _wheels(builder, frame, "truck", 1.18, (-length * 0.7, -length * 0.7 + 1.1, nose + 0.7), 0.5)
    builder.footprint(frame, 1.2, length + 1)


def add_bicycle(builder: Builder, frame: Frame) -> None:
    """A bicycle: two spoked wheels, a frame of tubes, saddle and handlebars."""
    paint = _paint(builder)
    for z in (-0.52, 0.52):
        builder.tube(
            frame, (-0.03, 0.34, z), (0.03, 0.34, z), 0.35, mask=Mask.SPOKES,
            label="bicycle", material=Material.WHEEL, colour=_RUBBER,
        )  # fmt: skip
    hub, crank, seat, head, fork = (0, 0.34, -0.52), (0, 0.32, -0.05), (0, 0.86, -0.2), (0, 0.84, 0.34), (0, 0.34, 0.52)
    for start, end in ((hub, crank), (hub, seat), (crank, seat), (crank, head), (seat, head), (head, fork)):
        builder.tube(frame, start, end, 0.035, label="bicycle", material=Material.GLOSSY, colour=paint)
    builder.tube(
        frame, (-0.27, 1.0, 0.36), (0.27, 1.0, 0.36), 0.03, label="bicycle", material=Material.PLAIN, colour=_RUBBER
    )
    builder.add(
        frame, (0, 0.92, -0.22), (0.08, 0.05, 0.14), shape=Shape.ELLIPSOID,
        label="bicycle", material=Material.PLAIN, colour=_RUBBER,
    )  # fmt: skip
    builder.footprint(frame, 0.0, 0.6)


def add_motorcycle(builder: Builder, frame: Frame) -> None:
    """A motorcycle or scooter."""
    paint = _paint(builder)
    for z in (-0.68, 0.70):
        builder.tube(
            frame, (-0.08, 0.32, z), (0.08, 0.32, z), 0.32, label="motorcycle", material=Material.WHEEL, colour=_RUBBER
        )
    parts: tuple[tuple[Vector, Vector, Colour], ...] = (
        ((0, 0.50, 0.05), (0.20, 0.26, 0.48), (0.28, 0.28, 0.30)),
        ((0, 0.80, 0.18), (0.19, 0.17, 0.36), paint),
        ((0, 0.82, -0.42), (0.16, 0.09, 0.42), _RUBBER),
        ((0, 0.72, -0.78), (0.11, 0.08, 0.12), (0.6, 0.05, 0.04)),
        ((0, 0.92, 0.56), (0.18, 0.20, 0.12), paint),
    )
    for centre, half, colour in parts:
        builder.add(
            frame, centre, half, shape=Shape.ELLIPSOID, label="motorcycle", material=Material.GLOSSY, colour=colour
        )
    for start, end, radius in (((0, 0.9, 0.5), (0, 0.32, 0.7), 0.06), ((-0.36, 1.04, 0.46), (0.36, 1.04, 0.46), 0.04)):
        builder.tube(frame, start, end, radius, label="motorcycle", material=Material.PLAIN, colour=(0.25, 0.25, 0.27))
    builder.footprint(frame, 0.15, 0.8)

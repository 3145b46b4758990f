"""What the road and the cars on it say of depth: how it is encoded, its scale, its camera, planar or along rays.

A pinhole camera above a flat road sees 1 / depth grow linearly with the row below the horizon, by 1 / (f h) a unit:
f is its focal length and h its height above the road. Along a row planar depth stays the same, distance along the ray
grows as sqrt(1 + ((u - cx) / f) ** 2). A thing of height H that stands at depth d is f H / d high in the image.
All lengths in the image are in image widths here.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.checks.sample import Sample
from mtl_seg_depth.data.checks.verdict import FEWEST, LOOK, Verdict, unchecked

ENCODING: Final = "road depth"
SCALE: Final = "depth scale"
RAYS: Final = "planar depth"

CAR: Final = 1.42
"""Metres: how high cars are where they are highest, as `_car` measures it on the embedded scenes with their cameras."""
FOCAL: Final = 0.8
"""Image widths; of a camera that nothing is known of."""

_FOCALS: Final = (0.44, 1.45)
"""What it can be: driving cameras have 0.55 to 1.15, 84 to 47 degrees of view."""
_SEEN: Final = (0.42, 1.35)
"""The same of one that is known: 100 to 41 degrees."""
_CAMERAS: Final = (0.75, 3.5)
"""Metres above the road: from a low car's to a truck's."""
_CARS: Final = (1.0, 2.05)
"""Metres, of what is 1.42 m as a rule."""
_HEIGHTS: Final = (0.3, 4.5)
"""Focal length times camera height where neither is known and there are no cars."""
_AGREE: Final = 0.7
"""Share of images that have to say the same."""
_FITS: Final = 0.1
"""Median difference from a plane, as a share of depth."""
_ALONG_RAYS: Final = 0.6
"""How much of a ray's growth along a row is too much for the camber of a road."""
_POINTS: Final = 1500
"""Of a road that are looked at."""
_ROADS_TRIED: Final = 40
"""Of which rays are fitted, which takes long."""
_ROADS: Final = ("road", "flat", "street")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Road:
    """The lower three quarters of the road in one image.

    Attributes:
        across, down: of its points, in image widths from the middle of the image.
        depth: as it is read.
        slope: of 1 / depth over `down`, of the plane that fits best.
        misfit: median difference of depth from that plane, as a share of it.
        inverse_misfit: the same where depth itself is fitted by a plane, as it is with disparity read as metres.
    """

    across: Floats
    down: Floats
    depth: Floats
    slope: float
    misfit: float
    inverse_misfit: float


def check(sample: Sample) -> list[Verdict]:
    """The verdicts on how depth is encoded, on its scale, and on whether it is planar."""
    if sample.depth is None:
        return []
    labelled = sample.named(*_ROADS)
    surface = "road" if labelled else "lower image"
    if not labelled and sample.classes is not None:
        return [unchecked(ENCODING, "no road is among the classes")]
    roads, cars, focals = _measured(sample)
    if len(roads) < FEWEST:
        why = f"{len(roads)} images show enough {surface} with depth; it takes {FEWEST}"
        return [unchecked(ENCODING, why)]
    if not labelled and np.median([min(road.misfit, road.inverse_misfit) for road in roads]) > _FITS / 3:
        return [unchecked(ENCODING, "there are no labels, and the lower image shows no plane")]
    encoding = _encoding(sample, roads, surface)
    if encoding.mark == LOOK:
        return [encoding, unchecked(SCALE, "see road depth"), unchecked(RAYS, "see road depth")]
    product = float(np.median([1 / road.slope for road in roads if road.slope > 0]))
    car = float(np.median(cars)) if len(cars) >= FEWEST else None
    focal = float(np.median(focals)) if focals else None
    scale = _scale(sample, product, car, focal)
    likely = focal
    if likely is None and car is not None:
        likely = float(np.clip(car / CAR, *_FOCALS))
    return [encoding, scale, _rays(roads, likely or FOCAL, surface)]


def _measured(sample: Sample) -> tuple[list[_Road], list[float], list[float]]:
    """Roads; focal length times the height of cars, by image; focal lengths that are known."""
    roads, cars, focals = [], [], []
    labelled = sample.named(*_ROADS)
    for look, road, car in zip(sample.looks, sample.masks(*_ROADS), sample.masks("car"), strict=True):
        if look.metres is None:
            continue
        height, width = look.metres.shape
        if road is None or not labelled:
            if labelled:
                continue
            road = np.zeros((height, width), bool)
            road[int(0.6 * height) :, int(0.25 * width) : int(0.75 * width)] = True
        found = _road(road, look.metres)
        if found is not None:
            roads.append(found)
        if car is not None and (high := _car(car, road, look.metres)) is not None:
            cars.append(high)
        if look.focal is not None:
            focals.append(look.focal)
    return roads, cars, focals


def _road(mask: NDArray[np.bool_], metres: Floats) -> _Road | None:
    """Of one image; None if there is too little of it."""
    height, width = metres.shape
    rows, columns = np.nonzero(mask & np.isfinite(metres))
    if len(rows) < 0.02 * mask.size:
        return None
    lower = rows >= np.quantile(rows, 0.25)
    rows, columns = rows[lower], columns[lower]
    chosen = slice(None, None, max(1, len(rows) // _POINTS))
    rows, columns = rows[chosen], columns[chosen]
    if np.ptp(rows) < 0.1 * height:
        return None
    down, across = (rows + 0.5 - height / 2) / width, (columns + 0.5 - width / 2) / width
    depth = metres[rows, columns]
    plane = np.stack([np.ones(len(down)), down, across], axis=1)
    (_, slope, _), misfit = _fit(plane, 1 / depth)
    _, inverse_misfit = _fit(plane, depth)
    return _Road(across, down, depth, float(slope), misfit, inverse_misfit)


def _fit(basis: Floats, value: Floats) -> tuple[NDArray[Any], float]:
    """Coefficients of the best fit of positive values by their relative errors, and the median of these.

    What lies off, such as a manhole or a wrong label, is left out step by step.
    """
    weight = 1 / value
    kept = np.ones(len(value), bool)
    for _ in range(5):
        found = np.linalg.lstsq(basis[kept] * weight[kept, None], np.ones(int(kept.sum())), rcond=None)[0]
        off = np.abs(basis @ found * weight - 1)
        middle = float(np.median(off))
        kept = off < max(0.02, 2 * middle)
    return found, middle


def _car(car: NDArray[np.bool_], road: NDArray[np.bool_], metres: Floats) -> float | None:
    """Height times depth of cars that stand on the road, in image widths times metres: the upper quartile of columns.

    A column of a car from its roof to the road is about as high as the car is; through bonnets it is lower.
    """
    height, width = car.shape
    framed = np.zeros((height + 1, width), np.int8)
    framed[1:] = car
    rises = np.diff(framed, axis=0, append=0)[:height]
    columns, tops = np.nonzero((rises == 1).T)
    ends = np.nonzero((np.diff(framed[1:], axis=0, append=0) == -1).T)[1] + 1
    found = []
    for column, top, end in zip(columns, tops, ends, strict=True):
        if end - top < 0.02 * height + 4 or end >= height or not road[end, column]:
            continue
        depth = metres[top:end, column]
        depth = depth[np.isfinite(depth)]
        if len(depth) > 0.5 * (end - top) and depth.max() < 1.25 * depth.min():
            found.append((end - top) / width * float(np.median(depth)))
    return float(np.quantile(found, 0.75)) if len(found) >= 10 else None


def _encoding(sample: Sample, roads: list[_Road], surface: str) -> Verdict:
    """Whether 1 / depth is linear in the row, or depth is."""
    falls = float(np.mean([road.slope > 0 for road in roads]))
    misfit = float(np.median([road.misfit for road in roads]))
    inverse_misfit = float(np.median([road.inverse_misfit for road in roads]))
    on = f"on {{:.0%}} of {len(roads)} images"
    if falls < 1 - _AGREE:
        meant = (
            "depth looks like disparity (or inverse depth) read as metres"
            if sample.encoding == "metres"
            else f"depth looks like metres read as {'inverse depth' if sample.encoding == 'inverse' else 'disparity'}"
        )
        words = f"{meant}: nearer pixels are larger, {on.format(1 - falls)} the depth of the {surface} grows downwards"
        if inverse_misfit < _FITS:
            words += f", linearly with the row within {inverse_misfit:.1%}, as 1 / depth should"
        return Verdict(LOOK, ENCODING, words)
    if falls < _AGREE:
        words = f"{on.format(falls)} the {surface} is nearer further down, which says nothing: is this depth of it?"
        return Verdict(LOOK, ENCODING, words)
    if misfit > _FITS:
        words = f"the {surface} is no plane: 1 / depth differs from a linear one in row and column by {misfit:.0%}"
        return Verdict(LOOK, ENCODING, words)
    return Verdict(
        "ok",
        ENCODING,
        f"1 / depth of the {surface} is linear in the row, as that of a plane is, within {misfit:.1%}",
    )


def _scale(sample: Sample, product: float, car: float | None, focal: float | None) -> Verdict:
    """Whether metres are metres, by the height of cars and of the camera."""
    if not sample.has_unit:
        return unchecked(SCALE, "this depth has no unit")
    if focal is not None:
        camera = f"with the camera's focal length of {focal:.2f} image widths"
        if not _SEEN[0] < focal < _SEEN[1]:
            words = f"wrong camera: its focal length is {focal:.2f} image widths, a view of {_view(focal):.0f} degrees"
            return Verdict(LOOK, SCALE, f"{words}; is it of images of another width?")
        height = product / focal
        told = f"{camera} it stands {_metres(height)} above the road"
        factors = [height / 1.4] if not _CAMERAS[0] < height < _CAMERAS[1] else []
        if car is not None:
            told += f" and cars are {_metres(car / focal)} high"
            factors = [car / focal / CAR] if not _CARS[0] < car / focal < _CARS[1] else []
        if factors:
            return Verdict(LOOK, SCALE, f"{_off(factors[0])}, or the camera is a wrong one: {told}")
        return Verdict("ok", SCALE, told)
    if car is not None:
        found = car / CAR
        height = product / found
        told = (
            f"cars are {CAR} m high at their depth to a camera with a view of {_view(found):.0f} degrees (a focal "
            f"length of {found:.2f} image widths), {_metres(height)} above the road"
        )
        if not _FOCALS[0] < found < _FOCALS[1]:
            seen = f"to a camera with a view of {_view(FOCAL):.0f} degrees cars are {_metres(car / FOCAL)} high"
            return Verdict(
                LOOK, SCALE, f"{_off(found / FOCAL)}: {seen}, and it is {_metres(product / FOCAL)} above the road"
            )
        return Verdict("ok", SCALE, told)
    told = f"a camera with a view of {_view(FOCAL):.0f} degrees is {_metres(product / FOCAL)} above the road"
    if not _HEIGHTS[0] < product < _HEIGHTS[1]:
        return Verdict(LOOK, SCALE, f"{_off(product / FOCAL / 1.4)}: {told}")
    return Verdict("ok", SCALE, f"{told}; there are too few cars to say more")


def _rays(roads: list[_Road], focal: float, surface: str) -> Verdict:
    """Whether depth grows along a row as the rays of pixels do."""
    powers = np.arange(-2, 2.01, 0.25)
    found = []
    for road in roads[:: max(1, len(roads) // _ROADS_TRIED)]:
        across, down, depth = (each[::3] for each in (road.across, road.down, road.depth))
        growth = np.sqrt(1 + (across**2 + down**2) / focal**2)
        plane = np.stack([np.ones(len(growth)), down, across], axis=1)
        misfits = [_fit(plane * (growth**-power)[:, None], 1 / depth)[1] for power in powers]
        if max(misfits) > 1.5 * min(misfits) and min(misfits) < _FITS / 2:
            found.append(float(powers[int(np.argmin(misfits))]))
    if len(found) < FEWEST:
        return unchecked(RAYS, f"{len(found)} images show {surface} that is flat and wide enough; it takes {FEWEST}")
    power = float(np.median(found))
    if power > _ALONG_RAYS and np.mean(np.array(found) > _ALONG_RAYS / 2) > _AGREE:
        words = (
            f"depth looks like distance along the ray: along a row that of the {surface} grows to the sides, by "
            f"{power:.2f} of what the rays of such a camera do; planar depth stays the same"
        )
        return Verdict(LOOK, RAYS, words)
    if power < -_ALONG_RAYS and np.mean(np.array(found) < -_ALONG_RAYS / 2) > _AGREE:
        words = (
            f"planar depth looks divided by the length of rays: along a row that of the {surface} falls to the sides, "
            f"by {-power:.2f} of what rays grow"
        )
        return Verdict(LOOK, RAYS, words)
    words = f"along a row the depth of the {surface} stays the same: its growth is {power + 0:.2f} of that of rays"
    return Verdict("ok", RAYS, words)


def _off(factor: float) -> str:
    """A wrong scale in words, with the unit that it is likely to come from."""
    size = "large" if factor > 1 else "small"
    times = max(factor, 1 / factor)
    power = round(math.log10(times))
    if power >= 1 and abs(math.log(times / 10**power)) < math.log(1.8):
        unit = {1: "decimetres", 2: "centimetres", 3: "millimetres"}.get(power)
        hint = "" if unit is None else f" ({unit} for metres?)" if factor > 1 else f" (metres for {unit}?)"
        return f"depth looks about {10**power} times too {size}{hint}"
    return f"depth looks about {times:.2g} times too {size}"


def _metres(length: float) -> str:
    if length < 0.01:
        return f"{length * 1000:.1f} mm"
    return f"{length * 100:.1f} cm" if length < 0.3 else f"{length:.2f} m" if length < 10 else f"{length:.0f} m"


def _view(focal: float) -> float:
    """Degrees of view from left to right."""
    return math.degrees(2 * math.atan(0.5 / focal))

"""Street scenes: one picture with its labels and depth from a seed."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.streets import bodywork, materials
from mtl_seg_depth.data.streets.camera import Camera, Floats
from mtl_seg_depth.data.streets.cast import NOTHING, GroundGrid, contact, see, sun_heights
from mtl_seg_depth.data.streets.ground import LABEL_OF_ZONE, paint_ground
from mtl_seg_depth.data.streets.layout import RARE, Layout, compose
from mtl_seg_depth.data.streets.materials import Paint, Painter
from mtl_seg_depth.data.streets.shapes import Material, Solids
from mtl_seg_depth.data.streets.sky import Weather, at_any_hour, draw_weather
from mtl_seg_depth.data.streets.street import KERB_HEIGHT, Street, Zone
from mtl_seg_depth.data.streets.surface import surface

SPLITS: Final = ("train", "val", "test")

Conditions = Literal["fair", "any"]

_SKY: Final = CITYSCAPES.names.index("sky")
_GROUND: Final = -2
"""The solid index of a sample that sees the ground."""

_PAINTERS: Final[dict[Material, Painter]] = {
    Material.PLAIN: materials.plain,
    Material.GLOSSY: materials.glossy,
    Material.FACADE: materials.facade,
    Material.SHED: materials.shed,
    Material.ROOF: materials.roof,
    Material.FOLIAGE: materials.foliage,
    Material.CAR_BODY: bodywork.car_body,
    Material.CAR_CABIN: bodywork.car_cabin,
    Material.WHEEL: bodywork.wheel,
    Material.COACH: bodywork.coach,
    Material.CARGO: bodywork.cargo,
    Material.BRICK: materials.brick,
    Material.BOARDS: materials.boards,
    Material.SIGN: materials.sign,
    Material.LAMPS: materials.lamps,
    Material.HEAD: materials.head,
}


@dataclass(frozen=True)
class Scene:
    """A picture uint8 [H, W, 3], its train ids uint8 [H, W], and its planar depth in metres float32 [H, W].

    Depth is nan in the sky and nowhere else. `camera` is the camera that took it.
    """

    rgb: NDArray[np.uint8]
    semseg: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: Camera


def render_scene(
    seed: int,
    split: str,
    index: int,
    height: int = 128,
    width: int = 256,
    *,
    ahead: float = 0.0,
    conditions: Conditions = "fair",
) -> Scene:
    """The picture number `index` of a split, a pure function of its arguments.

    The size only changes how finely the scene is sampled, not what is in it. Splits share no scene. `ahead` is how
    many metres the camera has driven along its lane, past everything else, which stands still; data sets have 0.
    With `conditions="any"` the same streets are seen at any hour, in fog too, and by cameras of other heights, angles,
    lenses, exposures and noise.
    """
    entropy = np.random.SeedSequence([seed, SPLITS.index(split), index])
    layout_seed, weather_seed, sensor_seed = entropy.spawn(3)
    layout = compose(np.random.default_rng(layout_seed), _wanted(seed, split, index))
    weather = draw_weather(np.random.default_rng(weather_seed))
    spread = 1.0
    if conditions == "any":
        rng = np.random.default_rng(entropy.spawn(1)[0])
        weather = at_any_hour(weather, rng)
        layout = replace(layout, camera=_mounted(layout.camera, rng))
        spread = 3.0
    if ahead:
        layout = replace(layout, camera=_driven(layout, ahead))
    # Rays along a face divide by zero; they come out as infinities and nans, which count as misses.
    with np.errstate(divide="ignore", invalid="ignore"):
        light, semseg, depth = _sample(layout, weather, height, width)
    picture = _develop(light, np.random.default_rng(sensor_seed), height, width, spread)
    return Scene(picture, semseg, depth, layout.camera)


def _driven(layout: Layout, ahead: float) -> Camera:
    """The camera after `ahead` metres along the street, at the same distance from its middle, turned as it bends."""
    camera, street = layout.camera, layout.street
    place = street.place(float(camera.position[0]), ahead)
    cosine, sine = np.cos(place.heading), np.sin(place.heading)
    turned = camera.axes @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], np.float32)
    return replace(camera, position=np.array([place.x, camera.position[1], place.z], np.float32), axes=turned)


def _mounted(camera: Camera, rng: np.random.Generator) -> Camera:
    """Another camera at the same place: 1.1 to 2.2 m high, tilted by a few degrees, with 0.8 to 1.25 times the focal
    length. Lenses that differ more are left to the zoom of the augmentation, which corrects depths for it.
    """
    pitch, roll = rng.normal(0, 0.035), rng.normal(0, 0.025)
    turn = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    lean = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    axes = np.einsum("ij,jk,kl->il", lean, turn, camera.axes).astype(np.float32)
    position = np.array([camera.position[0], rng.uniform(1.1, 2.2), camera.position[2]], np.float32)
    return replace(camera, position=position, axes=axes, focal=camera.focal * float(np.exp(rng.uniform(-0.25, 0.25))))


def _wanted(seed: int, split: str, index: int) -> frozenset[str]:
    """The rare things that this picture must hold: each is due once per `RARE` pictures, in an order of its own."""
    offsets = np.random.default_rng([seed, SPLITS.index(split)]).integers(0, 1 << 16, len(RARE))
    due = zip(RARE.items(), offsets.tolist(), strict=True)
    return frozenset(name for (name, period), offset in due if (index + offset) % period == 0)


def _sample(layout: Layout, weather: Weather, height: int, width: int) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """Linear light [3, 2H + 1, 2W + 1] at pixel borders and centres; labels and depth [H, W] at the centres."""
    camera, street = layout.camera, layout.street
    columns, rows = camera.grid(height, width)
    solids = layout.builder.build()
    depth, index = see(solids, camera, columns, rows)
    down, across = np.meshgrid(rows, columns, indexing="ij")
    tangents = np.stack([across.ravel(), down.ravel(), np.ones(down.size, np.float32)])
    # einsum, here and elsewhere: BLAS would round differently with another number of threads.
    rays = np.einsum("ki,km->im", camera.axes, tangents)
    depth, index = depth.ravel(), index.ravel()
    zone = _meet_ground(street, camera, rays, depth, index)

    # Solids of one material lie side by side, so that each material paints one slice.
    on_ground, on_solid = np.flatnonzero(index == _GROUND), np.flatnonzero(index >= 0)
    on_solid = on_solid[np.argsort(solids.material[index[on_solid]], kind="stable")]
    seen = np.concatenate([on_ground, on_solid])
    seen_rays, seen_depth = rays[:, seen], depth[seen]
    points = camera.position[:, None] + seen_rays * seen_depth
    paint, normal = _paint(street, solids, zone[on_ground], index[on_solid], points, seen_depth)

    grid = GroundGrid(float(camera.position[0]))
    heights = sun_heights(solids, grid, weather.slope) if weather.sun.any() else None
    open_sky = contact(layout.builder.footprints, grid)
    light = np.empty_like(rays)
    light[:, seen] = weather.lit(points, seen_rays, normal, paint, seen_depth, grid, heights, open_sky)
    empty = np.flatnonzero(index == NOTHING)
    light[:, empty] = weather.sky(rays[:, empty])

    labels = np.full(len(index), _SKY, np.uint8)
    labels[on_solid] = solids.label[index[on_solid]]
    labels[on_ground] = LABEL_OF_ZONE[zone[on_ground]]
    shape = (len(rows), len(columns))
    depth[index == NOTHING] = np.nan
    centres = (slice(1, None, 2), slice(1, None, 2))
    return (
        light.reshape(3, *shape),
        np.ascontiguousarray(labels.reshape(shape)[centres]),
        np.ascontiguousarray(depth.reshape(shape)[centres]),
    )


def _paint(
    street: Street, solids: Solids, zone: NDArray[np.uint8], index: NDArray[np.int32], points: Floats, depth: Floats
) -> tuple[Paint, Floats]:
    """The paint and the normals of samples on the ground, one per zone, and then on solids, one per index."""
    split = len(zone)
    u = street.across(points[0, :split], points[2, :split])
    nothing = np.zeros(split, np.float32)
    paints = [Paint(paint_ground(street, zone, u, points[2, :split], depth[:split]), nothing, nothing)]
    parts = surface(solids, index, points[:, split:], depth[split:])
    found, first = np.unique(solids.material[index], return_index=True)
    for material, begin, end in zip(found, first, [*first[1:], len(index)], strict=True):
        paints.append(_PAINTERS[Material(material)](parts.part(begin, end)))
    upwards = np.stack([nothing, nothing + 1, nothing])
    return Paint.joined(paints), np.concatenate([upwards, parts.normal], axis=1)


def _meet_ground(
    street: Street, camera: Camera, rays: Floats, depth: Floats, index: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Lets rays that meet no nearer solid end on the ground (changes depth and index); the `Zone` per ray."""
    zone = np.zeros(len(depth), np.uint8)
    level = float(camera.position[1])
    falling = np.flatnonzero(rays[1] * np.minimum(depth, 1e4) < KERB_HEIGHT - level + 1e-3)
    falling = falling[rays[1, falling] < 0]
    ray = rays[:, falling]
    top = (KERB_HEIGHT - level) / ray[1]
    bottom = -level / ray[1]
    zones = []
    for reach in (top, bottom):
        x, z = camera.position[0] + reach * ray[0], camera.position[2] + reach * ray[2]
        zones.append(street.zone(street.across(x, z), z))
    raised, low = zones[0] != Zone.ROAD, zones[1] == Zone.ROAD
    # A ray that passes over the carriageway at kerb height and ends under the sidewalk hit the kerb's face.
    reach = np.where(raised, top, np.where(low, bottom, (top + bottom) / 2))
    zone[falling] = np.where(raised, zones[0], np.where(low, Zone.ROAD, Zone.KERB))
    nearer = reach < depth[falling]
    depth[falling[nearer]] = reach[nearer]
    index[falling[nearer]] = _GROUND
    return zone


def _develop(light: Floats, rng: np.random.Generator, height: int, width: int, spread: float) -> NDArray[np.uint8]:
    """The 8-bit picture: antialiasing, exposure, white balance, vignetting, sensor noise and tone curve.

    `spread` is how many times as much exposure, balance and noise differ from picture to picture.
    """
    # A tent over the three samples around each pixel centre, in both directions.
    rows = 0.25 * light[:, :-1:2] + 0.5 * light[:, 1::2] + 0.25 * light[:, 2::2]
    picture = 0.25 * rows[..., :-1:2] + 0.5 * rows[..., 1::2] + 0.25 * rows[..., 2::2]
    middle = np.exp(np.log(picture.mean(axis=0) + 1e-3).mean())
    exposure = 0.25 / middle * np.exp(rng.normal(0, 0.18 * spread))
    balance = np.exp(rng.normal(0, 0.04 * spread, 3)).astype(np.float32)
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - rng.uniform(0.05, 0.22) * (down**2 + across**2) / 2
    picture = picture * (np.float32(exposure) * balance)[:, None, None] * vignette.astype(np.float32)
    picture = picture * (1 + picture / 6) / (0.8 + picture)
    picture = np.clip(picture, 0, 1.1) ** np.float32(1 / 2.2)
    # A gentle S-curve, as cameras apply.
    picture += np.float32(0.07) * np.sin(np.float32(2 * np.pi) * (np.minimum(picture, 1) - 0.5))
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0.003, 0.011 * spread))
    return np.ascontiguousarray(np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0))

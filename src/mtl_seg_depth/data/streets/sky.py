"""Weather: the sky, the sun, haze, and how they light surfaces."""

from dataclasses import dataclass, replace

import numpy as np

from mtl_seg_depth.data.streets.camera import Floats
from mtl_seg_depth.data.streets.cast import GroundGrid
from mtl_seg_depth.data.streets.materials import Paint, rgb
from mtl_seg_depth.data.streets.noise import CLOUDY, sample

_STREET = rgb(0.36, 0.35, 0.34)
"""What is mirrored by surfaces that face down or across the street."""


@dataclass(frozen=True)
class Weather:
    """Light of one scene; colours are linear [3].

    `towards` points at the sun. `sun` is black under an overcast sky. Haze hides 1 - exp(-distance / `sight`).
    """

    towards: Floats
    sun: Floats
    zenith: Floats
    horizon: Floats
    cloud: float
    drift: float
    sight: float

    @property
    def slope(self) -> tuple[float, float]:
        """How far (x, z) sunlight moves per metre of height."""
        return float(self.towards[0] / self.towards[1]), float(self.towards[2] / self.towards[1])

    def sky(self, rays: Floats) -> Floats:
        """The sky's light [3, m] along rays [3, m]."""
        up = rays[1] / np.sqrt((rays * rays).sum(axis=0))
        high = np.clip(up * 2.2, 0, 1) ** np.float32(0.6)
        above = np.maximum(up, 0.02) + 0.08
        veil = sample(CLOUDY, 60 * rays[0] / above + self.drift, 60 * rays[2] / above + self.drift)
        veil = 0.85 * np.clip((veil - 1 + self.cloud) * 3, 0, 1) * np.clip(up * 12, 0, 1)
        white = 1.15 * self.horizon.mean()
        return np.stack([
            (low + (top - low) * high) * (1 - veil) + white * veil
            for low, top in zip(self.horizon, self.zenith, strict=True)
        ])  # fmt: skip

    def lit(
        self,
        points: Floats,
        rays: Floats,
        normal: Floats,
        paint: Paint,
        depth: Floats,
        grid: GroundGrid,
        heights: Floats | None,
        open_sky: Floats,
    ) -> Floats:
        """The light [3, m] that surfaces send towards the camera."""
        ambient = 0.62 + 0.38 * normal[1]
        # Streets are darker near the ground, and darkest right beside what stands on it.
        ambient *= 0.78 + 0.22 * np.minimum(1, points[1] / 4 + (normal[1] > 0.9))
        low = np.flatnonzero(points[1] < 0.3)
        ambient[low] *= grid.lookup(open_sky, points[0, low], points[2, low])
        light = np.outer(0.55 * self.zenith + 0.45 * self.horizon, ambient)
        if heights is not None:
            facing = np.maximum(np.einsum("k,km->m", self.towards, normal), 0)
            at = np.flatnonzero(facing > 0)
            # Lifted off the surface by about a cell, so that it does not shade itself.
            lifted = points[:, at] + normal[:, at] * (0.08 + 0.006 * depth[at])
            x = lifted[0] - lifted[1] * np.float32(self.slope[0])
            z = lifted[2] - lifted[1] * np.float32(self.slope[1])
            facing[at] *= grid.lit_share(heights, x, z, lifted[1])
            light += np.outer(self.sun, facing)
        light = paint.colour * (light + 2 * paint.glow)
        shiny = np.flatnonzero(paint.gloss > 0)
        ray = rays[:, shiny]
        ray = ray - 2 * (ray * normal[:, shiny]).sum(axis=0) * normal[:, shiny]
        up = ray[1] / np.sqrt((ray * ray).sum(axis=0))
        mirrored = _STREET[:, None] + np.clip(up * 2.5 - 0.1, 0, 1) * (self.sky(ray) - _STREET[:, None])
        light[:, shiny] += paint.gloss[shiny] * (mirrored - light[:, shiny])
        veil = 0.8 * self.horizon[:, None]
        hazy: Floats = veil + (light - veil) * np.exp(-depth / np.float32(self.sight))
        return hazy


def _towards(azimuth: float, elevation: float) -> Floats:
    """The direction of the sun, of length 1, from its angles in radians; float32 [3]."""
    return np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)], np.float32
    )


def draw_weather(rng: np.random.Generator) -> Weather:
    """Sunny, broken or overcast, at a random hour."""
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = rng.uniform(0.42, 1.05)
    cloud = float(rng.choice([rng.uniform(0.0, 0.35), rng.uniform(0.4, 0.7), 1.0], p=(0.45, 0.3, 0.25)))
    overcast = cloud == 1.0
    warm = float(np.clip(1 - (elevation - 0.42) / 0.4, 0, 1))
    sun = np.zeros(3, np.float32)
    if not overcast:
        sun = np.array([1.0, 0.94 - 0.10 * warm, 0.84 - 0.24 * warm], np.float32) * np.float32(rng.uniform(2.4, 4.0))
    blue, grey = rgb(0.42, 0.62, 0.90) * 1.3, rgb(0.78, 0.80, 0.83) * 1.4
    zenith = grey if overcast else blue + (grey - blue) * np.float32(0.5 * cloud)
    horizon = grey * 1.15 if overcast else rgb(0.84, 0.88 - 0.04 * warm, 0.92 - 0.12 * warm) * 1.5
    return Weather(
        towards=_towards(azimuth, elevation),
        sun=sun,
        zenith=zenith,
        horizon=horizon,
        cloud=cloud,
        drift=float(rng.uniform(0, 500)),
        sight=float(np.exp(rng.uniform(np.log(220), np.log(1200)))),
    )


def at_any_hour(weather: Weather, rng: np.random.Generator) -> Weather:
    """The same sky at an hour and in a weather that cameras like less: low sun, twilight, rain clouds, fog."""
    hour = rng.choice(["as it is", "low sun", "twilight", "dark"], p=(0.3, 0.35, 0.2, 0.15))
    if hour == "low sun":
        azimuth = np.arctan2(weather.towards[0], weather.towards[2])
        elevation = rng.uniform(0.12, 0.42)
        warm = np.float32(1 - (elevation - 0.12) / 0.4)
        weather = replace(
            weather,
            towards=_towards(azimuth, elevation),
            sun=np.array([1.0, 0.86 - 0.22 * warm, 0.70 - 0.40 * warm], np.float32) * np.float32(rng.uniform(1.5, 4.0)),
            zenith=weather.zenith * np.float32(0.7),
            horizon=weather.horizon * np.array([1.0, 1 - 0.20 * warm, 1 - 0.42 * warm], np.float32),
        )
    elif hour == "twilight":
        dim = np.float32(rng.uniform(0.08, 0.3))
        weather = replace(
            weather,
            sun=np.zeros(3, np.float32),
            zenith=dim * rgb(0.36, 0.46, 0.80),
            horizon=dim * rgb(0.95, 0.74, 0.66) * np.float32(rng.uniform(1.0, 1.8)),
        )
    elif hour == "dark":
        grey = rgb(0.60, 0.64, 0.70) * np.float32(rng.uniform(0.3, 0.9))
        weather = replace(weather, sun=np.zeros(3, np.float32), zenith=grey, horizon=grey * np.float32(1.2), cloud=1.0)
    if rng.random() < 0.3:
        weather = replace(weather, sight=float(np.exp(rng.uniform(np.log(35), np.log(220)))))
    return weather

"""Two fixed noise textures, the same in every scene, from which all materials take their irregularities."""

import numpy as np

from mtl_seg_depth.data.streets.camera import Floats

_SIZE = 512


def _texture(seed: int, slope: float) -> Floats:
    """Tileable noise with values spread evenly over 0..1; its amplitude falls with frequency to the power `slope`."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(_SIZE) * _SIZE
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_SIZE, _SIZE))) / (3 + radius) ** slope).real
    ranks = np.empty(field.size, np.float32)
    ranks[np.argsort(field, axis=None)] = np.linspace(0, 1, field.size, dtype=np.float32)
    return ranks.reshape(_SIZE, _SIZE)


GRAINY = _texture(1, 0.0)
"""White noise: grain, leaves, one random number per window or slab."""
CLOUDY = _texture(2, 1.5)
"""Blotches of all sizes: stains, clouds, clusters of leaves."""


def sample(texture: Floats, a: Floats, b: Floats) -> Floats:
    """The texture's values at texel coordinates (a, b), repeated without end; any equal shapes."""
    rows = np.asarray(a).astype(np.int32) & (_SIZE - 1)
    columns = np.asarray(b).astype(np.int32) & (_SIZE - 1)
    return texture.ravel()[rows * _SIZE + columns]

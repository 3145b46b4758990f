"""The pinhole camera and the grid of rays that a picture is sampled on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""Real numbers; float32 wherever there are many of them."""

NEAR = 0.3
"""Metres; what is closer than this along the optical axis is not drawn."""

_EDGES = np.array([(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7)])
"""The 12 edges of a box whose corners are numbered by the signs of their three coordinates."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the scene frame (x right, y up, z along the street, metres).

    `axes` float32 [3, 3] holds the image's right, image's down and the optical axis as rows; `focal` is the focal
    length in picture widths, so that one camera serves every picture size.
    """

    position: Floats
    axes: Floats
    focal: float

    @classmethod
    def looking(
        cls, position: tuple[float, float, float], yaw: float, pitch: float, roll: float, focal: float
    ) -> "Camera":
        """A camera turned right by `yaw`, up by `pitch` and clockwise by `roll` (radians) from the z axis."""
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        level = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        below = np.cross(level, forward)
        right = np.cos(roll) * level + np.sin(roll) * below
        down = np.cos(roll) * below - np.sin(roll) * level
        axes = np.stack([right, down, forward]).astype(np.float32)
        return cls(np.array(position, np.float32), axes, focal)

    def grid(self, height: int, width: int) -> tuple[Floats, Floats]:
        """Image-plane tangents (right, down) at every pixel border and centre, float32 [2W + 1] and [2H + 1].

        Odd positions are pixel centres: labels and depth read them, the colour filter reads all.
        """
        scale = 1 / (2 * width * self.focal)
        columns = (np.arange(2 * width + 1) - width) * scale
        rows = (np.arange(2 * height + 1) - height) * scale
        return columns.astype(np.float32), rows.astype(np.float32)

    def bounds(self, corners: Floats) -> tuple[Floats, Floats]:
        """The image rectangles and nearest depths of boxes given by their 8 corners, float32 [n, 8, 3].

        Returns float32 [n, 4] (left, right, top, bottom in tangents) and [n]. Edges are clipped at `NEAR`; a box
        wholly behind it has an empty rectangle.
        """
        seen = (corners - self.position) @ self.axes.T
        start, end = seen[:, _EDGES[:, 0]], seen[:, _EDGES[:, 1]]
        start_z, end_z = start[..., 2:], end[..., 2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = start + (end - start) * ((NEAR - start_z) / (end_z - start_z))
        hidden = (start_z < NEAR) & (end_z < NEAR)
        points = np.concatenate([np.where(start_z < NEAR, cut, start), np.where(end_z < NEAR, cut, end)], axis=1)
        hidden = np.concatenate([hidden, hidden], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            tangents = points[..., :2] / points[..., 2:]
        low = np.where(hidden, np.inf, tangents).min(axis=1)
        high = np.where(hidden, -np.inf, tangents).max(axis=1)
        rectangles = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
        return rectangles, np.maximum(seen[..., 2].min(axis=1), NEAR)

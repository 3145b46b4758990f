"""Casting rays: what each sample of the picture sees, and how high above the ground the sun is blocked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.streets.camera import NEAR, Camera, Floats
from mtl_seg_depth.data.streets.shapes import Mask, Ray, Solids, covered, intersect

NOTHING = -1
"""The solid index of a sample that meets no solid."""


def _plane(coefficients: Floats, columns: Floats, rows: Floats) -> Ray:
    """Three functions affine in (column, row) on a grid, from their coefficients [3, 3]."""
    x, y, z = (c[0] * columns + (c[1] * rows + c[2])[:, None] for c in coefficients)
    return x, y, z


def _ranges(rectangles: Floats, columns: Floats, rows: Floats) -> list[list[int]]:
    """Index ranges (left, right, top, bottom; ends exclusive) of the grid positions inside each rectangle."""
    parts = [
        np.searchsorted(columns, rectangles[:, 0], "left"),
        np.searchsorted(columns, rectangles[:, 1], "right"),
        np.searchsorted(rows, rectangles[:, 2], "left"),
        np.searchsorted(rows, rectangles[:, 3], "right"),
    ]
    ranges: list[list[int]] = np.stack(parts, axis=1).tolist()
    return ranges


def see(solids: Solids, camera: Camera, columns: Floats, rows: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """The planar depth (inf where there is nothing) and the index of the nearest solid per sample, [rows, columns]."""
    depth = np.full((len(rows), len(columns)), np.inf, np.float32)
    index = np.full(depth.shape, NOTHING, np.int32)
    rectangles, nearest = camera.bounds(solids.corners())
    ranges = _ranges(rectangles, columns, rows)
    # A ray is right * column + down * row + forward: in a solid's frame its direction is affine in both.
    directions = np.matmul(solids.axes, camera.axes.T)
    origins = np.matmul(solids.axes, (camera.position - solids.centre)[..., None])
    for k in np.argsort(nearest).tolist():
        left, right, top, bottom = ranges[k]
        if left >= right or top >= bottom:
            continue
        window = (slice(top, bottom), slice(left, right))
        seen = depth[window]
        if seen.max() <= nearest[k]:  # wholly behind what is drawn already
            continue
        direction = _plane(directions[k], columns[left:right], rows[top:bottom])
        origin = (origins[k][0], origins[k][1], origins[k][2])
        near, far = intersect(int(solids.shape[k]), origin, direction, solids.half[k], solids.taper[k])
        hit = (near < far) & (near < seen) & (near > NEAR)
        if solids.mask[k] != Mask.WHOLE and hit.any():
            hit &= covered(int(solids.mask[k]), origin, direction, near, far, solids.half[k], solids.style[k])
        np.copyto(seen, near, where=hit)
        index[window][hit] = k
    return depth, index


_COLUMNS, _ROWS = 250, 290
_ACROSS, _SPREAD = 40.0, 12.0
"""Metres: half the width of the sun map, and the distance from its middle at which cells begin to widen."""
_BEHIND, _GROWTH, _AHEAD = 8.0, 14.0, 120.0
"""Metres: where the sun map begins behind the camera, how slowly its cells lengthen, and where it ends."""

_SMALLEST = 8
"""Cells; smaller shadows, of limbs and of far things, are left out: nobody sees them, and there are hundreds."""


@dataclass(frozen=True)
class GroundGrid:
    """Cells on the ground, finest near the camera; positions are (x, z) in the scene frame."""

    x: float

    def axes(self) -> tuple[Floats, Floats]:
        """The x of every column and the z of every row."""
        reach = np.arcsinh(_ACROSS / _SPREAD)
        columns = self.x + _SPREAD * np.sinh(np.linspace(-reach, reach, _COLUMNS))
        length = np.log1p((_AHEAD + _BEHIND) / _GROWTH)
        rows = _GROWTH * np.expm1(np.linspace(0, length, _ROWS)) - _BEHIND
        return columns.astype(np.float32), rows.astype(np.float32)

    def lookup(self, values: Floats, x: Floats, z: Floats) -> Floats:
        """Values of a [rows, columns] map at positions, interpolated between cells; its border goes on outside."""
        corners, right, down = self._cells(x, z)
        return _between([values.ravel()[corner] for corner in corners], right, down)

    def lit_share(self, heights: Floats, x: Floats, z: Floats, y: Floats) -> Floats:
        """The share of sunlight, 0..1, at height y on the rays that end at (x, z), softened over a cell."""
        corners, right, down = self._cells(x, z)
        return _between([(heights.ravel()[corner] < y).astype(np.float32) for corner in corners], right, down)

    def _cells(self, x: Floats, z: Floats) -> tuple[list[NDArray[np.int32]], Floats, Floats]:
        """Flat indices of the four cells around each position, and its fractions rightwards and downwards."""
        reach = float(np.arcsinh(_ACROSS / _SPREAD))
        length = float(np.log1p((_AHEAD + _BEHIND) / _GROWTH))
        column = (np.arcsinh((x - self.x) / _SPREAD) / reach + 1) * ((_COLUMNS - 1) / 2)
        row = np.log1p(np.maximum(z + _BEHIND, 0) / _GROWTH) * ((_ROWS - 1) / length)
        column, row = np.clip(column, 0, _COLUMNS - 1.01), np.clip(row, 0, _ROWS - 1.01)
        corner = row.astype(np.int32) * _COLUMNS + column.astype(np.int32)
        return [corner, corner + 1, corner + _COLUMNS, corner + _COLUMNS + 1], column % 1, row % 1


def _between(corners: list[Floats], right: Floats, down: Floats) -> Floats:
    a, b, c, d = corners
    upper, lower = a + (b - a) * right, c + (d - c) * right
    return upper + (lower - upper) * down


def sun_heights(solids: Solids, grid: GroundGrid, slope: tuple[float, float]) -> Floats:
    """How high the sun's ray that ends in each ground cell is blocked, metres [rows, columns]; 0 if it is free.

    `slope` is how far (x, z) the ray moves per metre of height. A point is in shadow if it lies below the height
    of its ray's cell.
    """
    columns, rows = grid.axes()
    heights = np.zeros((len(rows), len(columns)), np.float32)
    corners = solids.corners()
    x = corners[..., 0] - corners[..., 1] * np.float32(slope[0])
    z = corners[..., 2] - corners[..., 1] * np.float32(slope[1])
    rectangles = np.stack([x.min(axis=1), x.max(axis=1), z.min(axis=1), z.max(axis=1)], axis=1)
    ranges = _ranges(rectangles, columns, rows)
    ray = np.array([slope[0], 1, slope[1]], np.float32)
    directions = np.matmul(solids.axes, ray)
    # The ray's foot is column * x + row * z; the solid's frame makes it affine in both.
    offsets = -np.matmul(solids.axes, solids.centre[..., None])
    feet = np.concatenate([solids.axes[..., [0, 2]], offsets], axis=2)
    for k, (left, right, top, bottom) in enumerate(ranges):
        if (right - left) * (bottom - top) < _SMALLEST:
            continue
        origin = _plane(feet[k], columns[left:right], rows[top:bottom])
        direction = (directions[k][0], directions[k][1], directions[k][2])
        near, far = intersect(int(solids.shape[k]), origin, direction, solids.half[k], solids.taper[k])
        hit = near < far
        if solids.mask[k] != Mask.WHOLE:
            hit &= covered(int(solids.mask[k]), origin, direction, near, far, solids.half[k], solids.style[k])
        window = heights[top:bottom, left:right]
        np.copyto(window, far, where=hit & (far > window))
    return heights


def contact(footprints: list[tuple[float, float, float, float, float]], grid: GroundGrid) -> Floats:
    """The share of the sky's light that reaches each ground cell beside standing objects, 0..1 [rows, columns]."""
    columns, rows = grid.axes()
    light = np.ones((len(rows), len(columns)), np.float32)
    for x, z, heading, half_x, half_z in footprints:
        reach = half_x + half_z + 0.5
        left, right = np.searchsorted(columns, (x - reach, x + reach))
        top, bottom = np.searchsorted(rows, (z - reach, z + reach))
        aside, ahead = columns[left:right][None, :] - x, rows[top:bottom][:, None] - z
        cos, sin = float(np.cos(heading)), float(np.sin(heading))
        out_x = np.abs(aside * cos - ahead * sin) - half_x
        out_z = np.abs(aside * sin + ahead * cos) - half_z
        outside = np.maximum(np.maximum(out_x, out_z), -0.3)
        light[top:bottom, left:right] *= np.clip(0.5 + outside, 0.15, 1)
    return light

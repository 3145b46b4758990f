"""Draws streets.jpg beside this file: street scenes with their labels and their depth (bright is near).

python docs/figures/make_street_contact_sheet.py
"""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.data.streets import render_scene

ROWS, COLUMNS, GAP = 8, 2, 6


def triple(index: int) -> NDArray[np.uint8]:
    """Image, labels and depth of one validation scene, side by side."""
    scene = render_scene(0, "val", index)
    # The root of disparity tells far things apart; the sky counts as infinitely far.
    nearest = DEPTH_CODEC.nearest
    nearness = np.sqrt(np.nan_to_num(nearest / np.maximum(scene.depth, nearest)))
    depth = matplotlib.colormaps["magma"](nearness, bytes=True)[..., :3]
    return np.hstack([scene.rgb, CITYSCAPES.palette()[scene.semseg], depth])


def main() -> None:
    """Lays the scenes out in a grid and saves it."""
    framed = [np.pad(triple(i), ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for i in range(ROWS * COLUMNS)]
    rows = [np.hstack(framed[k : k + COLUMNS]) for k in range(0, len(framed), COLUMNS)]
    Image.fromarray(np.vstack(rows)[:-GAP, :-GAP]).save(Path(__file__).with_name("streets.jpg"), quality=80)


if __name__ == "__main__":
    main()

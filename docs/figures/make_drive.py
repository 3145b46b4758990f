"""Draws drive.gif beside this file: drives through two street scenes, with their labels and depth, and what a network
that never saw them predicts.

python docs/figures/make_drive.py [run]        after `make train`, or for any other run
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mtl_seg_depth import load
from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.streets import render_scene
from mtl_seg_depth.drawing.legend import font
from mtl_seg_depth.inference.loaded import Loaded
from mtl_seg_depth.system.installation import ROOT_VARIABLE

ROOT = Path(__file__).parents[2]
SCENES = {24: 0.0, 27: 12.5}
"""Of the validation split, and metres at which to start, from where nothing stands in the camera's way."""
FRAMES, METRES, MILLISECONDS = 15, 1.7, 130
"""Of each scene, from each to the next, and how long each is shown."""
HEIGHT, WIDTH, GAP = 128, 256, 4


def frames(network: Loaded) -> Iterator[NDArray[np.uint8]]:
    """The image, and right of it labels and depth above the network's."""
    tasks = network.trained.tasks
    for scene, start in SCENES.items():
        for number in range(FRAMES):
            ahead = start + METRES * number
            drawn = render_scene(0, "val", scene, 2 * HEIGHT + GAP, 2 * WIDTH + 2 * GAP, ahead=ahead)
            seen = network.predict(drawn.rgb)
            panels = {
                "labels": tasks["semseg"].paint(drawn.semseg),
                "depth": tasks["depth"].paint(drawn.depth),
                "predicted labels": tasks["semseg"].paint(seen.labels),
                "predicted depth": tasks["depth"].paint(seen.depth),
            }
            small = [captioned(panel, caption) for caption, panel in panels.items()]
            upright, level = np.full((GAP, WIDTH, 3), 255, np.uint8), np.full((2 * HEIGHT + GAP, GAP, 3), 255, np.uint8)
            columns = [np.vstack([above, upright, below]) for above, below in zip(small[:2], small[2:], strict=True)]
            yield np.hstack([drawn.rgb, level, columns[0], level, columns[1]])


def captioned(panel: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """A panel in the size of those at the right, with its caption in a corner."""
    image = Image.fromarray(panel).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, draw.textlength(caption, font(11)) + 7, 16), "black")
    draw.text((4, 2), caption, "white", font(11))
    return np.asarray(image)


def palette(sample: Image.Image) -> Image.Image:
    """192 colours: exact ones for classes, evenly spaced ones for depth, and the rest for what images show."""
    exact = CITYSCAPES.palette().reshape(-1, 3)[: len(CITYSCAPES)]
    depth = matplotlib.colormaps["magma"](np.linspace(0, 1, 40), bytes=True)[:, :3]
    fixed = np.concatenate([exact, depth, [[255, 255, 255], [0, 0, 0], [40, 40, 40]]]).astype(np.uint8)
    left = 192 - len(fixed)
    seen = np.array(sample.quantize(left, Image.Quantize.MEDIANCUT).getpalette(), np.uint8).reshape(-1, 3)[:left]
    colours = Image.new("P", (1, 1))
    colours.putpalette(np.concatenate([fixed, seen]).tobytes())
    return colours


def main() -> None:
    """Draws every frame and saves them in one palette."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    network = load(sys.argv[1] if len(sys.argv) > 1 else "streets-joint-resnet18-adam-l2", device="cpu")
    drawn = [Image.fromarray(frame) for frame in frames(network)]
    pictures = np.vstack([np.asarray(frame)[:, : 2 * WIDTH] for frame in drawn[::4]])
    colours = palette(Image.fromarray(pictures))
    first, *rest = (frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in drawn)
    path = Path(__file__).with_name("drive.gif")
    first.save(path, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, optimize=False)


if __name__ == "__main__":
    main()

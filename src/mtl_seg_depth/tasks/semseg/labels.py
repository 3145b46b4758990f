"""The 19 classes that Cityscapes scores: train ids, names and colours.

Source: the label table of the Cityscapes benchmark (Cordts et al., CVPR 2016). Miniscapes stores these train ids.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Label(NamedTuple):
    """One class: its name and its colour as red, green, blue in 0..255."""

    name: str
    colour: tuple[int, int, int]


LABELS = (
    Label("road", (128, 64, 128)),
    Label("sidewalk", (244, 35, 232)),
    Label("building", (70, 70, 70)),
    Label("wall", (102, 102, 156)),
    Label("fence", (190, 153, 153)),
    Label("pole", (153, 153, 153)),
    Label("traffic light", (250, 170, 30)),
    Label("traffic sign", (220, 220, 0)),
    Label("vegetation", (107, 142, 35)),
    Label("terrain", (152, 251, 152)),
    Label("sky", (70, 130, 180)),
    Label("person", (220, 20, 60)),
    Label("rider", (255, 0, 0)),
    Label("car", (0, 0, 142)),
    Label("truck", (0, 0, 70)),
    Label("bus", (0, 60, 100)),
    Label("train", (0, 80, 100)),
    Label("motorcycle", (0, 0, 230)),
    Label("bicycle", (119, 11, 32)),
)
"""The classes in the order of their train ids, 0..18."""

NUM_CLASSES = len(LABELS)
IGNORE_INDEX = 255
"""The train id of a pixel that is neither trained on nor scored."""

CLASS_NAMES = tuple(label.name for label in LABELS)


def palette() -> NDArray[np.uint8]:
    """The colour of every 8-bit label value, uint8 [256, 3]; values without a class are black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[:NUM_CLASSES] = [label.colour for label in LABELS]
    return colours

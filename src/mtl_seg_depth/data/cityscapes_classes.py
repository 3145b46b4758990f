"""The 19 classes that Cityscapes scores, as Miniscapes and the street scenes have them.

Source: the label table of the Cityscapes benchmark (Cordts et al., CVPR 2016).
"""

from typing import Final

from mtl_seg_depth.tasks.semseg.classes import Classes

_COLOURS: Final = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

CITYSCAPES: Final = Classes(tuple(_COLOURS), tuple(_COLOURS.values()))
"""In the order of their train ids, 0..18; 255 is ignored."""

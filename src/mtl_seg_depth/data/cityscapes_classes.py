"""The classes that Cityscapes scores, 19 or their 7 categories, and how its files store them.

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

CATEGORIES: Final = Classes(
    ("flat", "construction", "object", "nature", "sky", "human", "vehicle"),
    tuple(_COLOURS[name] for name in ("road", "building", "pole", "vegetation", "sky", "person", "car")),
)
"""Without void, which is ignored; each in the colour of its first class."""

_CATEGORY: Final = (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6)
"""Of every train id."""

_LABEL_IDS: Final = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
"""Of every train id; the benchmark ignores all others, -1..33."""


def stored_labels(train_ids: bool, categories: bool) -> tuple[tuple[int, int], ...]:
    """Pairs of an id in a file, of train ids or label ids, and its class; 255 where ignored."""
    classes = _CATEGORY if categories else tuple(range(len(CITYSCAPES)))
    known = dict(zip(range(len(CITYSCAPES)) if train_ids else _LABEL_IDS, classes, strict=True))
    every = [*known, 255] if train_ids else range(-1, 34)
    return tuple((stored, known.get(stored, 255)) for stored in every)

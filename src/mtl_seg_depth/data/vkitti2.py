"""Virtual KITTI 2: five rendered scenes in ten conditions each, 1242 x 375."""

from collections.abc import Sequence
from typing import Any, Final

from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByFields
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader, from_colour
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.tasks.semseg.classes import Classes

_COLOURS: Final = {
    "terrain": (210, 0, 200),
    "sky": (90, 200, 255),
    "tree": (0, 199, 0),
    "vegetation": (90, 240, 0),
    "building": (140, 140, 140),
    "road": (100, 60, 100),
    "guard rail": (250, 100, 255),
    "traffic sign": (255, 255, 0),
    "traffic light": (200, 200, 0),
    "pole": (255, 130, 0),
    "misc": (80, 80, 80),
    "truck": (160, 60, 60),
    "car": (255, 127, 80),
    "van": (0, 139, 139),
}

CLASSES: Final = Classes(tuple(_COLOURS), tuple(_COLOURS.values()))
"""In the order of the set's own table; undefined pixels, which are black, are ignored."""


class VKitti2(Arranged):
    """Split by scene, as the conditions show one drive again and again. Depth is stored in centimetres.

    Args:
        train, val, test: scenes of each split, such as Scene01; none for no such split.
        conditions: clone, fog, morning, overcast, rain, sunset, 15-deg-left, ...
        cameras: Camera_0 and Camera_1.
        converted: the arguments of `Converted`; the sky is stored at 655.35 m, so `beyond` decides what it is.
    """

    focal = 725.0087 / 1242

    def __init__(
        self,
        train: Sequence[str],
        val: Sequence[str],
        test: Sequence[str] = (),
        conditions: Sequence[str] = ("clone",),
        cameras: Sequence[str] = ("Camera_0",),
        **converted: Any,
    ) -> None:
        super().__init__(**converted)
        scenes = {"train": train, "val": val, "test": test}
        twice = sorted({scene for scene in (*train, *val, *test) if (*train, *val, *test).count(scene) > 1})
        if twice:
            raise ValueError(f"every scene is of one split; {', '.join(twice)} is of several")
        table = ((0, CLASSES.ignore_index), *((from_colour(*each), i) for i, each in enumerate(CLASSES.colours)))
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(table, colours=True, to=self.size, shrink=self.shrink_labels),
            "depth": DepthReader(self.depth.codec, scale=0.01, invalid=(0,), beyond=self.beyond, to=self.size),
        }
        frames = "{scene}/{condition}/frames"
        self.arrange(
            {
                IMAGE: f"{frames}/rgb/{{camera}}/rgb_{{name}}.jpg",
                "semseg": f"{frames}/classSegmentation/{{camera}}/classgt_{{name}}.png",
                "depth": f"{frames}/depth/{{camera}}/depth_{{name}}.png",
            },
            ByFields({s: {"scene": of, "condition": conditions, "camera": cameras} for s, of in scenes.items()}),
        )
        self.spec = DataSpec(
            name="vkitti2",
            targets={"semseg": CLASSES, "depth": self.depth},
            licence="CC BY-NC-SA 3.0",
            source="Cabon et al., Virtual KITTI 2, 2020",
        )

"""The small arrays that papers on multi-task learning share: `{train,val}/{image,label,depth}/<i>.npy`.

Source: Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019, whose authors made them.
"""

from dataclasses import replace
from typing import Any, Final, Literal

from mtl_seg_depth.data.cityscapes_classes import CATEGORIES, CITYSCAPES
from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByFields
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.nyuv2 import NYU13
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.tasks.depth.codec import DepthCodec
from mtl_seg_depth.tasks.semseg.classes import Classes

INVERSE: Final = DepthCodec(16, "disparity", 1 / 65535, 1.0)
"""Code p stands for p / 65535, as the arrays of Cityscapes have been made."""


class _Mtan(Arranged):
    """What both have in common: images of 0..1, labels with -1 where ignored, depth that is 0 where invalid."""

    def _settle(self, name: str, classes: Classes, labels: str, depth: DepthReader, source: str) -> None:
        table = ((-1, classes.ignore_index), *((each, each) for each in range(len(classes))))
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(table, to=self.size, shrink=self.shrink_labels),
            "depth": depth,
        }
        folders = {IMAGE: "image", "semseg": labels, "depth": "depth"}
        self.arrange(
            {kind: f"{{split}}/{folder}/{{name}}.npy" for kind, folder in folders.items()},
            ByFields({split: {"split": [split]} for split in ("train", "val")}),
        )
        self.spec = DataSpec(name, {"semseg": classes, "depth": self.depth}, "that of the images' source", source)


class MtanCityscapes(_Mtan):
    """Cityscapes at 128 x 256 or 256 x 512.

    Its depth is inverse depth without a unit, a raw disparity code over 65535, and is kept as it is: 1 over it stands
    for metres here. `depth_norm=inverse` regresses it; `inverse_mae` is the papers' absolute
    error, and `inverse_abs_rel` their relative one.

    Args:
        classes: 7 or 19.
        labels: the folder of the labels; None for `label_7` or `label_19`.
        converted: the arguments of `Converted`.
    """

    METRIC = False

    def __init__(self, classes: Literal[7, 19] = 7, labels: str | None = None, **converted: Any) -> None:
        super().__init__(**converted)
        self.depth = replace(self.depth, codec=INVERSE)
        reader = DepthReader(INVERSE, kind="inverse", invalid=(0,), beyond=self.beyond, to=self.size)
        table = CATEGORIES if classes == 7 else CITYSCAPES
        self._settle("mtan_cityscapes", table, labels or f"label_{classes}", reader, "Cordts et al., CVPR 2016")


class MtanNYUv2(_Mtan):
    """NYUv2 at 288 x 384, with 13 classes and metres.

    Args:
        labels: the folder of the labels.
        converted: the arguments of `Converted`.
    """

    def __init__(self, labels: str = "label", **converted: Any) -> None:
        super().__init__(**converted)
        reader = DepthReader(self.depth.codec, invalid=(0,), beyond=self.beyond, to=self.size)
        self._settle("mtan_nyuv2", NYU13, labels, reader, "Silberman et al., ECCV 2012")

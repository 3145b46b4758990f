"""Cityscapes, as its own packages unpack: leftImg8bit/, gtFine/ or gtCoarse/, disparity/ and camera/."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from mtl_seg_depth.data.cityscapes_classes import CATEGORIES, CITYSCAPES, stored_labels
from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByFields
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec

_LABELS: Final = "{annotation}/{split}/{city}/{name}_{annotation}_%s.png"
_HINTS: Final = {
    "labelIds": "; are these train ids? Then take data.labels=labelTrainIds",
    "labelTrainIds": "; csCreateTrainIdLabelImgs of cityscapesscripts makes train ids, and data.labels=labelIds needs "
    "none",
}


class Cityscapes(Arranged):
    """Depth is baseline times focal length over disparity, by each image's own camera.

    Args:
        classes: 19, or the 7 categories of these.
        labels: the files to read; label ids are as they come, train ids are made by cityscapesscripts.
        coarse: train on train_extra with its coarse labels; the validation split stays as it is.
        masked: label ids whose pixels have no depth: own car, rectification border, out of region of interest.
        converted: the arguments of `Converted`.
    """

    focal = 2262 / 2048  # of the cars' cameras, to a few pixels

    def __init__(
        self,
        classes: Literal[19, 7] = 19,
        labels: Literal["labelIds", "labelTrainIds"] = "labelIds",
        coarse: bool = False,
        masked: Sequence[int] = (1, 2, 3),
        **converted: Any,
    ) -> None:
        super().__init__(**converted)
        table = stored_labels(train_ids=labels == "labelTrainIds", categories=classes == 7)
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(table, to=self.size, shrink=self.shrink_labels, hint=_HINTS[labels]),
            # A file holds 256 times the disparity, plus 1; 0 is no measurement.
            "depth": DepthReader(
                self.depth.codec,
                kind="disparity",
                scale=1 / 256,
                offset=-1 / 256,
                invalid=(0,),
                beyond=self.beyond,
                masked=tuple(masked),
                to=self.size,
            ),
        }
        fine = {split: {"split": [split], "annotation": ["gtFine"]} for split in ("train", "val", "test")}
        self.arrange(
            {
                IMAGE: "leftImg8bit/{split}/{city}/{name}_leftImg8bit.png",
                "semseg": _LABELS % labels,
                "depth": "disparity/{split}/{city}/{name}_disparity.png",
            },
            ByFields(fine | ({"train": {"split": ["train_extra"], "annotation": ["gtCoarse"]}} if coarse else {})),
            beside={
                "depth": {
                    "camera": "camera/{split}/{city}/{name}_camera.json",
                    **({"labels": _LABELS % "labelIds"} if masked else {}),
                }
            },
            hints={"semseg": _HINTS[labels] if labels == "labelTrainIds" else ""},
        )
        self.spec = DataSpec(
            name="cityscapes",
            targets={"semseg": CITYSCAPES if classes == 19 else CATEGORIES, "depth": self.depth},
            licence="its own, for research that is not commercial",
            source="Cordts et al., The Cityscapes Dataset, CVPR 2016",
        )

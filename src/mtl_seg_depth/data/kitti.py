"""KITTI: its 200 images with semantics, or its drives with sparse depth of the laser scanner."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES, stored_labels
from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByFields, ByShare
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec


class Kitti(Arranged):
    """Either of two benchmarks, which share no images.

    `semantics`: `training/{image_2,semantic}/<name>.png` with Cityscapes' label ids. `depth`: the raw drives, and
    beside their dates `{train,val}/<drive>/proj_depth/groundtruth/image_0{2,3}/<name>.png` of 256ths of a metre; frames
    that have no depth are left out.

    Args:
        benchmark: which of them.
        splits: shares of train, val and maybe test, of `semantics`; `depth` has its official train and val.
        split_seed: of the shares.
        cameras: 02 is the left and 03 the right one, of `depth`.
        converted: the arguments of `Converted`.
    """

    def __init__(
        self,
        benchmark: Literal["semantics", "depth"],
        splits: Mapping[str, float],
        split_seed: int = 0,
        cameras: Sequence[str] = ("02", "03"),
        **converted: Any,
    ) -> None:
        super().__init__(**converted)
        self.readers = {IMAGE: ImageReader(self.size)}
        if benchmark == "semantics":
            table = stored_labels(train_ids=False, categories=False)
            self.readers["semseg"] = LabelReader(table, to=self.size, shrink=self.shrink_labels)
            self.arrange(
                {IMAGE: "training/image_2/{name}.png", "semseg": "training/semantic/{name}.png"},
                ByShare(splits, split_seed),
            )
        else:
            codec = self.depth.codec
            self.readers["depth"] = DepthReader(codec, scale=1 / 256, invalid=(0,), beyond=self.beyond, to=self.size)
            self.arrange(
                {
                    IMAGE: "{date}/{date}_drive_{drive}/image_{camera}/data/{name}.png",
                    "depth": "{split}/{date}_drive_{drive}/proj_depth/groundtruth/image_{camera}/{name}.png",
                },
                ByFields({split: {"split": [split], "camera": cameras} for split in ("train", "val")}),
                complete=False,
            )
        self.spec = DataSpec(
            name=f"kitti {benchmark}",
            targets={"semseg": CITYSCAPES} if benchmark == "semantics" else {"depth": self.depth},
            licence="CC BY-NC-SA 3.0",
            source="Alhaija et al., IJCV 2018"
            if benchmark == "semantics"
            else "Uhrig et al., Sparsity Invariant CNNs, 2017",
        )

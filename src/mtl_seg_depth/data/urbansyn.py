"""UrbanSyn: rendered streets with the 19 classes of Cityscapes, free to use and to pass on."""

from collections.abc import Mapping
from typing import Any

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES, stored_labels
from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByShare
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec


class UrbanSyn(Arranged):
    """`rgb/rgb_0001.png`, `ss/ss_0001.png` with train ids, `depth/depth_0001.exr` with metres / 1e5.

    Args:
        splits: shares of train, val and maybe test; there are no official ones.
        split_seed: of the shares.
        converted: the arguments of `Converted`.
    """

    def __init__(self, splits: Mapping[str, float], split_seed: int = 0, **converted: Any) -> None:
        super().__init__(**converted)
        table = (*stored_labels(train_ids=True, categories=False), (19, 255))  # 19: also unlabelled
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(table, to=self.size, shrink=self.shrink_labels),
            "depth": DepthReader(self.depth.codec, scale=1e5, beyond=self.beyond, to=self.size),
        }
        self.arrange(
            {IMAGE: "rgb/rgb_{name}.png", "semseg": "ss/ss_{name}.png", "depth": "depth/depth_{name}.exr"},
            ByShare(splits, split_seed),
        )
        self.spec = DataSpec(
            name="urbansyn",
            targets={"semseg": CITYSCAPES, "depth": self.depth},
            licence="CC BY-SA 4.0",
            source="Gomez et al., All for One, and One for All: UrbanSyn Dataset, 2023",
        )

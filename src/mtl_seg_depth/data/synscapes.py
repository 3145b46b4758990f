"""Synscapes: 25 000 rendered streets, each of its own; what Miniscapes was made of."""

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


class Synscapes(Arranged):
    """`img/rgb/1.png`, `img/class/1.png` with Cityscapes' label ids, `img/depth/1.exr` with planar metres.

    Args:
        splits: shares of train, val and maybe test; there are no official ones.
        split_seed: of the shares.
        converted: the arguments of `Converted`.
    """

    def __init__(self, splits: Mapping[str, float], split_seed: int = 0, **converted: Any) -> None:
        super().__init__(**converted)
        table = stored_labels(train_ids=False, categories=False)
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(table, to=self.size, shrink=self.shrink_labels),
            "depth": DepthReader(self.depth.codec, beyond=self.beyond, to=self.size),
        }
        self.arrange(
            {IMAGE: "img/rgb/{name}.png", "semseg": "img/class/{name}.png", "depth": "img/depth/{name}.exr"},
            ByShare(splits, split_seed),
        )
        self.spec = DataSpec(
            name="synscapes",
            targets={"semseg": CITYSCAPES, "depth": self.depth},
            licence="see synscapes.on.liu.se",
            source="Wrenninge & Unger, Synscapes, 2018",
        )

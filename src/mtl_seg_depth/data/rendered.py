"""Rendered streets with the 19 classes of Cityscapes and dense depth, without official splits."""

from collections.abc import Mapping
from typing import Any, ClassVar

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES, stored_labels
from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByShare
from mtl_seg_depth.data.files import IMAGE
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec


class Rendered(Arranged):
    """Base: a subclass says where its files are and what is stored in them.

    Args:
        splits: shares of train, val and maybe test.
        split_seed: of the shares.
        converted: the arguments of `Converted`.
    """

    layout: ClassVar[Mapping[str, str]]
    """A pattern of each kind, below the root."""
    table: ClassVar[tuple[tuple[int, int], ...]]
    """Pairs of a stored id and its class."""
    metres: ClassVar[float] = 1.0
    """What a stored depth of 1 stands for."""
    licence: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, splits: Mapping[str, float], split_seed: int = 0, **converted: Any) -> None:
        super().__init__(**converted)
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(self.table, to=self.size, shrink=self.shrink_labels),
            "depth": DepthReader(self.depth.codec, scale=self.metres, beyond=self.beyond, to=self.size),
        }
        self.arrange(self.layout, ByShare(splits, split_seed))
        targets = {"semseg": CITYSCAPES, "depth": self.depth}
        self.spec = DataSpec(type(self).__name__.lower(), targets, self.licence, self.source)


class Synscapes(Rendered):
    """25 000 streets, each of its own; what Miniscapes was made of. Cityscapes' label ids, planar metres."""

    layout: ClassVar = {IMAGE: "img/rgb/{name}.png", "semseg": "img/class/{name}.png", "depth": "img/depth/{name}.exr"}
    table = stored_labels(train_ids=False, categories=False)
    licence = "see synscapes.on.liu.se"
    source = "Wrenninge & Unger, Synscapes, 2018"
    focal = 1590.83 / 1440


class UrbanSyn(Rendered):
    """Free to use and to pass on. Cityscapes' train ids, depth in 1e5 metres."""

    layout: ClassVar = {IMAGE: "rgb/rgb_{name}.png", "semseg": "ss/ss_{name}.png", "depth": "depth/depth_{name}.exr"}
    table = (*stored_labels(train_ids=True, categories=False), (19, CITYSCAPES.ignore_index))  # 19: unlabelled, too
    metres = 1e5
    licence = "CC BY-SA 4.0"
    source = "Gomez et al., All for One, and One for All: UrbanSyn Dataset, 2023"

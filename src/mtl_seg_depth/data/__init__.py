"""Data sets, the packed cache, batches and augmentation; importing this room alone loads none of them, and no torch."""

from typing import TYPE_CHECKING

from mtl_seg_depth.system.lazy import lazily

if TYPE_CHECKING:
    from mtl_seg_depth.data.augmentation import Augmentation
    from mtl_seg_depth.data.miniscapes import Miniscapes
    from mtl_seg_depth.data.streets.dataset import Streets

__all__ = ["Augmentation", "Miniscapes", "Streets"]

__getattr__ = lazily(
    __name__, {"Augmentation": "augmentation", "Miniscapes": "miniscapes", "Streets": "streets.dataset"}
)

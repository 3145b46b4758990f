"""Public names of the losses, whichever task they belong to."""

from mtl_seg_depth.tasks.depth.losses.berhu import BerHu
from mtl_seg_depth.tasks.depth.losses.huber import Huber
from mtl_seg_depth.tasks.depth.losses.l1 import L1
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.losses.silog import SILog

__all__ = ["L1", "L2", "BerHu", "Huber", "SILog"]

"""Public names of the losses, whichever task they belong to."""

from mtl_seg_depth.tasks.depth.losses.berhu import BerHu
from mtl_seg_depth.tasks.depth.losses.gradient_matching import GradientMatching
from mtl_seg_depth.tasks.depth.losses.huber import Huber
from mtl_seg_depth.tasks.depth.losses.l1 import L1
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.losses.silog import SILog
from mtl_seg_depth.tasks.semseg.class_balanced import ClassBalanced
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.tasks.semseg.hard_pixels import HardPixels

__all__ = ["L1", "L2", "BerHu", "ClassBalanced", "CrossEntropy", "GradientMatching", "HardPixels", "Huber", "SILog"]

"""Ways to balance the tasks: one method a file; the loop knows none of their names."""

from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.dwa import DynamicWeightAverage
from mtl_seg_depth.weighting.famo import FAMO
from mtl_seg_depth.weighting.fixed import Fixed
from mtl_seg_depth.weighting.geometric import Geometric
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad
from mtl_seg_depth.weighting.uncertainty import Uncertainty

__all__ = [
    "FAMO",
    "AlignedMTL",
    "CAGrad",
    "DynamicWeightAverage",
    "Fixed",
    "Geometric",
    "NashMTL",
    "PCGrad",
    "Uncertainty",
]

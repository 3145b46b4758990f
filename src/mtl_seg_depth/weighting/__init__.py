"""Ways to balance the tasks: one method a file; the loop knows none of their names."""

from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.db_mtl import DBMTL
from mtl_seg_depth.weighting.dwa import DynamicWeightAverage
from mtl_seg_depth.weighting.fairgrad import FairGrad
from mtl_seg_depth.weighting.famo import FAMO
from mtl_seg_depth.weighting.fixed import Fixed
from mtl_seg_depth.weighting.geometric import Geometric
from mtl_seg_depth.weighting.graddrop import GradDrop
from mtl_seg_depth.weighting.gradnorm import GradNorm
from mtl_seg_depth.weighting.gradvac import GradVac
from mtl_seg_depth.weighting.imtl_g import IMTLG
from mtl_seg_depth.weighting.imtl_l import IMTLL
from mtl_seg_depth.weighting.mgda import MGDA
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad
from mtl_seg_depth.weighting.rlw import RLW
from mtl_seg_depth.weighting.stch import STCH
from mtl_seg_depth.weighting.uncertainty import Uncertainty
from mtl_seg_depth.weighting.upgrad import UPGrad

__all__ = [
    "DBMTL",
    "FAMO",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "RLW",
    "STCH",
    "AlignedMTL",
    "CAGrad",
    "DynamicWeightAverage",
    "FairGrad",
    "Fixed",
    "Geometric",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "NashMTL",
    "PCGrad",
    "UPGrad",
    "Uncertainty",
]

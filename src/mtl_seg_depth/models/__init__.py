"""Networks that map an image to a list of predictions for every task; the last of each list is the one scored."""

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.cross_stitch import CrossStitch
from mtl_seg_depth.models.distilled import Distilled
from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.mtan import MTAN
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.single import Single
from mtl_seg_depth.models.timm_encoder import TimmEncoder

__all__ = ["MTAN", "Branched", "CrossStitch", "Distilled", "Joint", "ResNetEncoder", "Single", "TimmEncoder"]

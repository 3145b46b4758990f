"""What Miniscapes says of itself, under short names, and its tasks with whatever a test wants of them."""

from typing import Any

import torch

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.tasks.depth.codec import DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Task

CLASS_NAMES = CITYSCAPES.names
NUM_CLASSES = len(CITYSCAPES)
IGNORE_INDEX = CITYSCAPES.ignore_index
STATISTICS = DepthStatistics(27.0727, 29.1264, 4.0, 300.0)
DEPTH_SPEC = DepthSpec(DEPTH_CODEC, STATISTICS)
OUTPUTS = {"semseg": NUM_CLASSES, "depth": 1}
"""Channels of the tasks' raw predictions."""

CPU = torch.device("cpu")
palette = CITYSCAPES.palette
depth_of_code = DEPTH_CODEC.table
encode_depth = DEPTH_CODEC.encode


def tasks(
    *names: str, absent: Any = "exclude", norm: Any = None, statistics: DepthStatistics = STATISTICS
) -> dict[str, Task]:
    """Miniscapes' tasks of these names, of both by default; `norm` is a class of depth normalisation."""
    spec = DepthSpec(DEPTH_CODEC, statistics)
    both = {"semseg": Semseg(CITYSCAPES, absent), "depth": Depth(spec, None if norm is None else norm(statistics))}
    return {name: both[name] for name in names or both}
